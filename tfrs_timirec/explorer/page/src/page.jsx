// Loads what is kept of the model, and shows the page.
import { render } from "preact";
import { App } from "./app.jsx";
import { termsOf } from "./names.js";

/** Of the files that this page reads. */
const FORMAT = 1;

async function load(name) {
  const response = await fetch(`data/${name}.json`);
  if (!response.ok) throw new Error(`data/${name}.json is missing (status ${response.status})`);
  return response.json();
}

async function start() {
  const names = ["about", "items", "users", "maps", "quality"];
  const [about, items, users, maps, quality] = await Promise.all(names.map(load));
  if (about.format !== FORMAT) {
    throw new Error("these files are another version's: reload the page, or start it again");
  }
  return {
    about,
    items,
    users,
    maps,
    quality,
    placeOf: new Map(items.ids.map((id, place) => [id, place])),
    titleOf: (item) => items.titles?.[item] || String(items.ids[item]),
    terms: termsOf(items),
  };
}

const place = document.getElementById("page");
start().then(
  (data) => render(<App data={data} />, place),
  (error) => render(<p role="alert" class="notice">The page cannot be shown: {error.message}.</p>, place),
);
