// What is packed for npm: everything that its entries lead to is in it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { test } from 'node:test';

const folder = new URL('..', import.meta.url);
const { exports } = JSON.parse(readFileSync(new URL('package.json', folder), 'utf8'));

/** A module and all that it loads, at once or later, by relative names. @param {string} file @param {Set<string>} [found] */
function reached(file, found = new Set()) {
  if (found.has(file)) return found;
  found.add(file);
  const text = readFileSync(new URL(file, folder), 'utf8');
  for (const [, name] of text.matchAll(/(?:\bfrom|\bimport\(|\bnew URL\()\s*'(\.[^']+)'/g)) {
    const other = posix.join(posix.dirname(file), name);
    if (existsSync(new URL(other, folder))) reached(other, found);
  }
  return found;
}

test('the packed package has each file that its entries lead to, languages and declarations too', () => {
  const packed = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const names = new Set(JSON.parse(packed)[0].files.map(({ path }) => path));
  const entries = Object.values(exports).map((entry) => (typeof entry === 'string' ? entry : entry.default));
  const wanted = new Set(entries.flatMap((entry) => [...reached(posix.normalize(entry))]));
  assert.ok(wanted.has('texts/de.js') && wanted.has('formlock-ticker.js'));
  assert.deepEqual([...wanted].filter((name) => !names.has(name)), []);
});

test('each entry but the built one has declarations of its own', () => {
  const without = Object.entries(exports).filter(([, entry]) => typeof entry === 'string').map(([name]) => name);
  assert.deepEqual(without, ['./dist']);
});
