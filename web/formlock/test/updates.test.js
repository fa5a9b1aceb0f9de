// Updates that were missed and do not fit into one answer of the bridge: asked for page by page, told once and in order.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { WebSocket } from 'ws';

import './quiet.js';

import { FormLockClient } from '../client.js';
import { PageTab } from '../page-tab.js';
import { FakeRouter } from './fake-router.js';

globalThis.WebSocket = WebSocket; // Node 20 has none of its own

const FORM = 'com.example.form.invoice.42';
const limit = { timeout: 60_000 };

let router;
let client;

beforeEach(async () => {
  router = await new FakeRouter().listen();
  router.updatesPage = 3;
  client = new FormLockClient({ url: router.url, tab: new PageTab(null), makeWorker: null, wait: () => 5 });
  client.start();
});

afterEach(async () => {
  client.leave();
  await router.close();
});

const isPage = ({ procedure, facts }) => procedure.endsWith('.updates') && facts.form === FORM && facts.since !== undefined;
/** From which numbers pages were asked for. */
const asked = () => router.calls.filter(isPage).map(({ facts }) => facts.since);

/** Something that happens when the n-th page is asked for; what it returns is answered. */
function atPage(number, happens) {
  router.hook = (procedure, facts) => (isPage({ procedure, facts }) && asked().length === number ? happens(facts) : undefined);
}

/** A form that knows where the bridge is; `told()` resolves with the ids of updates (or "missed") up to that of "end". */
async function listener() {
  const lock = client.form(FORM);
  const ids = [];
  const end = new Promise((resolve) => lock.addEventListener('updated', ({ detail }) => {
    ids.push(detail.missed ? 'missed' : detail.id);
    if (detail.id === 'end') resolve(ids);
  }));
  await router.called('updates');
  while (lock.name !== 'free') await new Promise((resolve) => lock.addEventListener('change', resolve, { once: true }));
  await lock.status(); // the answer of `updates` came before this one's
  return { lock, ids, end, told: () => (router.update(FORM, { id: 'end' }), end) };
}

/** So many that nobody is told. */
function lost(...ids) {
  for (const id of ids) router.update(FORM, { id }, { lost: true });
}

test('what does not fit into one answer is asked for page by page, and told once and in order (U38)', limit, async () => {
  const { told } = await listener();
  lost('a', 'b', 'c', 'd', 'e', 'f', 'g');
  assert.deepEqual(await told(), ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'end']);
  assert.deepEqual(asked(), [0, 3, 6]);
});

test('what was missed while the line was down comes in pages too', limit, async () => {
  const { lock, ids } = await listener();
  router.drop();
  lost('a', 'b', 'c', 'd');
  while (ids.length < 4) await new Promise((resolve) => lock.addEventListener('updated', resolve, { once: true }));
  assert.deepEqual(ids, ['a', 'b', 'c', 'd']);
  assert.deepEqual(asked(), [0, 3]);
});

test('what happens while pages are asked for waits for its turn (U38)', limit, async () => {
  const { end } = await listener();
  lost('a', 'b', 'c', 'd');
  atPage(2, () => {
    const { epoch, updates } = router.journal;
    const answer = { form: FORM, epoch, seq: updates.length, complete: true, updates: updates.slice(3) };
    router.update(FORM, { id: 'end' });
    return answer;
  });
  router.update(FORM, { id: 'e' });
  assert.deepEqual(await end, ['a', 'b', 'c', 'd', 'e', 'end']);
  assert.deepEqual(asked(), [0, 3]);
});

test('a line that breaks between two pages: the next one goes on behind the last that was told (U38)', limit, async () => {
  const { told } = await listener();
  lost('a', 'b', 'c', 'd', 'e', 'f', 'g');
  atPage(2, () => (router.drop(), 'silent'));
  assert.deepEqual(await told(), ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'end']);
  assert.deepEqual(asked(), [0, 3, 3, 6]);
});

test('a bridge that has too much to do between two pages is asked again', limit, async () => {
  const { told } = await listener();
  lost('a', 'b', 'c', 'd');
  atPage(2, () => ({ error: 'com.example.formlock.error.too_many' }));
  assert.deepEqual(await told(), ['a', 'b', 'c', 'd', 'end']);
  assert.deepEqual(asked(), [0, 3, 3]);
});

test('what is forgotten between two pages: the form may have changed', limit, async () => {
  const { lock, told } = await listener();
  lost('a', 'b', 'c', 'd', 'e');
  atPage(2, () => void (router.journal.updates[3].forgotten = true));
  const missed = new Promise((resolve) => lock.addEventListener('updated', ({ detail }) => detail.missed && resolve()));
  router.update(FORM, { id: 'f' });
  await missed;
  assert.deepEqual(await told(), ['a', 'b', 'c', 'missed', 'end']);
  assert.deepEqual(asked(), [0, 3]);
});

test('who missed more than twenty pages reads the record again, and hears what comes then', limit, async () => {
  router.updatesPage = 1;
  const { lock, ids, told } = await listener();
  const missed = new Promise((resolve) => lock.addEventListener('updated', ({ detail }) => detail.missed && resolve()));
  router.drop();
  lost(...Array.from({ length: 25 }, (_, number) => number));
  await missed;
  assert.equal(asked().length, 20);
  assert.deepEqual(ids, [...Array.from({ length: 20 }, (_, number) => number), 'missed']);
  assert.deepEqual((await told()).slice(21), ['end']);
});

test('a page that is refused: what has been told before is not told again', limit, async () => {
  router.updatesPage = 2;
  const { told } = await listener();
  lost('a', 'b');
  atPage(3, () => ({ error: 'wamp.error.not_authorized' }));
  router.update(FORM, { id: 'c' });
  lost('d', 'e');
  assert.deepEqual(await told(), ['a', 'b', 'c', 'd', 'end']);
});
