import { quadtree } from "d3-quadtree";
import { select } from "d3-selection";
import { zoom, zoomIdentity } from "d3-zoom";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { letter } from "./history.jsx";

/** As high as wide, within these bounds. */
const [LOWEST, HIGHEST] = [340, 660];
const MARGIN = 24;
/** Items so near to the pointer, in pixels, are under it. */
const REACH = 12;
/** t-SNE has no place for what is no item: it is put amid so many of the items nearest to it. */
const AMID = 10;
const KINDS = { tsne: "t-SNE", pca: "PCA" };

/** The items in two dimensions, and where the history, its interests and the query are. */
export function ItemMap({ data, interests, answer, controls, change, add }) {
  const { about, maps, titleOf } = data;
  const { map: kind } = controls;
  const [under, setUnder] = useState(null);
  const [width, setWidth] = useState(0);
  const frame = useRef();
  const canvas = useRef();
  const view = useRef(zoomIdentity);
  const zoomed = useRef();
  const drawn = useRef(() => {});

  const height = Math.min(Math.max(width, LOWEST), HIGHEST);
  // Before the page is laid out there is no room.
  const points = useMemo(() => (maps && width ? scaled(maps, kind, width, height) : null), [kind, width]);
  const marks = useMemo(
    () =>
      points && answer?.question.history.length && answer.question.map === kind
        ? placed(maps, kind, points, interests, answer, about.queries)
        : [],
    [points, interests, answer],
  );

  useEffect(() => {
    if (!maps) return;
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    observer.observe(frame.current);
    return () => observer.disconnect();
  }, []);

  useEffect(() => {
    if (!points) return;
    zoomed.current = zoom()
      .scaleExtent([1, 60])
      .translateExtent([[0, 0], [width, height]])
      .extent([[0, 0], [width, height]])
      // Without a key, the wheel scrolls the page.
      .filter((event) => event.type !== "wheel" || event.ctrlKey || event.metaKey || document.activeElement === canvas.current)
      .on("zoom", ({ transform }) => {
        view.current = transform;
        requestAnimationFrame(drawn.current);
      });
    select(canvas.current).call(zoomed.current).on("dblclick.zoom", null);
    select(canvas.current).call(zoomed.current.transform, zoomIdentity);
  }, [points]);

  useEffect(() => {
    if (!points) return;
    const highlighted = highlights(answer);
    drawn.current = () => draw(canvas.current, [width, height], view.current, points, highlighted, marks, under);
    requestAnimationFrame(drawn.current);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const redraw = () => drawn.current();
    dark.addEventListener("change", redraw);
    return () => dark.removeEventListener("change", redraw);
  }, [points, marks, under, answer]);

  if (!maps) {
    return (
      <section class="map" aria-labelledby="map-title">
        <h2 id="map-title">Map</h2>
        <p class="quiet">This system’s item vectors have too few dimensions, or there are too few items, for a map.</p>
      </section>
    );
  }
  const by = (factor) => select(canvas.current).call(zoomed.current.scaleBy, factor);
  const keys = {
    "+": () => by(1.5),
    "-": () => by(1 / 1.5),
    0: () => select(canvas.current).call(zoomed.current.transform, zoomIdentity),
    ArrowLeft: () => select(canvas.current).call(zoomed.current.translateBy, 40 / view.current.k, 0),
    ArrowRight: () => select(canvas.current).call(zoomed.current.translateBy, -40 / view.current.k, 0),
    ArrowUp: () => select(canvas.current).call(zoomed.current.translateBy, 0, 40 / view.current.k),
    ArrowDown: () => select(canvas.current).call(zoomed.current.translateBy, 0, -40 / view.current.k),
  };
  const point = (event) => {
    const [x, y] = view.current.invert([event.offsetX, event.offsetY]);
    setUnder(points.tree.find(x, y, REACH / view.current.k) ?? null);
  };
  const [left, top] = under ? view.current.apply([under.x, under.y]) : [];
  const told = `${maps.items.length.toLocaleString("en")} items by ${KINDS[kind]}; marked are the history, the recommendations and the interests. Plus, minus and 0 zoom, arrows move.`;
  return (
    <section class="map" aria-labelledby="map-title">
      <div class="heading">
        <h2 id="map-title">Map</h2>
        <fieldset class="choice">
          <legend class="hidden">How the map is made</legend>
          {Object.entries(KINDS).map(([value, name]) => (
            <label key={value}>
              <input type="radio" name="map" checked={kind === value} onChange={() => change({ map: value })} />
              {name}
            </label>
          ))}
        </fieldset>
        <span class="buttons">
          <button type="button" aria-label="Zoom in" onClick={keys["+"]}>+</button>
          <button type="button" aria-label="Zoom out" onClick={keys["-"]}>−</button>
          <button type="button" onClick={keys[0]}>All</button>
        </span>
      </div>
      <div class="frame" ref={frame}>
        <canvas
          ref={canvas}
          role="img"
          tabindex={0}
          aria-label={told}
          style={{ width: `${width}px`, height: `${height}px` }}
          onPointerMove={point}
          onPointerLeave={() => setUnder(null)}
          onClick={() => under && add(under.item)}
          onKeyDown={(event) => {
            if (!keys[event.key]) return;
            event.preventDefault();
            keys[event.key]();
          }}
        />
        {under && (
          <p class="tooltip" style={{ left: `${left}px`, top: `${top}px` }} data-side={left > width / 2 ? "left" : "right"}>
            {titleOf(under.item)}
          </p>
        )}
      </div>
      <p class="legend">
        <span><i class="dot" /> item</span>
        <span><i class="ring" /> history</span>
        <span><i class="dot recommended" /> recommended</span>
        <span><i class="badge" data-interest="0">A</i> interest</span>
        {about.queries < about.interests && <span><b aria-hidden="true">✚</b> query</span>}
      </p>
      <p class="quiet">
        {kind === "pca"
          ? "The two principal axes of the items’ directions."
          : "Near are items whose vectors point into like directions; distances between far ones mean nothing. Interests and the query are put amid the items nearest to them."}{" "}
        Click an item to add it to the history.
      </p>
    </section>
  );
}

/** The items' places on the canvas, and a tree to find them by. */
function scaled(maps, kind, width, height) {
  const places = maps[kind];
  const [xs, ys] = [places.map(([x]) => x), places.map(([, y]) => y)];
  const [[left, right], [low, high]] = [extent(xs), extent(ys)];
  const scale = Math.min((width - 2 * MARGIN) / (right - left || 1), (height - 2 * MARGIN) / (high - low || 1));
  const x = (value) => width / 2 + (value - (left + right) / 2) * scale;
  const y = (value) => height / 2 - (value - (low + high) / 2) * scale;
  const points = places.map((place, i) => ({ item: maps.items[i], x: x(place[0]), y: y(place[1]) }));
  const of = new Map(points.map((point) => [point.item, point]));
  const tree = quadtree(points, (point) => point.x, (point) => point.y);
  return { points, of, tree, x, y };
}

const extent = (values) => values.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);

/** Where the interests and the query are. */
function placed(maps, kind, { of, x, y }, interests, { ranking }, queries) {
  const marked = interests.map(({ number, vector, nearest }) => ({ number, vector, nearest }));
  // Where each interest is a query of its own, there is none beside.
  if (queries < interests.length) {
    const sum = interests[0].vector?.map((_, d) => interests.reduce((s, i) => s + i.weight * i.vector[d], 0));
    marked.push({ number: null, vector: sum, nearest: ranking });
  }
  return marked.map(({ number, vector, nearest }) => {
    if (kind === "pca") {
      const norm = Math.hypot(...vector) || 1;
      const [a, b] = maps.axes.map((axis) => axis.reduce((s, v, d) => s + v * (vector[d] / norm - maps.mean[d]), 0));
      return { number, x: x(a), y: y(b) };
    }
    const near = nearest.map(({ item }) => of.get(item)).filter(Boolean).slice(0, AMID);
    return { number, x: median(near.map((p) => p.x)), y: median(near.map((p) => p.y)) };
  });
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

function highlights(answer) {
  if (!answer) return { history: [], ranking: [] };
  const { history, k } = answer.question;
  return { history, ranking: answer.ranking.slice(0, k) };
}

function draw(canvas, [width, height], view, { points, of }, { history, ranking }, marks, under) {
  if (!canvas || !width) return;
  const ratio = devicePixelRatio;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const style = getComputedStyle(canvas);
  const colour = (name) => style.getPropertyValue(name);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const at = ({ x, y }) => view.apply([x, y]);

  // Squares, smaller the more there are, written as pixels: drawn as shapes, tens of thousands would
  // take longer than a frame.
  const side = Math.min(Math.max(1.2, 4 - Math.log10(points.length) / 2) + Math.log2(view.k) / 2, 5);
  // Read once: properties of the canvas cost more than the pixels.
  const { width: canvasWidth, height: canvasHeight } = canvas;
  const image = context.createImageData(canvasWidth, canvasHeight);
  const pixels = new Uint32Array(image.data.buffer);
  const [, red, green, blue] = colour("--point").match(/#(..)(..)(..)/);
  const filled = parseInt(`ff${blue}${green}${red}`, 16);
  const size = Math.max(1, Math.round(side * ratio));
  for (const point of points) {
    const left = Math.round((point.x * view.k + view.x) * ratio - size / 2);
    const top = Math.round((point.y * view.k + view.y) * ratio - size / 2);
    if (left < 0 || top < 0 || left + size > canvasWidth || top + size > canvasHeight) continue;
    for (let row = top; row < top + size; row++) {
      for (let i = 0, start = row * canvasWidth + left; i < size; i++) pixels[start + i] = filled;
    }
  }
  context.putImageData(image, 0, 0);
  const circle = ([x, y], radius) => {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
  };
  for (const { item, interest } of ranking) {
    if (!of.has(item)) continue;
    context.fillStyle = interest >= 0 ? colour(`--interest-${interest % 8}`) : colour("--text");
    circle(at(of.get(item)), 4);
    context.fill();
  }
  context.strokeStyle = colour("--text");
  context.lineWidth = 1.5;
  for (const item of history) {
    if (!of.has(item)) continue;
    circle(at(of.get(item)), 5);
    context.stroke();
  }
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.font = `600 12px ${style.fontFamily}`;
  for (const mark of marks) {
    const [x, y] = at(mark);
    if (mark.number === null) {
      context.font = `700 20px ${style.fontFamily}`;
      context.lineWidth = 4;
      context.strokeStyle = colour("--surface");
      context.fillStyle = colour("--text");
      context.strokeText("✚", x, y);
      context.fillText("✚", x, y);
      continue;
    }
    context.fillStyle = colour(`--interest-${mark.number % 8}`);
    context.strokeStyle = colour("--surface");
    context.lineWidth = 2;
    circle([x, y], 10);
    context.fill();
    context.stroke();
    context.fillStyle = colour(`--on-interest-${mark.number % 8}`);
    context.fillText(letter(mark.number), x, y + 0.5);
  }
  if (under) {
    context.strokeStyle = colour("--accent");
    context.lineWidth = 2;
    circle(at(under), 7);
    context.stroke();
  }
}
