// Bundles the page into dist/: `npm run build`, or `npm run build -- --watch` while working on it.
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { build, context } from "esbuild";

const out = "dist";

// Names carry a hash of the content, so that no browser shows an old page after a build.
const writeHtml = {
  name: "html",
  setup(build) {
    build.onEnd(async ({ metafile }) => {
      if (!metafile) return;
      const files = Object.keys(metafile.outputs).map((file) => basename(file));
      let html = await readFile("index.html", "utf8");
      for (const kind of ["js", "css"]) {
        html = html.replace(`main.${kind}`, files.find((file) => file.endsWith(`.${kind}`)));
      }
      await writeFile(`${out}/index.html`, html);
    });
  },
};

await rm(out, { recursive: true, force: true });
await mkdir(out);
await cp("static", out, { recursive: true });
for (const file of ["swagger-ui-bundle.js", "swagger-ui.css"]) {
  await cp(`node_modules/swagger-ui-dist/${file}`, `${out}/${file}`);
}
const options = {
  entryPoints: ["src/main.tsx"],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  entryNames: "[name]-[hash]",
  outdir: out,
  metafile: true,
  logLevel: "warning",
  plugins: [writeHtml],
};
if (process.argv.includes("--watch")) await (await context(options)).watch();
else await build(options);
