// What the service tells beside the locks: updates that were cut, folded or of many records; rights, tokens, and over how long to come back.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { WebSocket } from 'ws';

import './quiet.js';

import { FormLockClient } from '../client.js';
import { Token, claimsOf } from '../formlock-token.js';
import { PageTab } from '../page-tab.js';
import { FakeRouter } from './fake-router.js';

globalThis.WebSocket = WebSocket; // Node 20 has none of its own

const FORM = 'com.example.form.invoice.42';
const limit = { timeout: 60_000 };

let router;
const clients = [];

beforeEach(async () => {
  router = await new FakeRouter().listen();
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.leave();
  await router.close();
});

function clientOf(options = {}) {
  const client = new FormLockClient({ url: router.url, tab: new PageTab(null), makeWorker: null, wait: () => 5, ...options });
  clients.push(client);
  client.start();
  return client;
}

const once = (target, type) => new Promise((resolve) => target.addEventListener(type, resolve, { once: true }));

/** A form that has its first snapshot, knows where the bridge is, and hears of bulk changes. */
async function listening(client) {
  const lock = client.form(FORM);
  const told = [];
  lock.addEventListener('updated', ({ detail }) => told.push(detail));
  while (lock.last === null || ![...router.sessions.at(-1)?.subscriptions.keys() ?? []].some((topic) => topic.endsWith('.*'))) await new Promise((resolve) => setTimeout(resolve, 5));
  return { lock, told };
}

test('what was left out of an update is asked for by who has the right, and only by those', limit, async () => {
  for (const [rights, amount] of [[['view', 'salaries'], '140'], [['view'], undefined]]) {
    router.extra = { rights: { 'invoice.*': rights } };
    router.journal = { epoch: 'b1', updates: [] };
    const { lock, told } = await listening(clientOf());
    assert.deepEqual(lock.state.rights, rights);
    router.update(FORM, { id: 'a', redacted: ['salaries'], full: { change_set: { amount: ['120', '140'] }, redacted: undefined } });
    await once(lock, 'updated');
    assert.equal(told[0].change_set?.amount[1], amount);
    assert.equal(told.length, 1);
    lock.client.leave();
  }
});

test('an update that stands for several leaves no gap', limit, async () => {
  const { lock, told } = await listening(clientOf());
  router.journal.updates.push({ seq: 1 }, { seq: 2 });
  const before = router.calls.length;
  router.update(FORM, { id: 'folded', first: 1 });
  await once(lock, 'updated');
  assert.deepEqual(told.map(({ seq }) => seq), [3]);
  assert.equal(router.calls.slice(before).filter(({ procedure }) => procedure.endsWith('.updates')).length, 0);
});

test('a change of many records is told to those forms that it may be about; our own is not (U13, U36)', limit, async () => {
  const client = clientOf();
  const { lock } = await listening(client);
  const other = client.form('com.example.form.invoice.43');
  while (!other.attached) await once(other, 'change');
  const heard = [];
  lock.addEventListener('bulk', ({ detail }) => heard.push(`42 ${detail.id}`));
  other.addEventListener('bulk', ({ detail }) => heard.push(`43 ${detail.id}`));
  const tell = (seq, facts) => router.publish('com.example.form.invoice.*', { status: 'bulk', epoch: 'b1', seq, count: 2, ...facts });
  tell(1, { id: 'all' });
  tell(2, { id: 'own', origin: client.tab.id });
  tell(3, { id: 'one', ids: ['43'] });
  await once(other, 'bulk');
  if (heard.length < 3) await once(other, 'bulk');
  assert.deepEqual(heard, ['42 all', '43 all', '43 one']);
  await other.status(); // all that was asked before has been answered
  assert.equal(router.subscribed.filter((topic) => topic === 'com.example.form.invoice.*').length, 1, 'one subscription for the type');
});

test('a section hears what is reported of its record, as long as it is open; our own save is known (U13, U33)', limit, async () => {
  const client = clientOf();
  const lock = client.form(`${FORM}.address`);
  const other = client.form('com.example.form.invoice.43.address');
  while (router.calls.filter(({ procedure }) => procedure.endsWith('.updates')).length < 5) await new Promise((resolve) => setTimeout(resolve, 5));
  await lock.status(); // all that was asked before has been answered
  const heard = [];
  for (const each of [lock, other]) for (const type of ['updated', 'saved']) each.addEventListener(type, ({ detail }) => heard.push([each.form, type, detail.id]));
  router.update(FORM, { id: 'theirs' });
  router.publish(FORM, router.journal.updates[0]);
  router.update(FORM, { id: 'ours', origin: client.tab.id });
  await once(lock, 'saved');
  assert.deepEqual(heard, [[lock.form, 'updated', 'theirs'], [lock.form, 'saved', 'ours']]);
  const count = () => [...router.sessions.at(-1).subscriptions.keys()].filter((topic) => topic === FORM).length;
  assert.equal(count(), 1);
  client.forget(lock);
  while (count()) await other.status();
});

test('the router says over how long its clients shall come back, and they spread over it', limit, async () => {
  router.extra = { return_ms: 30_000 };
  const asked = [];
  const client = clientOf({ wait: (attempt, returnMs) => (asked.push([attempt, returnMs]), 5) });
  await once(client, 'connection');
  router.drop();
  await once(client, 'connection');
  await once(client, 'connection');
  assert.deepEqual(asked[0], [0, 30_000]);
});

/** A JSON Web Token that nobody has signed. */
const jwt = (claims) => `x.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.x`;
const answering = (...answers) => {
  const asked = [];
  const fetch = (url) => {
    asked.push(url);
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    return typeof answer === 'number' ? Promise.resolve(new Response('', { status: answer })) : Promise.resolve(Response.json(answer));
  };
  return { asked, fetch };
};

test('a token goes as a ticket, and who it says we are is who we are', limit, async () => {
  const token = jwt({ user: 'ann', name: 'Ann Weber' });
  router.tickets = { [token]: { user: 'ann', name: 'Ann Weber' } };
  const client = clientOf({ token });
  await client.form(FORM).lock();
  assert.deepEqual(router.hellos[0][1].authmethods, ['ticket']);
  assert.equal(router.hellos[0][1].authid, 'ann');
  assert.equal(client.me, 'ann');
});

test('a token that is refused is fetched anew; only when a fresh one is refused, that is final', limit, async () => {
  router.tickets = { fresh: { user: 'ann', name: 'Ann' } };
  const { asked, fetch } = answering({ token: 'fresh', user: 'ann' });
  const client = clientOf({ token: 'old', tokenUrl: '/token', fetch });
  await client.form(FORM).lock();
  assert.equal(asked.length, 1);
  router.tickets = {};
  const hellos = router.hellos.length;
  router.drop();
  while (client.form(FORM).state.problem !== 'denied') await once(client.form(FORM), 'change');
  assert.equal(router.hellos.length, hellos + 2);
});

test('an address of tokens that is away is asked again; nobody logged in is final', limit, async () => {
  router.tickets = { good: { user: 'ann', name: 'Ann' } };
  const { asked, fetch } = answering(503, 503, { token: 'good', user: 'ann' });
  await clientOf({ tokenUrl: '/token', fetch }).form(FORM).lock();
  assert.equal(asked.length, 3);
  const lock = clientOf({ tokenUrl: '/token', fetch: answering(401).fetch }).form(FORM);
  await assert.rejects(lock.lock(), { code: 'denied' });
});

test('an address of tokens that is away while the old one is refused is asked again: nothing is final yet (U8)', limit, async () => {
  router.tickets = { fresh: { user: 'ann', name: 'Ann' } };
  const { asked, fetch } = answering(503, 503, { token: 'fresh', user: 'ann' });
  await clientOf({ token: 'old', tokenUrl: '/token', fetch }).form(FORM).lock();
  assert.equal(asked.length, 3);
});

test('a token is fetched anew shortly before it expires, by the own clock', async () => {
  let now = 0;
  const { asked, fetch } = answering({ token: 'a', expires_in: 60 });
  const token = new Token({ url: '/token', clock: () => now, fetch });
  await token.get(false);
  now = 50_000;
  await token.get(false);
  assert.equal(asked.length, 1);
  now = 56_000;
  await token.get(false);
  assert.equal(asked.length, 2);
  assert.deepEqual(claimsOf('opaque'), {});
});

test('a token counts from when it was asked for, and is never read from a cache nor from another origin', async () => {
  let now = 0;
  const how = [];
  const fetch = (_url, options) => {
    how.push(options);
    now += 8000; // the answer takes its time
    return Promise.resolve(Response.json({ token: 'a', expires_in: 60 }));
  };
  const token = new Token({ url: '/token', clock: () => now, fetch });
  await token.get(false);
  now = 55_500;
  await token.get(false);
  assert.equal(how.length, 2);
  assert.deepEqual([how[0].mode, how[0].credentials, how[0].cache], ['same-origin', 'same-origin', 'no-store']);
});

test('a page that is left while its token is fetched does not connect', limit, async () => {
  let answer;
  const client = clientOf({ tokenUrl: '/token', fetch: () => new Promise((resolve) => (answer = () => resolve(Response.json({ token: 'late' })))) });
  while (!answer) await new Promise((resolve) => setImmediate(resolve));
  client.leave();
  answer();
  await clientOf({ identity: () => ({ user: 'bob', name: 'Bob' }) }).form(FORM).lock();
  assert.deepEqual(router.hellos.map(([, { authmethods }]) => authmethods), [['anonymous']]);
});

test('what the router said of the user before is forgotten with each new login', limit, async () => {
  router.extra = { rights: { 'invoice.*': ['view', 'salaries'] } };
  const client = clientOf();
  await once(client, 'connection');
  assert.deepEqual(client.rightsOn(FORM), ['view', 'salaries']);
  router.extra = {};
  router.drop();
  await once(client, 'connection');
  await once(client, 'connection');
  assert.equal(client.rightsOn(FORM), null);
});

test('a network that is back for many at once is no reason to come at once', limit, async () => {
  router.extra = { return_ms: 30_000 };
  const asked = [];
  const client = clientOf({ wait: (attempt, returnMs) => (asked.push([attempt, returnMs]), 5) });
  await once(client, 'connection');
  client.offline();
  client.online();
  assert.deepEqual(asked, [[0, 30_000], [0, 30_000]]);
});
