// What the bridge tells of each golden message (tests/contract/updates.json) reaches the page whole; and what was left out of it for some is
// asked for by whoever has a right to more, and by nobody else.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { Feed } from '../formlock-updates.js';

const cases = JSON.parse(readFileSync(new URL('../../../tests/contract/updates.json', import.meta.url), 'utf8')).filter(({ event }) => event);
const numbers = { epoch: 'b1', seq: 1, at: 1 };

/** What somebody with these rights is told of the event, when `updates` would answer `more`; and how often that was asked. */
async function heard(event, rights, more) {
  const told = [];
  let asked = 0;
  const ask = () => {
    asked += 1;
    return Promise.resolve({ ...numbers, complete: true, updates: [more] });
  };
  const feed = new Feed(event.form, { last: { epoch: 'b1', seq: 0 } }, ask, (update) => told.push(update), () => rights);
  feed.heard(event);
  await new Promise((resolve) => setTimeout(resolve));
  return { told, asked };
}

test('golden: whoever has no more rights is told the event as it is, and asks for nothing', async () => {
  assert.ok(cases.length > 30);
  for (const { claim, event } of cases) {
    const update = { ...numbers, ...event };
    assert.deepEqual(await heard(update, ['view'], null), { told: [update], asked: 0 }, claim);
  }
});

test('golden: whoever has a right to more asks once, and is told what those with it may see', async () => {
  const seen = cases.flatMap(({ claim, event, seen_by: those = [] }) => those.map(({ rights, event: more }) => ({ claim, event, rights, more })));
  assert.ok(seen.length > 5);
  for (const { claim, event, rights, more } of seen) {
    const update = { ...numbers, ...more };
    assert.deepEqual(await heard({ ...numbers, ...event }, rights, update), { told: [update], asked: 1 }, claim);
  }
});
