// What the banner says, where it depends on more than the state's name, and in each language.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { start } from '../lease.js';
import { TEXTS as FACE, Numbers } from '../texts-face.js';
import { TEXTS as LIST } from '../texts-list.js';
import { TEXTS as MERGE } from '../texts-merge.js';
import { TEXTS, words } from '../texts.js';

globalThis.HTMLElement ??= class {}; // its dialogue is an element; what is said needs none
const { Face } = await import('../face.js');

const HOUR = 3_600_000;
const NOON = new Date(2026, 1, 28, 12).getTime();
const HELD = { state: 'held', holder: { user: 'ann', name: 'Ann Weber' }, since_ms: 0, expires_in_ms: 1, token: 1, epoch: 'e', rev: 1 };

/** What the banner shows and offers in a state. */
function shown(facts, { tag = 'en', texts = {}, unsaved = false } = {}) {
  const state = { ...start(0, 'bob'), ...facts };
  const face = new Face({ tag: () => tag, lock: { state, client: { clock: () => 0 } }, texts: () => ({ ...TEXTS, ...texts }), unsaved, show: () => {} }, new AbortController().signal);
  const view = { ...words(state, 0, { ...TEXTS, ...texts }), ...face.view(NOON, []) };
  return { ...view, buttons: (view.buttons ?? []).map(({ id }) => id) };
}
const locked = (facts, more = {}) => shown({ name: 'locked', snapshot: { ...HELD, ...facts }, ...more });

test('since when: relative up to an hour, then by the clock, and with the day when that is another (U1, U4)', () => {
  assert.equal(locked({ since_ms: 60_000 }).when, 'Started 1\u00a0min ago.');
  assert.equal(locked({ since_ms: 1000 }).when, 'Started just now.');
  const today = locked({ since_ms: 2 * HOUR }).text;
  assert.match(today, /since .*10.00/);
  assert.doesNotMatch(today, /28/);
  assert.match(locked({ since_ms: 3 * 24 * HOUR }).text, /since .*25.*12.00/);
});

test('who is not let in any more is told so, and does not wait for a line that would come back (U8)', () => {
  assert.equal(shown({ name: 'stale' }).text, 'Connection interrupted.');
  const { text, when } = shown({ name: 'stale', problem: 'denied' });
  assert.deepEqual([text, when], ['Your login has ended.', 'Your unsaved changes are kept on this page.']);
});

test('who has it, whether active or away, and who else looks on are told by name (U18, U31)', () => {
  assert.match(locked({}).more, /^Active now\./);
  assert.match(locked({ idle_ms: 6 * 60_000 }).more, /^Away for 6\smin\./);
  const viewers = [{ user: 'ann', name: 'Ann Weber' }, { user: 'bob', name: 'Bob Novak' }, { user: 'eva', name: 'Eva Lind' }];
  const view = locked({ viewers, viewer_count: 3 });
  assert.deepEqual(view.viewers, { names: ['Eva Lind'], text: 'Also here: Eva Lind' });
});

test('taking over is offered only where the rights say so, and asking not twice (U17, U18)', () => {
  assert.deepEqual(locked({}).buttons, ['wait', 'ask', 'take']);
  assert.deepEqual(locked({}, { rights: ['view', 'lock'] }).buttons, ['wait', 'ask']);
  assert.deepEqual(locked({}, { rights: ['view'] }).buttons, []);
  assert.deepEqual(locked({}, { question: 4 }).buttons, ['wait', 'take']);
  assert.deepEqual(locked({}, { sameUser: true }).buttons, ['move']);
});

test('what is offered follows the policy of the form, not only the usual rights (U17, U26)', () => {
  const guarded = { lock_right: 'reserve', takeover_right: 'admin', queue: false };
  assert.deepEqual(locked(guarded, { rights: ['lock', 'takeover'] }).buttons, []);
  assert.deepEqual(locked(guarded, { rights: ['reserve'] }).buttons, ['ask']);
  assert.deepEqual(locked(guarded, { rights: ['reserve', 'admin'] }).buttons, ['ask', 'take']);
  assert.deepEqual(locked(guarded, { rights: ['*'] }).buttons, ['ask', 'take']);
  assert.deepEqual(locked(guarded).buttons, ['ask', 'take'], 'where no rights are told, the service decides');
});

test('who may not have the form is told so before asking for it, where that is known (U26)', () => {
  const free = (facts) => shown({ name: 'free', snapshot: { ...HELD, state: 'free', holder: null }, ...facts }).text;
  assert.equal(free({ rights: ['view'] }), TEXTS.readOnly);
  for (const rights of [['view', 'lock'], ['*'], null]) assert.equal(free({ rights }), TEXTS.free);
  assert.equal(shown({ name: 'connecting', rights: ['view'] }).text, TEXTS.checking);
});

test('a loss says by whom, when and why, and whether text is kept (U19)', () => {
  const lost = { holder: null, cause: 'takeover', by: { user: 'eva', name: 'Eva Lind' }, reason: 'urgent', token: 1, at: 0 };
  const view = shown({ name: 'lost', snapshot: HELD, lost }, { unsaved: true });
  assert.match(view.text, /^Eva Lind took over at 12.00/);
  assert.equal(view.note, 'urgent');
  assert.equal(view.when, TEXTS.kept);
  assert.deepEqual(view.buttons, ['ask', 'show']);
  assert.equal(shown({ name: 'lost', snapshot: HELD, lost }).when, FACE.nothingLost);
  assert.equal(shown({ name: 'lost', snapshot: HELD, lost }).more, undefined, 'older than the loss');
  assert.equal(shown({ name: 'lost', snapshot: { ...HELD, token: 2, holder: lost.by }, lost }).more, undefined, 'said already');
  assert.equal(shown({ name: 'lost', snapshot: { ...HELD, token: 3 }, lost }).more, 'Ann Weber is editing now.');
});

test('who is asked, or about to lose the form, sees who, why and for how long still (U14, U17)', () => {
  const asks = [{ user: 'eva', name: 'Eva Lind', number: 1, note: 'Just the address' }];
  const asked = shown({ name: 'asked', snapshot: { ...HELD, asks, answer_in_ms: 42_000 } });
  assert.deepEqual([asked.text, asked.note, asked.buttons], ['Eva Lind would like to edit.', 'Just the address', ['release', 'keep']]);
  assert.match(asked.when, /42/);
  const view = shown({ name: 'mine', snapshot: HELD, handover: { by: { user: 'eva', name: 'Eva Lind' }, reason: 'urgent', until: 9000 } });
  assert.deepEqual([view.text, view.note], ['Eva Lind is taking over.', 'urgent']);
  assert.match(view.when, /9\ssec/);
});

const ENGLISH = { ...TEXTS, ...FACE, ...LIST };
for (const language of ['de', 'es', 'fr', 'pl']) {
  test(`${language}: every sentence is there, and none needs more than its facts (U31)`, async () => {
    const { default: other } = await import(`../texts/${language}.js`);
    const { merge, ...own } = other;
    for (const [theirs, ours] of [[own, ENGLISH], [merge, MERGE]]) {
      assert.deepEqual(Object.keys(theirs).sort(), Object.keys(ours).sort());
      for (const [name, text] of Object.entries(theirs)) {
        assert.equal(typeof text, typeof ours[name], name);
        const said = typeof text === 'function' ? text('Ann', '5') : text;
        assert.equal(typeof said, 'string', name);
        assert.doesNotMatch(said, /undefined|\[object|!/, name);
      }
    }
    assert.match(shown({ name: 'locked', snapshot: { ...HELD, since_ms: 60_000 } }, { tag: language, texts: own }).text, /^Ann Weber /);
  });
}

test('numbers and times follow the language (U31)', async () => {
  const { default: polish } = await import('../texts/pl.js');
  assert.match(polish.askMany('Ann', 1), /jeszcze jedna osoba/);
  assert.match(polish.askMany('Ann', 3), /3 inne osoby/);
  assert.match(polish.askMany('Ann', 5), /5 innych osób/);
  assert.equal(new Numbers('de').list.format(['Ann', 'Bob']), 'Ann und Bob');
  assert.equal(FACE.place(2), 'You are 2nd in line.');
  assert.equal(FACE.place(3), 'You are 3rd in line.');
  assert.equal(FACE.place(11), 'You are 11th in line.');
});

test('a time of another day is said with its day, as the language has it (U4, U31)', async () => {
  const lost = { holder: null, cause: 'takeover', by: { user: 'eva', name: 'Eva Lind' }, reason: null, token: 1, at: 0 };
  for (const [language, today, before] of [
    ['en', 'took over at 12:00', 'took over on Feb 27, 12:00'],
    ['de', 'hat um 12:00 übernommen', 'hat am 27. Feb., 12:00 übernommen'],
    ['es', 'tomó el control a las 12:00', 'tomó el control el 27 feb, 12:00'],
    ['fr', 'a pris la main à 12:00', 'a pris la main le 27 févr., 12:00'],
    ['fr-CA', 'a pris la main à 12 h 00', 'a pris la main le 27 févr., 12 h 00'],
    ['pl', 'edytuje od 12:00 po przejęciu', 'edytuje od 27 lut, 12:00 po przejęciu'],
  ]) {
    const texts = language === 'en' ? {} : (await import(`../texts/${language.slice(0, 2)}.js`)).default;
    const said = (at) => shown({ name: 'lost', snapshot: HELD, lost: { ...lost, at } }, { tag: language, texts }).text.replace(/\s/g, ' ');
    assert.ok(said(0).startsWith(`Eva Lind ${today}`), said(0));
    assert.ok(said(-24 * HOUR).startsWith(`Eva Lind ${before}`), said(-24 * HOUR));
  }
  const { default: spanish } = await import('../texts/es.js');
  assert.equal(spanish.tookOver('Eva', '1:05'), 'Eva tomó el control a la 1:05.');
});

test('a time and a name stand in a sentence of any language, with a full stop of their own too (U31)', async () => {
  for (const language of ['en', 'de', 'es', 'fr', 'pl']) {
    const texts = language === 'en' ? ENGLISH : (await import(`../texts/${language}.js`)).default;
    for (const [name, text] of Object.entries(texts)) {
      if (typeof text === 'function' && name !== 'place') assert.doesNotMatch(text('5 Min.', '10:02 a.m.'), /\.\./, `${language} ${name}`);
    }
  }
  for (const [language, minutes, hours] of [['de', 'Abwesend seit 6 Min.', 'Abwesend seit 2 Stunden.'], ['pl', 'Brak aktywności od 6 min.', 'Brak aktywności od 2 godz.']]) {
    const { default: texts } = await import(`../texts/${language}.js`);
    const away = (idle_ms) => shown({ name: 'locked', snapshot: { ...HELD, idle_ms } }, { tag: language, texts }).more.replace(/\s/g, ' ');
    assert.equal(away(6 * 60_000), minutes);
    assert.equal(away(2 * HOUR), hours);
  }
});

test('after a loss: who has the form now is said, not who had it next (U18, U19)', () => {
  const lost = { holder: { user: 'eva', name: 'Eva Lind' }, cause: null, by: null, reason: null, token: 1, at: 0 };
  const text = (facts) => shown({ name: 'lost', snapshot: { ...HELD, ...facts }, lost }).text;
  assert.equal(text({}), TEXTS.lostTo('Eva Lind'), 'nothing newer is known');
  assert.equal(text({ holder: { user: 'bob', name: 'Bob Novak' }, token: 3 }), TEXTS.lostTo('Bob Novak'));
  assert.equal(text({ state: 'free', holder: null, token: 3 }), TEXTS.ended);
});
