// What of a draft is kept, and what of it is offered later; whether an update is one's own save. Pure rules, no browser.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { differences, fromService, isThere, joined } from '../draft-rules.js';
import { bytesOf, fitting, surplus } from '../draft-store.js';
import { isOwnSave, isShown } from '../own.js';

const DAY = 86_400_000;
const kinds = { amount: 'number', note: 'long', paid: 'box' };
const texts = { amount: { old: '120.00', mine: '150.00' }, note: { old: 'old', mine: 'mine' } };

test('a draft is bounded: small fields outlive an enormous one, in the order of the form', () => {
  const huge = { big: { old: '', mine: 'x'.repeat(1000) }, b: { old: '', mine: 'b' }, a: { old: '', mine: 'ä' } };
  const kept = fitting(huge, 200);
  assert.deepEqual(Object.keys(kept), ['b', 'a']);
  assert.ok(bytesOf(kept) <= 200);
  assert.deepEqual(Object.keys(fitting(huge, 5000)), ['big', 'b', 'a']);
});

test('all drafts together are bounded in number, bytes and age; the oldest go', () => {
  const entry = (key, days, bytes = 10) => ({ key, at: 100 * DAY - days * DAY, bytes });
  const bounds = { drafts: 3, bytes: 100, days: 30 };
  assert.deepEqual(surplus([entry('a', 1), entry('b', 2), entry('c', 3), entry('d', 4)], 100 * DAY, bounds), ['d']);
  assert.deepEqual(surplus([entry('b', 2, 80), entry('a', 1, 30)], 100 * DAY, bounds), ['b']);
  assert.deepEqual(surplus([entry('a', 31)], 100 * DAY, bounds), ['a']);
});

test('an old draft says what is another by now (U34)', () => {
  const found = differences({ texts, submitted: false }, { kinds, base: { amount: '120', note: "Bob's own" } });
  assert.deepEqual(found.map(({ name, since, gone }) => [name, since, gone]), [['amount', false, false], ['note', true, false]]);
  const gone = differences({ texts, submitted: false }, { kinds: { amount: 'number' }, base: { amount: '150' } });
  assert.deepEqual(gone.map(({ name, gone: isGone }) => [name, isGone]), [['note', true]], 'what the form has no field for can still be copied');
});

test('what was sent and is found in the record was saved, whatever became of its other fields since', () => {
  const now = { kinds, base: { amount: '150.00', note: "Bob's later note" } };
  assert.deepEqual(differences({ texts, submitted: true }, now), []);
  assert.equal(differences({ texts, submitted: false }, now).length, 1);
  assert.equal(differences({ texts, submitted: true }, { kinds, base: { amount: '120.00', note: 'old' } }).length, 2, 'it did not arrive');
});

test('text that the browser has put back is not offered', () => {
  const found = differences({ texts, submitted: false }, { kinds, base: { amount: '120.00', note: 'old' } });
  assert.ok(isThere(found, { kinds, mine: { amount: '150', note: 'mine' } }));
  assert.ok(!isThere(found, { kinds, mine: { amount: '150', note: 'old' } }));
});

test('two drafts become one, and nothing of them is dropped', () => {
  const draft = (facts) => ({ user: 'ann', form: 'f', slot: 'now', at: 1, version: null, submitted: false, ...facts });
  const both = joined(draft({ slot: 'before', texts: { note: texts.note, amount: { old: '1', mine: '2' } } }), draft({ at: 2, texts: { amount: texts.amount } }));
  assert.deepEqual([both.slot, both.at, both.texts], ['before', 2, { note: texts.note, amount: texts.amount }]);
});

test('a draft of the service is believed only as far as it is one', () => {
  assert.deepEqual(fromService({ v: 1, version: 7, texts: { ...texts, odd: { old: 1, mine: {} }, odder: null } }), { version: '7', texts });
  for (const other of [null, 'text', [], { v: 2, texts }, { v: 1 }, { v: 1, texts: [] }, { v: 1, texts: { a: 1 } }]) assert.equal(fromService(other), null);
});

const sent = { base: { amount: '120.00', note: 'old', paid: false }, values: { amount: '150', note: 'old', paid: true }, at: 1000, id: null };
const facts = { ids: ['tab', '17'], kinds, now: 2000, submission: sent };

test('my own save is known by tab, session, id or contents (U13)', () => {
  const form = 'f';
  assert.ok(isOwnSave({ form, origin: 'tab' }, { ...facts, submission: null }));
  assert.ok(isOwnSave({ form, origin: '17' }, facts));
  assert.ok(isOwnSave({ form, id: 'x' }, { ...facts, submission: { ...sent, id: 'x' } }));
  assert.ok(isOwnSave({ form, change_set: { amount: [120, 150], paid: [false, true], updated_at: [1, 2] } }, facts));
});

test("somebody else's save is never taken for mine", () => {
  const form = 'f';
  const changes = { amount: [120, 150], paid: [false, true] };
  assert.ok(!isOwnSave({ form, change_set: { amount: [120, 150] } }, facts), 'a part of mine: the rest of it may not be saved');
  assert.ok(!isOwnSave({ form, change_set: { ...changes, note: ['old', 'new'] } }, facts), 'more than mine');
  assert.ok(!isOwnSave({ form, change_set: { ...changes, amount: [120, 151] } }, facts));
  assert.ok(!isOwnSave({ form, change_set: changes, origin: 'another-tab' }, facts));
  assert.ok(!isOwnSave({ form, change_set: changes }, { ...facts, now: 100_000 }), 'long ago');
  assert.ok(!isOwnSave({ form, change_set: changes, redacted: ['hr'] }, facts), 'what was left out may be more than mine');
  assert.ok(!isOwnSave({ form, change_set: { updated_at: [1, 2] } }, facts));
  assert.ok(!isOwnSave({ form }, facts));
});

test('a page that was made after the update has nothing to follow', () => {
  const shown = { kinds, base: { amount: '150.00', note: 'old', paid: true }, version: '4' };
  assert.ok(isShown({ form: 'f', change_set: { amount: [120, 150], paid: [false, true] } }, shown));
  assert.ok(isShown({ form: 'f', version: 4 }, shown));
  assert.ok(!isShown({ form: 'f', version: 5 }, shown));
  assert.ok(!isShown({ form: 'f', change_set: { amount: [120, 150], customer_id: [1, 2] } }, shown), 'the form can not tell');
  assert.ok(!isShown({ form: 'f', change_set: { amount: [150, 160] } }, shown));
  assert.ok(!isShown({ form: 'f', version: 4, missed: true }, shown));
  assert.ok(!isShown({ form: 'f', change_set: { amount: [120, 150] }, redacted: ['hr'] }, shown), 'what was left out may be on the page');
  assert.ok(!isShown({ form: 'f', change_set: { amount: [120, 150] }, representation: { amount: 150, note: 'new' } }, shown), 'it tells more than has changed');
  assert.ok(!isShown({ form: 'f' }, { ...shown, base: null }));
});
