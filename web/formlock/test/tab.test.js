// What a tab remembers, and the clock it counts by.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { makeClock } from '../clock.js';
import { PageTab } from '../page-tab.js';

const FORM = 'com.example.form.invoice.42';
const PAGE = 'http://localhost/invoice/42';

test('a reload, and a save that comes back to the page, go on editing; another way in does not (U8, U27)', () => {
  const was = (arrival) => {
    const tab = new PageTab(null);
    tab.mark(FORM, PAGE, 1000);
    return tab.wasEditing(FORM, { type: 'navigate', referrer: '', page: PAGE, at: 2000, ...arrival });
  };
  assert.equal(was({ type: 'reload' }), true);
  assert.equal(was({ type: 'back_forward' }), true);
  assert.equal(was({ referrer: PAGE }), true);
  assert.equal(was({ referrer: 'http://localhost/invoices' }), false);
  assert.equal(was({}), false);
  assert.equal(was({ type: 'reload', page: 'http://localhost/bob/invoice/42' }), false, 'a frame beside it is another page');
  assert.equal(was({ type: 'reload', at: 1000 + 200_000 }), false, 'U20: not days later');
});

test('the mark is read once', () => {
  const tab = new PageTab(null);
  tab.mark(FORM, PAGE, 1000);
  assert.equal(tab.wasEditing(FORM, { type: 'reload', referrer: '', page: PAGE, at: 1001 }), true);
  assert.equal(tab.wasEditing(FORM, { type: 'reload', referrer: '', page: PAGE, at: 1002 }), false);
});

test('a copy of a tab does not go on with what the original edits: its fresh id forgets that', () => {
  const tab = new PageTab(null);
  tab.mark(FORM, PAGE, 1000);
  tab.renew();
  assert.equal(tab.wasEditing(FORM, { type: 'reload', referrer: '', page: PAGE, at: 1001 }), false);
});

test('two users in frames of one page are two tabs, and each is the same one after a reload', () => {
  const kept = new Map();
  const storage = /** @type {any} */ ({ getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value), removeItem: (key) => kept.delete(key) });
  const ann = new PageTab(storage, 'ann');
  const bob = new PageTab(storage, 'bob');
  assert.notEqual(ann.id, bob.id);
  assert.equal(new PageTab(storage, 'ann').id, ann.id);
  ann.mark(FORM, PAGE, 1000);
  assert.equal(bob.wasEditing(FORM, { type: 'reload', referrer: '', page: PAGE, at: 1001 }), false);
  assert.equal(ann.wasEditing(FORM, { type: 'reload', referrer: '', page: PAGE, at: 1001 }), true);
});

test('a storage that refuses to work leaves a tab with an id', () => {
  const broken = { getItem: () => null, setItem() { throw new Error('full'); }, removeItem() {} };
  assert.match(new PageTab(/** @type {any} */ (broken)).id, /^[A-Za-z0-9_-]{22}$/);
});

test('the clock counts sleep, and a wall clock set back does not stop it', () => {
  let steady = 0;
  let wall = 1_000_000;
  const clock = makeClock(() => steady, () => wall);
  steady += 10;
  wall += 10;
  assert.equal(clock(), 10);
  wall += 60_000; // the machine slept: the steady clock stood still
  assert.equal(clock(), 60_010);
  wall -= 3_600_000;
  steady += 5;
  assert.equal(clock(), 60_015);
});
