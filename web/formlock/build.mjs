// Builds dist/: formlock.js (one file with AutobahnJS inside), formlock-list.js (loaded by pages with lists), formlock-ticker.js (the
// worker) and LICENSES.txt. `--size` only measures.
import { readFile, writeFile } from 'node:fs/promises';
import { brotliCompressSync, gzipSync } from 'node:zlib';

import { build } from 'esbuild';

const here = new URL('.', import.meta.url).pathname;
const dist = `${here}dist/`;

// AutobahnJS brings serializers, crypto, a long-poll transport and polyfills that a browser with JSON over WebSocket never runs:
// 17 kB gzip instead of 200. `when` must be there but isn't used (connect.js passes `use_deferred`); its logger would write a warning
// to the console of a foreign page at every lost connection.
const EMPTY = /^(when|when\/monitor\/console|fs|cbor|msgpack5|tweetnacl|crypto-js)$/;
const stubs = {
  name: 'autobahn-stubs',
  setup(api) {
    api.onResolve({ filter: EMPTY }, ({ path }) => ({ path, namespace: 'stub' }));
    api.onResolve({ filter: /(polyfill|log|longpoll|rawsocket|persona|cra|cryptosign|package)\.js(on)?$/ }, ({ path, importer }) =>
      importer.includes('/autobahn/') ? { path, namespace: 'stub' } : undefined);
    api.onLoad({ filter: /.*/, namespace: 'stub' }, ({ path }) => ({
      contents: path.endsWith('/log.js') ? 'exports.debug = exports.warn = () => {};' : 'exports.version = ""; exports.Factory = function () {};',
    }));
  },
};

/** @type {import('esbuild').BuildOptions} */
const common = { bundle: true, minify: true, legalComments: 'none', charset: 'utf8', target: ['chrome123', 'firefox121', 'safari17.5'], write: false, absWorkingDir: here };

const { version } = JSON.parse(await readFile(`${here}node_modules/autobahn/package.json`, 'utf8'));
const banner = `/* formlock, MIT. Contains AutobahnJS ${version}, MIT: see LICENSES.txt. */`;

async function bundle(entry, options = {}) {
  const { outputFiles } = await build({ ...common, entryPoints: [entry], ...options });
  return outputFiles[0].text;
}

/** Loaded by formlock.js when there is something for them to do. */
const LAZY = ['./formlock-list.js', './formlock-merge.js', './formlock-drafts.js'];
const main = { format: 'esm', plugins: [stubs], define: { global: 'globalThis' }, external: LAZY };
const files = {
  'formlock.js': await bundle('formlock.js', { ...main, banner: { js: banner } }),
  'formlock-list.js': await bundle('formlock-list.js', { format: 'esm' }),
  'formlock-merge.js': await bundle('formlock-merge.js', { format: 'esm' }),
  'formlock-drafts.js': await bundle('formlock-drafts.js', { format: 'esm' }),
  'formlock-ticker.js': await bundle('formlock-ticker.js', { format: 'iife' }),
  'LICENSES.txt': `formlock.js contains:\n\nAutobahnJS ${version} (https://github.com/crossbario/autobahn-js)\n\n${(await readFile(`${here}node_modules/autobahn/LICENSE`, 'utf8')).trim()}\n`,
};

if (process.argv.includes('--size')) {
  const own = await bundle('formlock.js', { ...main, external: ['autobahn', ...LAZY] });
  report('formlock.js', files['formlock.js']);
  report('of which our own', own);
  for (const name of ['formlock-list.js', 'formlock-merge.js', 'formlock-drafts.js']) report(name, files[name]);
} else {
  for (const [name, text] of Object.entries(files)) await writeFile(dist + name, text);
}

function report(name, text) {
  const bytes = Buffer.from(text);
  console.log(`${name.padEnd(18)} ${String(bytes.length).padStart(6)} bytes  ${String(gzipSync(bytes, { level: 9 }).length).padStart(6)} gzip  ${String(brotliCompressSync(bytes).length).padStart(6)} brotli`);
}
