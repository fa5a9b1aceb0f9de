// A list of locks against a fake router: one subscription, true over lost connections, whatever comes between its pages.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { WebSocket } from 'ws';

import './quiet.js';

import { FormLockClient } from '../client.js';
import { FormLockList } from '../formlock-list.js';
import { PageTab } from '../page-tab.js';
import { FakeRouter } from './fake-router.js';

globalThis.WebSocket = WebSocket; // Node 20 has none of its own

const topic = (number) => `com.example.form.invoice.${number}`;
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

function makeClient(user) {
  const client = new FormLockClient({ url: router.url, identity: () => ({ user, name: user.toUpperCase() }), tab: new PageTab(null), makeWorker: null, wait: () => 5 });
  clients.push(client);
  client.start();
  return client;
}

/** Resolves when `look` is true, asked whenever the list tells something. */
function told(list, look) {
  return new Promise((resolve) => {
    const ask = () => look() && resolve();
    for (const name of ['change', 'updated', 'missed', 'denied']) list.addEventListener(name, ask);
    ask();
  });
}

const holder = (list, number) => list.forms.get(topic(number))?.holder?.user ?? null;

/** Somebody who holds a form. */
async function editor(user, number) {
  const lock = makeClient(user).form(topic(number));
  await lock.lock();
  return lock;
}

test('what is locked is listed page by page, and what happens afterwards is heard', limit, async () => {
  router.pageSize = 1;
  await editor('ann', 1);
  const bob = await editor('bob', 2);
  const list = new FormLockList(makeClient('eva'), 'invoice');
  await told(list, () => holder(list, 1) === 'ann' && holder(list, 2) === 'bob');
  bob.done();
  await told(list, () => list.forms.get(topic(2)).state === 'free');
  await editor('cyd', 3);
  await told(list, () => holder(list, 3) === 'cyd');
  assert.equal(router.calls.filter(({ procedure }) => procedure.endsWith('.list')).length, 2);
});

test('until it has been told what is locked, nothing is called free', limit, async () => {
  await editor('ann', 1);
  const list = new FormLockList(makeClient('eva'), 'invoice');
  assert.equal(list.listed, false);
  await new Promise((done) => { list.addEventListener('listed', done); });
  assert.equal(list.listed, true);
  assert.equal(holder(list, 1), 'ann');
});

test('what was given back while the connection was lost is free afterwards, and a missed change is said', limit, async () => {
  const bob = await editor('bob', 2);
  const list = new FormLockList(makeClient('eva'), 'invoice');
  let missed = 0;
  list.addEventListener('missed', () => (missed += 1));
  await told(list, () => holder(list, 2) === 'bob');
  assert.equal(missed, 0, 'nothing is missed before the first answer');
  router.free(router.form(topic(2)), 'unlock');
  await told(list, () => holder(list, 2) === null);
  await editor('bob', 4);
  await told(list, () => holder(list, 4) === 'bob');
  const form = router.form(topic(4));
  router.drop();
  form.owner = null; // and nobody was told
  form.rev += 1;
  await told(list, () => list.forms.get(topic(4)).state === 'free');
  await told(list, () => missed === 1);
  bob.done();
});

test('what an event says while the list is being asked for is newer than the list', limit, async () => {
  router.pageSize = 1;
  await editor('ann', 1);
  await editor('bob', 2);
  router.hook = (procedure, facts) => {
    if (!procedure.endsWith('.list') || !facts.after) return undefined;
    router.hook = () => undefined;
    // Between the pages: 1, which is on the first page, is given back; 0, which would have been there, is taken.
    router.free(router.form(topic(1)), 'unlock');
    Object.assign(router.form(topic(0)), { owner: { user: 'dan', name: 'Dan', tab: 'd' }, token: 1, rev: 1 });
    router.publish(topic(0), router.event(router.form(topic(0)), 'edit'));
    return undefined;
  };
  const list = new FormLockList(makeClient('eva'), 'invoice');
  await told(list, () => holder(list, 2) === 'bob');
  assert.equal(list.forms.get(topic(1)).state, 'free');
  assert.equal(holder(list, 0), 'dan');
});

test('an older or repeated event changes nothing, an update comes once', limit, async () => {
  const list = new FormLockList(makeClient('eva'), 'invoice');
  await editor('ann', 1);
  await told(list, () => holder(list, 1) === 'ann');
  const seen = [];
  list.addEventListener('change', ({ detail }) => seen.push(detail.form));
  list.addEventListener('updated', ({ detail }) => seen.push(detail.seq));
  const form = router.form(topic(1));
  router.publish(topic(1), { ...router.event(form, 'released'), state: 'free', holder: null, rev: form.rev - 1 });
  router.publish(topic(1), router.event(form, 'edit'));
  router.update(topic(1));
  router.publish(topic(1), router.journal.updates[0]);
  router.update(topic(1));
  await told(list, () => seen.includes(2));
  assert.deepEqual(seen, [1, 2]);
});

test('a change of many records is told once, to lists of its type and of all (U36)', limit, async () => {
  const many = { 'invoice': [], '': [], 'customer': [] };
  const lists = Object.entries(many).map(([type, heard]) => {
    const list = new FormLockList(makeClient('eva'), type);
    list.addEventListener('bulk', ({ detail }) => heard.push(detail.seq));
    list.addEventListener('updated', ({ detail }) => heard.push(detail.form));
    return list;
  });
  await editor('ann', 1);
  await told(lists[0], () => holder(lists[0], 1) === 'ann');
  await told(lists[1], () => holder(lists[1], 1) === 'ann');
  for (const seq of [1, 1, 2]) router.publish(topic('*'), { status: 'bulk', epoch: 'b1', seq, count: 4000 });
  router.update('com.example.form.customer.7');
  await told(lists[1], () => many[''].length === 3);
  await told(lists[2], () => many.customer.length === 1);
  assert.deepEqual(many, { 'invoice': [1, 2], '': [1, 2, 'com.example.form.customer.7'], 'customer': ['com.example.form.customer.7'] });
});

test('a service and a bridge that begin anew are heard, though their numbers are low', limit, async () => {
  const list = new FormLockList(makeClient('eva'), 'invoice');
  router.form(topic(1)).rev = 7;
  await editor('ann', 1);
  await told(list, () => holder(list, 1) === 'ann');
  const seen = [];
  list.addEventListener('updated', ({ detail }) => seen.push(detail.id));
  router.update(topic(1), { id: 'before' });
  const form = Object.assign(router.form(topic(1)), { epoch: 'e2', rev: 1, owner: { user: 'bob', name: 'BOB', tab: 'b' } });
  router.publish(topic(1), router.event(form, 'edit'));
  router.journal = { epoch: 'b2', updates: [] };
  router.update(topic(1), { id: 'after' });
  await told(list, () => seen.length === 2);
  assert.equal(holder(list, 1), 'bob');
});

test('who may not list is told so, and a list that has ended hears nothing', limit, async () => {
  router.hook = (procedure) => (procedure.endsWith('.list') ? { error: 'com.example.formlock.error.not_allowed', args: ['no'] } : undefined);
  const denied = new FormLockList(makeClient('eva'), 'invoice');
  await new Promise((resolve) => denied.addEventListener('denied', resolve));
  denied.end();
  router.hook = () => undefined;
  let heard = 0;
  denied.addEventListener('change', () => (heard += 1));
  const other = new FormLockList(makeClient('dan'), 'invoice');
  await editor('ann', 1);
  await told(other, () => holder(other, 1) === 'ann');
  assert.equal(heard, 0);
});
