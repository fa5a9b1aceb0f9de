// Builds the example pages into a folder: `node examples/frameworks/build.mjs FOLDER`. The frameworks are those of web/formlock/package.json.
import { cp, mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';

const here = new URL('.', import.meta.url).pathname;
const packages = new URL('../../web/formlock/', import.meta.url).pathname;
const { build } = createRequire(packages)('esbuild');
const [out] = process.argv.slice(2);
if (!out) throw new Error('say which folder the pages are to be built into');

await mkdir(out, { recursive: true });
for (const name of ['react', 'stimulus', 'htmx', 'turbo']) {
  await cp(`${here}${name}`, `${out}/${name}`, { recursive: true, filter: (path) => !/\.jsx?$/.test(path) });
}
await build({
  entryPoints: ['react/app.jsx', 'stimulus/app.js', 'htmx/app.js', 'turbo/app.js'].map((path) => here + path),
  outdir: out,
  outbase: here,
  bundle: true,
  minify: true,
  format: 'esm',
  jsx: 'automatic',
  legalComments: 'none',
  define: { 'process.env.NODE_ENV': '"development"' },
  nodePaths: [`${packages}node_modules`],
  alias: { 'formlock/react': `${packages}react.js`, 'formlock/stimulus': `${packages}stimulus.js` },
  // The node serves it: one client, whatever else the page loads.
  external: ['/formlock/*'],
});
