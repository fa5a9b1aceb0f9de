// Updates that wait for a typing person are joined as the bridge joins those that it tells as one (tests/contract/folding.json).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';

import { folded } from '../merge.js';

const cases = JSON.parse(readFileSync(new URL('../../../tests/contract/folding.json', import.meta.url), 'utf8'));

/** Without the fields that are back at their first value, which a page keeps: it merges them into nothing. */
function changed({ change_set: changes, ...update }) {
  return changes ? { ...update, change_set: Object.fromEntries(Object.entries(changes).filter(([, [old, fresh]]) => !isDeepStrictEqual(old, fresh))) } : update;
}

test('golden: what the bridge tells as one, a page that gets it one by one joins to the same', () => {
  const joinable = cases.filter(({ updates, events }) => updates.length > 1 && events.length === 1);
  assert.ok(joinable.length > 10);
  for (const { claim, updates, events: [event] } of joinable) {
    const { actor, ...joined } = updates.reduce((first, then) => folded(first, then));
    assert.deepEqual(changed(joined), event, claim);
    assert.equal(actor, undefined);
  }
});
