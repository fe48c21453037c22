// Bundles the page into ../static, with the licences of what is in it.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";

const site = new URL("../static/", import.meta.url).pathname;
mkdirSync(site, { recursive: true });
// Of the sources, by which a test knows whether this was run since they were changed.
const digest = createHash("sha256");
const sources = readdirSync("src").sort().map((name) => `src/${name}`);
for (const path of ["build.js", "package-lock.json", ...sources]) digest.update(readFileSync(path));
const { metafile } = await build({
  entryPoints: ["src/page.jsx", "src/page.css"],
  outdir: site,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  metafile: true,
  banner: { js: `// Built of ${digest.digest("hex")}; licences.txt has the licences.` },
});
copyFileSync("src/index.html", site + "index.html");
const packages = Object.keys(metafile.inputs)
  .map((path) => path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1])
  .filter(Boolean);
const texts = [...new Set(packages)].sort().map((name) => {
  const folder = `node_modules/${name}/`;
  const { version, license } = JSON.parse(readFileSync(folder + "package.json"));
  const file = readdirSync(folder).find((path) => /^licen[cs]e/i.test(path));
  return `${name} ${version} (${license})\n\n${readFileSync(folder + file, "utf8").trim()}\n`;
});
writeFileSync(site + "licences.txt", texts.join(`\n${"-".repeat(72)}\n\n`));
