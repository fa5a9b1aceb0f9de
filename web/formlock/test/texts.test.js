// What the banner says, where it depends on more than the state's name.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { start } from '../lease.js';
import { words } from '../texts.js';

const HOUR = 3_600_000;
const NOON = new Date(2026, 1, 28, 12).getTime();

function lockedFor(ms) {
  const holder = { user: 'ann', name: 'Ann Weber' };
  const snapshot = { state: 'held', holder, since_ms: ms, expires_in_ms: 1, token: 1, epoch: 'e', rev: 1 };
  return words({ ...start(0), name: 'locked', snapshot }, 0, { wall: NOON, attempts: 0 });
}

test('since when: relative up to an hour, then by the clock, and with the day when that is another (U1, U4)', () => {
  assert.equal(lockedFor(60_000).when, 'Started 1 min ago.');
  const today = lockedFor(2 * HOUR).text;
  assert.match(today, /since .*10.00/);
  assert.doesNotMatch(today, /28/);
  assert.match(lockedFor(3 * 24 * HOUR).text, /since .*25.*12.00/);
});
