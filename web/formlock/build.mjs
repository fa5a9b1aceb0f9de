// Builds dist/: formlock.js (one file with AutobahnJS inside), each formlock-*.js (parts that it loads when they are needed; the ticker is
// a worker) and LICENSES.txt. `--size` only measures, and fails above the limits.
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { brotliCompressSync, gzipSync } from 'node:zlib';

import { build } from 'esbuild';

import { autobahnParts } from './autobahn-parts.mjs';

const here = new URL('.', import.meta.url).pathname;
const dist = `${here}dist/`;

/** In bytes, gzip: what every page loads first, of it the headless core, without AutobahnJS and without what shows it, and all that a page
 * with a form loads of which nobody edits it. */
const LIMITS = { first: 25_000, core: 8_000, form: 29_500 };
const WITH_A_FORM = ['formlock.js', 'formlock-acts.js', 'formlock-updates.js', 'formlock-ticker.js'];

/** @type {import('esbuild').BuildOptions} */
const common = { bundle: true, minify: true, legalComments: 'none', charset: 'utf8', target: ['chrome123', 'firefox121', 'safari17.5'], write: false, absWorkingDir: here };
const main = { format: 'esm', plugins: [autobahnParts], define: { global: 'globalThis' }, external: ['./formlock-*'] };

const { version } = JSON.parse(await readFile(`${here}node_modules/autobahn/package.json`, 'utf8'));
const banner = `/* formlock, MIT. Contains AutobahnJS ${version}, MIT: see LICENSES.txt. */`;

/** @param {import('esbuild').BuildOptions} options */
async function bundle(options) {
  const { outputFiles } = await build({ ...common, ...options });
  return outputFiles[0].text;
}

const parts = (await readdir(here)).filter((name) => /^formlock-.*\.js$/.test(name));
const files = {
  'formlock.js': await bundle({ ...main, entryPoints: ['formlock.js'], banner: { js: banner } }),
  'LICENSES.txt': `formlock.js contains:\n\nAutobahnJS ${version} (https://github.com/crossbario/autobahn-js)\n\n${(await readFile(`${here}node_modules/autobahn/LICENSE`, 'utf8')).trim()}\n`,
};
for (const name of parts) {
  // A part is given what it works with: what it imports from the first load it would bring a second time.
  const external = parts.filter((other) => other !== name).map((other) => `./${other}`);
  files[name] = await bundle({ entryPoints: [name], format: name === 'formlock-ticker.js' ? 'iife' : 'esm', external });
  if (files[name].includes('autobahn')) throw new Error(`${name} brings AutobahnJS with it`);
}

if (process.argv.includes('--size')) {
  const core = await bundle({ ...main, external: ['autobahn', './formlock-*'], stdin: { contents: "export * from './client.js'; export * from './lock.js'; export * from './errors.js'; export * from './escape.js'", resolveDir: here } });
  const over = [report('formlock.js', files['formlock.js'], 'first'), report('headless core', core, 'core')].some(Boolean);
  for (const name of parts) report(name, files[name]);
  const form = WITH_A_FORM.reduce((sum, name) => sum + zipped(files[name]), 0);
  console.log(`${'a page with a form'.padEnd(33)} ${String(form).padStart(6)} gzip`);
  process.exitCode = over || form > LIMITS.form ? 1 : 0;
} else {
  for (const name of await readdir(dist)) if (/^formlock.*\.js$/.test(name) && !(name in files)) await rm(dist + name);
  for (const [name, text] of Object.entries(files)) await writeFile(dist + name, text);
}

/** @param {string} text */
function zipped(text) {
  return gzipSync(text, { level: 9 }).length;
}

/** Whether it is above its limit. @param {string} name @param {string} text @param {keyof typeof LIMITS} [what] */
function report(name, text, what) {
  const limit = what ? LIMITS[what] : Infinity;
  const bytes = Buffer.from(text);
  const size = zipped(text);
  console.log(`${name.padEnd(20)} ${String(bytes.length).padStart(6)} bytes  ${String(size).padStart(6)} gzip  ${String(brotliCompressSync(bytes).length).padStart(6)} brotli${size > limit ? `  above its limit of ${limit}` : ''}`);
  return size > limit;
}
