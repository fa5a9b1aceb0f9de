// escape and unescape against the vectors that Python and PHP read too.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { escape, unescape } from '../escape.js';

const vectors = JSON.parse(readFileSync(new URL('../../../tests/contract/escape.json', import.meta.url), 'utf8'));

for (const { raw, part } of vectors) {
  test(`escape ${JSON.stringify(raw)} gives ${part}`, () => {
    if (part === null) assert.throws(() => escape(raw), RangeError);
    else {
      assert.equal(escape(raw), part);
      assert.equal(unescape(part), raw);
    }
  });
}

test('text that is not well-formed has no escape, and a broken part no text', () => {
  assert.throws(() => escape('\ud800'), RangeError);
  for (const part of [':4', ':zz', ':c5', 'a:', ':FF']) assert.throws(() => unescape(part));
});
