// The three-way merge: what follows, what stays, what is asked about. Pure; random records are drawn from a seed that a failure names.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { asValue, both, chosen, equal, folded, hasBoth, merge } from '../merge.js';

const KINDS = { amount: 'number', name: 'text', note: 'long', paid: 'box', tags: 'boxes', lines: 'rows', due: 'date' };
const outcomes = (facts) => Object.fromEntries(merge({ kinds: KINDS, ...facts }).map(({ name, outcome }) => [name, outcome]));

/** A random generator that can be repeated. */
function random(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0;
    return (state >>> 8) % below;
  };
}

const CHOICES = {
  amount: ['1', '1.00', '2', ''], name: ['a', 'b', ''], note: ['x\ny', 'x\nz', 'q'], paid: [true, false],
  tags: [[], ['a'], ['a', 'b'], ['b']], lines: [['1', '2'], ['1', '3'], ['2', '1'], ['4', '2'], ['1']], due: ['2026-01-01', '2026-01-02'],
};

function record(next) {
  return Object.fromEntries(Object.entries(CHOICES).map(([name, values]) => [name, values[next(values.length)]]));
}

function part(next, values) {
  return Object.fromEntries(Object.entries(values).filter(() => next(2)));
}

/** What the form and the base hold after a merge, where conflicts wait. */
function after({ base, mine }, result) {
  const next = { base: { ...base }, mine: { ...mine } };
  for (const { name, outcome, theirs, merged } of result) {
    if (outcome === 'conflict') continue;
    next.mine[name] = merged;
    next.base[name] = theirs;
  }
  return next;
}

test('what only one of the two has changed needs no question (U28, U30)', () => {
  const base = { amount: '120.00', name: 'Miller', note: 'old', paid: false };
  const mine = { amount: '120.00', name: 'Miller & Sons', note: 'mine', paid: true };
  const theirs = { amount: '140.00', name: 'Miller', note: 'theirs', paid: true };
  assert.deepEqual(outcomes({ base, mine, theirs }), { amount: 'follow', name: 'mine', note: 'conflict', paid: 'same' });
});

test('fields that are not told of, and names that the form has not, are left alone', () => {
  const base = { amount: '1', name: 'a' };
  assert.deepEqual(outcomes({ base, mine: { amount: '2', name: 'a' }, theirs: { name: 'b', color: 'red', constructor: 'x' } }), { name: 'follow' });
});

test('an <output> follows whatever the page has computed in it; a password is never touched', () => {
  const kinds = { sum: 'shown', secret: 'secret' };
  const result = merge({ kinds, base: { sum: '1', secret: '' }, mine: { sum: '5', secret: 'x' }, theirs: { sum: '2', secret: 'y' } });
  assert.deepEqual(result.map(({ name, outcome }) => [name, outcome]), [['sum', 'follow']]);
});

test('what nobody knows the base of is a question, unless both hold the same', () => {
  assert.deepEqual(outcomes({ base: {}, mine: { name: 'a', amount: '1' }, theirs: { name: 'b', amount: '1.0' } }), { name: 'conflict', amount: 'same' });
});

test('numbers are compared as numbers only where they are numbers', () => {
  assert.ok(equal('number', '140', '140.00'));
  assert.ok(equal('number', '-0', '0.0'));
  assert.ok(!equal('number', '', '0'));
  assert.ok(!equal('number', '12345678901234567890', '12345678901234567891'), 'digits are not lost');
  assert.ok(!equal('text', '0042', '42'), 'a post code is a text');
  assert.ok(equal('time', '10:00', '10:00:00'));
  assert.ok(!equal('time', '10', '10:00'));
  assert.ok(equal('long', 'a\r\nb', 'a\nb'));
  assert.ok(equal('boxes', ['b', 'a'], ['a', 'b']));
  assert.ok(!equal('rows', ['b', 'a'], ['a', 'b']));
});

test('what a backend reports becomes what the field would hold', () => {
  assert.equal(asValue('text', 140, ['140.00']), '140.00', 'the page writes 140 so');
  assert.equal(asValue('text', 140, ['120.00', '140']), '140', 'what the person typed counts too');
  assert.equal(asValue('text', 141.5, ['120.00']), '141.50');
  assert.equal(asValue('text', 140, ['Miller']), '140');
  assert.equal(asValue('text', '0042', ['42']), '0042');
  assert.equal(asValue('text', null), '');
  assert.equal(asValue('date', '2026-03-01T00:00:00Z'), '2026-03-01');
  assert.equal(asValue('date', '2026-03-01T23:00:00Z'), '2026-03-01T23:00:00Z', 'which day that is, nobody knows here');
  assert.equal(asValue('datetime', '2026-03-01 10:00'), '2026-03-01T10:00');
  assert.equal(asValue('box', 0), false);
  assert.equal(asValue('box', 'yes'), undefined);
  assert.deepEqual(asValue('boxes', [1, 'b']), ['1', 'b']);
  assert.deepEqual(asValue('choices', null), []);
  assert.deepEqual(asValue('rows', [1, null], [['1.0', 'x']]), ['1.0', '']);
  assert.equal(asValue('rows', 'x'), undefined);
  assert.equal(asValue('text', { a: 1 }), undefined);
  assert.equal(asValue('choice', ['a']), 'a');
});

test('rows changed in different places join, moved ones are a question', () => {
  const [row] = merge({ kinds: KINDS, base: { lines: ['1', '2', '3'] }, mine: { lines: ['1', '2', 'x'] }, theirs: { lines: ['y', '2', '3'] } });
  assert.deepEqual([row.outcome, row.merged], ['follow', ['y', '2', 'x']]);
  const moved = { base: { lines: ['1', '2', '3'] }, mine: { lines: ['1', 'x', '3'] }, theirs: { lines: ['2', '3', '4'] } };
  assert.deepEqual(outcomes(moved), { lines: 'conflict' });
  assert.deepEqual(outcomes({ ...moved, theirs: { lines: ['1', '2'] } }), { lines: 'conflict' }, 'one was taken out');
  const swapped = { base: { lines: ['1', '2', '3', '4'] }, mine: { lines: ['1', '2', '3', 'x'] }, theirs: { lines: ['2', '1', '3', '4'] } };
  assert.deepEqual(outcomes(swapped), { lines: 'conflict' }, 'two have changed their places, and none of them is the one changed here');
  const ticks = { base: { tags: ['a', 'b'] }, mine: { tags: ['a', 'c'] }, theirs: { tags: ['d', 'b'] } };
  assert.deepEqual(outcomes(ticks), { tags: 'conflict' }, 'what is ticked has no places');
});

test('both: lines and ticks of either, nothing twice', () => {
  assert.equal(both('long', 'a\nb', 'a\nnew\nb', 'a\nmine\nb'), 'a\nnew\nmine\nb');
  assert.equal(both('long', 'a', 'a\nb', 'a\nb\nc'), 'a\nb\nc', 'mine has theirs already');
  assert.deepEqual(both('boxes', ['a', 'b'], ['b', 'c'], ['a', 'b', 'd']), ['b', 'c', 'd']);
  assert.deepEqual(['long', 'boxes', 'choices', 'number', 'text'].filter(hasBoth), ['long', 'boxes', 'choices']);
});

test('a field that I changed is never changed by what somebody else saved (U28)', () => {
  for (let seed = 1; seed <= 2000; seed += 1) {
    const next = random(seed);
    const [base, mine, theirs] = [record(next), record(next), part(next, record(next))];
    for (const { name, outcome, merged } of merge({ kinds: KINDS, base, mine, theirs })) {
      if (equal(KINDS[name], base[name], mine[name])) continue;
      if (KINDS[name] === 'rows' && outcome === 'follow') {
        for (const [at, line] of mine[name].entries()) if (line !== base[name][at]) assert.equal(merged[at], line, `seed ${seed}: row ${at} of ${name}`);
      } else {
        assert.notEqual(outcome, 'follow', `seed ${seed}: ${name}`);
        assert.deepEqual(merged, mine[name], `seed ${seed}: ${name}`);
      }
    }
  }
});

test('the same update again changes nothing, and no choice is asked for twice (U29)', () => {
  for (let seed = 1; seed <= 2000; seed += 1) {
    const next = random(seed);
    const theirs = part(next, record(next));
    const before = { base: record(next), mine: record(next) };
    const first = merge({ kinds: KINDS, ...before, theirs });
    const once = after(before, first);
    const second = merge({ kinds: KINDS, ...once, theirs });
    assert.deepEqual(after(once, second), once, `seed ${seed}`);
    for (const conflict of first.filter(({ outcome }) => outcome === 'conflict')) {
      for (const choice of ['theirs', 'mine', 'both']) {
        const value = chosen(KINDS[conflict.name], conflict, choice);
        const again = merge({ kinds: KINDS, base: { ...once.base, [conflict.name]: conflict.theirs }, mine: { ...once.mine, [conflict.name]: value }, theirs });
        assert.ok(again.every(({ name, outcome }) => name !== conflict.name || outcome === 'same' || outcome === 'mine'), `seed ${seed}: ${choice} of ${conflict.name} is asked again`);
      }
    }
  }
});

test('one update after the other is the same as both in one', () => {
  for (let seed = 1; seed <= 2000; seed += 1) {
    const next = random(seed);
    const base = record(next);
    const mine = { ...base, ...part(next, record(next)) };
    const first = part(next, record(next));
    const second = part(next, record(next));
    const changes = (from, to) => Object.fromEntries(Object.entries(to).map(([name, value]) => [name, [from[name], value]]));
    const join = folded({ form: 'f', change_set: changes(base, first) }, { form: 'f', change_set: changes({ ...base, ...first }, second) });
    const told = Object.fromEntries(Object.entries(join.change_set).map(([name, [, value]]) => [name, value]));
    // As the page does it: what is still asked about is told again with what comes next.
    const one = merge({ kinds: KINDS, base, mine, theirs: first });
    const between = after({ base, mine }, one);
    const waiting = Object.fromEntries(one.filter(({ outcome }) => outcome === 'conflict').map(({ name, theirs }) => [name, theirs]));
    const steps = merge({ kinds: KINDS, ...between, theirs: { ...waiting, ...second } });
    const asked = (result) => result.filter(({ outcome }) => outcome === 'conflict').map(({ name, theirs }) => [name, theirs]).sort();
    // What is a list of rows may meet in the middle only one by one; and what both have for a moment is no question any more.
    const met = new Set([...one, ...steps].filter(({ outcome, name }) => outcome === 'same' || KINDS[name] === 'rows').map(({ name }) => name));
    const apart = ([name]) => !met.has(name);
    const whole = merge({ kinds: KINDS, base, mine, theirs: told });
    assert.deepEqual(asked(steps).filter(apart), asked(whole).filter(apart), `seed ${seed}`);
    const [after1, after2] = [after(between, steps), after({ base, mine }, whole)];
    for (const [name, kind] of Object.entries(KINDS)) {
      if (met.has(name)) continue;
      for (const side of ['mine', 'base']) assert.ok(equal(kind, after1[side][name], after2[side][name]), `seed ${seed}: ${side} of ${name}`);
    }
  }
});

test('folding keeps the first old and the last new value, and says when it does not know', () => {
  const one = { form: 'f', seq: 1, change_set: { a: [1, 2], b: [1, 2] }, actor: { user: 'ann', name: 'Ann' } };
  const other = { form: 'f', seq: 2, change_set: { a: [2, 3] }, actor: { user: 'ann', name: 'Ann' }, version: 7 };
  assert.deepEqual(folded(one, other), { form: 'f', seq: 2, version: 7, actor: { user: 'ann', name: 'Ann' }, change_set: { a: [1, 3], b: [1, 2] } });
  assert.equal(folded(one, { ...other, actor: { user: 'bob', name: 'Bob' } }).actor, undefined, 'of two people neither is named');
  assert.equal(folded(one, { form: 'f', seq: 2 }).change_set, undefined);
  assert.equal(folded({ form: 'f', missed: true }, other).missed, true);
  assert.deepEqual(folded({ form: 'f', redacted: ['b'] }, { form: 'f', redacted: ['a'] }).redacted, ['a', 'b']);
  assert.deepEqual(folded({ form: 'f', redacted: ['b'] }, { form: 'f' }).redacted, ['b'], 'what was left out of the first is not known by the second');
  assert.equal(folded({ form: 'f' }, { form: 'f', representation: { b: 2 } }).representation, undefined, 'values of what changed last are not all that changed');
  assert.deepEqual(folded({ form: 'f', representation: { a: 1 } }, { form: 'f', representation: { b: 2 } }).representation, { a: 1, b: 2 });
});
