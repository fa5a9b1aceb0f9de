// The client and its supervisor against a fake router: what goes over the wire, and what it does when the wire misbehaves.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { WebSocket } from 'ws';

import './quiet.js';

import { renewed } from '../acting.js';
import { FormLockClient } from '../client.js';
import { backoff } from '../connect.js';
import { PageTab } from '../page-tab.js';
import { FakeRouter } from './fake-router.js';

globalThis.WebSocket = WebSocket; // Node 20 has none of its own

const FORM = 'com.example.form.invoice.42';
const OTHER = 'com.example.form.invoice.43';

let router;
const clients = [];

beforeEach(async () => {
  router = await new FakeRouter().listen();
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.leave();
  await router.close();
});

function makeClient(user, options = {}) {
  const client = new FormLockClient({
    url: router.url, identity: () => ({ user, name: user.toUpperCase() }), tab: new PageTab(null), makeWorker: null, wait: () => 5, ...options,
  });
  clients.push(client);
  client.start();
  return client;
}

/** Resolves when the form is in that state. */
function reached(lock, name) {
  return new Promise((resolve) => {
    const look = () => {
      if (lock.name !== name) return;
      lock.removeEventListener('change', look);
      resolve();
    };
    lock.addEventListener('change', look);
    look();
  });
}

const limit = { timeout: 60_000 };

test('two clients: one gets the form, the other sees who has it, is refused, and sees it free again', limit, async () => {
  const ann = makeClient('ann').form(FORM);
  const bob = makeClient('bob').form(FORM);
  await Promise.all([reached(ann, 'free'), reached(bob, 'free')]);
  await ann.lock();
  assert.equal(ann.token, 1);
  await reached(bob, 'locked');
  assert.equal(bob.state.snapshot.holder.name, 'ANN');
  await assert.rejects(bob.lock(), { code: 'form_locked' });
  ann.done();
  await reached(bob, 'free');
  await bob.lock();
  assert.equal(bob.token, 2);
});

test('who we are and which tab goes with HELLO and with each call', limit, async () => {
  const client = makeClient('ann');
  await client.form(FORM).lock();
  assert.deepEqual(router.hellos[0][1].authextra, { user: 'ann', name: 'ANN' });
  assert.deepEqual(router.hellos[0][1].authmethods, ['anonymous']);
  const { facts } = await router.called('lock');
  assert.equal(facts.tab, client.tab.id);
  assert.match(facts.tab, /^[A-Za-z0-9_-]{1,64}$/);
  assert.match(facts.rid, /^.{1,64}$/);
});

test('a call is tried again while a worker starts, died, is away or is busy: same rid', limit, async () => {
  const errors = ['wamp.error.no_such_procedure', 'wamp.error.canceled', 'com.example.formlock.error.not_active', 'com.example.formlock.error.too_many'];
  router.hook = (procedure) => (procedure.endsWith('.lock') && errors.length ? { error: errors.shift() } : undefined);
  await makeClient('ann').form(FORM).lock();
  const locks = router.calls.filter((call) => call.procedure.endsWith('.lock'));
  assert.equal(locks.length, 5);
  assert.equal(new Set(locks.map((call) => call.facts.rid)).size, 1);
});

test('a refusal that no retry can change is not retried', limit, async () => {
  router.hook = (procedure) => (procedure.endsWith('.lock') ? { error: 'com.example.formlock.error.not_allowed', args: ['You are not allowed to do this'] } : undefined);
  const lock = makeClient('ann').form(FORM);
  await assert.rejects(lock.lock(), { code: 'not_allowed', message: 'You are not allowed to do this' });
  assert.equal(lock.state.problem, 'not_allowed');
});

test('a call without an answer ends the connection, and the same attempt succeeds on the next', limit, async () => {
  const client = makeClient('ann');
  const lock = client.form(FORM);
  await reached(lock, 'free');
  await lock.status();
  let silent = true;
  router.hook = (procedure) => {
    if (!silent || !procedure.endsWith('.lock')) return undefined;
    silent = false;
    client.supervisor.limitMs = 8000; // what comes after it has all the time that it needs
    return 'silent';
  };
  client.supervisor.limitMs = 50;
  await lock.lock();
  assert.equal(router.hellos.length, 2);
  const [first, second] = router.calls.filter((call) => call.procedure.endsWith('.lock'));
  assert.equal(first.facts.rid, second.facts.rid);
});

test('a lost connection comes back by itself and the token is proved again (A2, U9)', limit, async () => {
  const lock = makeClient('ann').form(FORM);
  await lock.lock();
  const before = router.calls.length;
  router.drop();
  const { facts } = await router.called('renew', before);
  assert.deepEqual(facts.locks, [{ form: FORM, token: 1 }]);
  await reached(lock, 'mine');
  assert.equal(router.hellos.length, 2);
});

test('an aborted join is tried again, for ever; a real denial is final (A2)', limit, async () => {
  router.abort = 'wamp.error.no_such_procedure'; // the authenticator is away
  const client = makeClient('ann');
  const lock = client.form(FORM);
  await new Promise((resolve) => client.addEventListener('connection', () => router.hellos.length >= 4 && resolve()));
  router.abort = null;
  await reached(lock, 'free');
  router.abort = 'wamp.error.authentication_failed';
  const hellos = router.hellos.length;
  router.drop();
  await new Promise((resolve) => lock.addEventListener('change', () => lock.state.problem === 'denied' && resolve()));
  await new Promise((resolve) => setTimeout(resolve, 60)); // ten times the back-off of this test
  assert.equal(router.hellos.length, hellos + 1);
});

test('one renewal for all locks of the tab', limit, async () => {
  const client = makeClient('ann');
  const locks = [client.form(FORM), client.form(OTHER)];
  await Promise.all(locks.map((lock) => lock.lock()));
  for (const lock of locks) lock.input({ type: 'probe' });
  const { facts } = await router.called('renew');
  assert.deepEqual(facts.locks, [{ form: FORM, token: 1 }, { form: OTHER, token: 1 }]);
  assert.equal(facts.tab, client.tab.id);
  assert.equal(router.calls.filter((call) => call.procedure.endsWith('.renew')).length, 1);
});

test('a probe is answered by a renewal', limit, async () => {
  const lock = makeClient('ann').form(FORM);
  await lock.lock();
  const form = router.form(FORM);
  router.publish(FORM, router.event(form, 'probe'), { only: form.session });
  const { facts } = await router.called('renew');
  assert.deepEqual(facts.locks, [{ form: FORM, token: 1 }]);
});

test('a renewal that the service refuses is a loss, with who has it', limit, async () => {
  const lock = makeClient('ann').form(FORM);
  await lock.lock();
  Object.assign(router.form(FORM), { owner: { user: 'eva', name: 'Eva Lind', tab: 'x' }, token: 2 });
  lock.input({ type: 'probe' });
  await reached(lock, 'lost');
  assert.equal(lock.state.lost.holder.name, 'Eva Lind');
});

test('leaving says unlock with leaving, then goodbye; the same client comes back with the same token', limit, async () => {
  const client = makeClient('ann');
  const lock = client.form(FORM);
  await lock.lock();
  client.leave();
  const { facts } = await router.called('unlock');
  assert.equal(facts.leaving, true);
  assert.equal(facts.token, 1);
  client.comeBack();
  await reached(lock, 'mine');
  assert.equal(lock.token, 1);
});

test('nothing heard for long: a sign of life is asked for', limit, async () => {
  const client = makeClient('ann', { heartbeatMs: 0 });
  await reached(client.form(FORM), 'free');
  const before = router.calls.length;
  client.tick();
  await router.called('status', before);
});

test('who holds a form gives three signs of life in the silence that its policy allows; they count from their sending (U7)', limit, async () => {
  let now = 1000;
  router.lease.silence_ms = 9000;
  const client = makeClient('ann', { clock: () => now });
  const lock = client.form(FORM);
  await lock.lock();
  await router.called('updates');
  await lock.call('status', {});
  const signs = () => router.calls.filter(({ procedure }) => procedure === 'com.example.alive').length;
  now += 2999;
  client.tick();
  await lock.call('status', {});
  assert.equal(signs(), 0);
  now += 3000;
  client.tick();
  const sent = now;
  now += 500;
  await router.called('alive');
  while (client.supervisor.heard < sent) await new Promise((resolve) => setTimeout(resolve));
  assert.equal(client.supervisor.heard, sent);
  router.hook = () => 'silent';
  now = sent + 7499;
  client.tick();
  assert.equal(lock.name, 'mine');
  now += 1;
  client.tick();
  assert.equal(lock.name, 'stale');
});

test('a duplicated tab, refused as the same user, takes an id of its own (U10)', limit, async () => {
  const first = makeClient('ann');
  await first.form(FORM).lock();
  const copy = new PageTab(null);
  copy.id = first.tab.id;
  const second = makeClient('ann', { tab: copy });
  const lock = second.form(FORM);
  await assert.rejects(lock.lock(), { code: 'form_locked' });
  assert.notEqual(second.tab.id, first.tab.id);
  assert.equal(lock.state.sameUser, true);
  first.form(FORM).done();
  await reached(lock, 'free');
  await lock.lock();
});

/** A form that is subscribed and knows where the bridge is; `told()` resolves with the ids of updates (or "missed") up to that of "end". */
async function listener(client) {
  const lock = client.form(FORM);
  const ids = [];
  const end = new Promise((resolve) => lock.addEventListener('updated', ({ detail }) => {
    ids.push(detail.missed ? 'missed' : detail.id);
    if (detail.id === 'end') resolve(ids);
  }));
  await router.called('updates');
  await reached(lock, 'free');
  await lock.status(); // the answer of `updates` came before this one's
  return { lock, told: () => (router.update(FORM, { id: 'end' }), end) };
}

/** Cuts the line, lets something happen, and resolves when the form is back on it and has asked what it missed. */
async function interrupted(client, happens) {
  router.hook = () => undefined;
  const before = router.calls.length;
  router.drop();
  await new Promise((resolve) => client.addEventListener('connection', resolve, { once: true }));
  happens();
  return (await router.called('updates', before)).facts;
}

test('updates of others are told once; our own, by tab or session, are not (U13)', limit, async () => {
  const client = makeClient('ann');
  const { told } = await listener(client);
  router.update(FORM, { id: 'a' });
  router.publish(FORM, router.journal.updates[0]);
  router.update(FORM, { id: 'own tab', origin: client.tab.id });
  router.update(FORM, { id: 'own session', origin: String(client.supervisor.session) });
  assert.deepEqual(await told(), ['a', 'end']);
});

test('what was reported while the line was down is told when it is back, in order and once; not our own (U13, U38)', limit, async () => {
  const client = makeClient('ann');
  const { told } = await listener(client);
  router.update(FORM, { id: 'a' });
  const session = String(client.supervisor.session);
  const asked = await interrupted(client, () => {
    router.update(FORM, { id: 'b' });
    router.update(FORM, { id: 'own', origin: session });
    router.update(FORM, { id: 'c' });
  });
  assert.deepEqual(asked, { form: FORM, since: 1 });
  assert.deepEqual(await told(), ['a', 'b', 'c', 'end']);
});

test('a line that breaks before the bridge has said where it is: the form may have changed (U38)', limit, async () => {
  router.hook = (procedure) => (procedure.endsWith('.updates') ? 'silent' : undefined);
  const client = makeClient('ann');
  const { told } = await listener(client);
  await interrupted(client, () => router.update(FORM, { id: 'b' }));
  await new Promise((resolve) => client.form(FORM).addEventListener('updated', resolve, { once: true }));
  router.update(FORM, { id: 'c' });
  assert.deepEqual(await told(), ['missed', 'c', 'end']);
});

test('an update that is heard before the bridge has said where it is does not hide what came before it (U38)', limit, async () => {
  const silent = (procedure) => (procedure.endsWith('.updates') ? 'silent' : undefined);
  router.hook = silent;
  const client = makeClient('ann');
  const { lock, told } = await listener(client);
  router.drop();
  await new Promise((resolve) => client.addEventListener('connection', resolve, { once: true }));
  router.update(FORM, { id: 'a' });
  const before = router.calls.length;
  await router.called('updates', before);
  router.update(FORM, { id: 'b' });
  await new Promise((resolve) => lock.addEventListener('updated', resolve, { once: true }));
  await interrupted(client, () => {});
  await new Promise((resolve) => lock.addEventListener('updated', resolve, { once: true }));
  assert.deepEqual(await told(), ['b', 'missed', 'end']);
});

test('a page that was left and came back is told what it missed', limit, async () => {
  const client = makeClient('ann');
  const { told } = await listener(client);
  client.leave();
  router.update(FORM, { id: 'b' });
  client.comeBack();
  await new Promise((resolve) => client.addEventListener('connection', resolve, { once: true }));
  assert.deepEqual(await told(), ['b', 'end']);
});

test('a number left out is asked for, and told before what follows it (U38)', limit, async () => {
  const { told } = await listener(makeClient('ann'));
  router.update(FORM, { id: 'a' });
  router.update(FORM, { id: 'b' }, { lost: true });
  router.update(FORM, { id: 'c' });
  assert.deepEqual(await told(), ['a', 'b', 'c', 'end']);
});

test('a gap that nobody can fill does not hold back what comes', limit, async () => {
  const { told } = await listener(makeClient('ann'));
  router.hook = (procedure) => (procedure.endsWith('.updates') ? { error: 'wamp.error.not_authorized' } : undefined);
  router.update(FORM, { id: 'a' }, { lost: true });
  router.update(FORM, { id: 'b' });
  assert.deepEqual(await told(), ['b', 'end']);
});

test('updates that the bridge has forgotten, or a bridge that began anew: the form may have changed', limit, async () => {
  const client = makeClient('ann');
  const { told } = await listener(client);
  await interrupted(client, () => {
    router.update(FORM, { id: 'b', forgotten: true });
    router.update(FORM, { id: 'c' });
  });
  await new Promise((resolve) => client.form(FORM).addEventListener('updated', resolve, { once: true }));
  await interrupted(client, () => {
    router.journal = { epoch: 'b2', updates: [] };
  });
  await new Promise((resolve) => client.form(FORM).addEventListener('updated', resolve, { once: true }));
  assert.deepEqual(await told(), ['missed', 'missed', 'end']);
});

test('a form that goes while its lock call is under way gives the grant back', limit, async () => {
  const client = makeClient('ann');
  const lock = client.form(FORM);
  await reached(lock, 'free');
  const asking = lock.lock();
  client.forget(lock);
  await assert.rejects(asking, { code: 'ended' });
  const { facts } = await router.called('unlock');
  assert.equal(facts.token, 1);
});

test('a page left with its lock call under way takes the lock up when it is loaded again', limit, async () => {
  const client = makeClient('ann');
  const lock = client.form(FORM);
  await reached(lock, 'free');
  lock.lock().catch(() => {});
  client.leave();
  assert.equal(client.tab.wasEditing(FORM, { type: 'reload', referrer: '', page: '', at: Date.now() }), true);
});

test('a late answer about an old token says nothing about the new one, and does not mark the form as edited', limit, async () => {
  const client = makeClient('ann');
  const lock = client.form(FORM);
  await lock.lock();
  lock.done();
  renewed(lock, { event: 'renewed', token: 1, epoch: 'e1', rev: 1, lease_ms: 90_000, renew_ms: 25_000 }, 1, client.clock());
  assert.equal(client.tab.wasEditing(FORM, { type: 'reload', referrer: '', page: '', at: Date.now() }), false);
  await lock.lock();
  renewed(lock, { event: 'lost', holder: null }, 1, client.clock());
  assert.equal(lock.name, 'mine');
});

test('a copy of a tab keeps its id as long as another form of it is being asked for', limit, async () => {
  const first = makeClient('ann');
  await first.form(FORM).lock();
  const copy = new PageTab(null);
  copy.id = first.tab.id;
  const second = makeClient('ann', { tab: copy });
  const [one, other] = [second.form(FORM), second.form(OTHER)];
  await Promise.all([reached(one, 'locked'), reached(other, 'free')]);
  await Promise.all([assert.rejects(one.lock(), { code: 'form_locked' }), other.lock()]);
  other.input({ type: 'probe' });
  const { facts } = await router.called('renew');
  assert.equal(facts.tab, router.form(OTHER).owner.tab);
});

test('a router that takes the connection and says nothing is given up, and tried again', limit, async () => {
  router.abort = 'silent';
  const client = makeClient('ann', { limitMs: 100 });
  const lock = client.form(FORM);
  await new Promise((resolve) => client.addEventListener('connection', () => router.hellos.length >= 2 && resolve()));
  router.abort = null;
  client.supervisor.limitMs = 8000;
  await reached(lock, 'free');
});

test('what was tried again counts from the try that was answered', limit, async () => {
  let refused = 0;
  router.hook = (procedure) => {
    if (refused || !procedure.endsWith('.lock')) return undefined;
    refused = performance.now();
    return { error: 'com.example.formlock.error.not_active' };
  };
  const lock = makeClient('ann', { clock: () => performance.now() }).form(FORM);
  await lock.lock();
  assert.ok(lock.state.grant.sent > refused);
});

test('the answers to a renewal are told by their forms, whatever their order', limit, async () => {
  const client = makeClient('ann');
  const locks = [client.form(FORM), client.form(OTHER)];
  await Promise.all(locks.map((lock) => lock.lock()));
  router.hook = (procedure) => (procedure.endsWith('.renew') ? { locks: [{ form: OTHER, event: 'lost', holder: null }, { form: FORM, event: 'renewed', token: 1, epoch: 'e1', rev: 1, ...router.lease }] } : undefined);
  for (const lock of locks) lock.input({ type: 'probe' });
  await reached(locks[1], 'lost');
  assert.equal(locks[0].name, 'mine');
});

test('while the form is held, a line on which nothing was heard for some seconds is asked for a sign of life', limit, async () => {
  let now = 0;
  const client = makeClient('ann', { clock: () => now });
  await client.form(FORM).lock();
  const before = router.calls.length;
  now += 5000;
  client.tick();
  await router.called('alive', before);
});

test('a line that breaks while a gap is asked for: it is asked for again, and told in order (U38)', limit, async () => {
  const client = makeClient('ann');
  const { told } = await listener(client);
  router.hook = (procedure) => (procedure.endsWith('.updates') ? 'silent' : undefined);
  const before = router.calls.length;
  router.update(FORM, { id: 'a' }, { lost: true });
  router.update(FORM, { id: 'b' });
  await router.called('updates', before);
  assert.deepEqual(await interrupted(client, () => {}), { form: FORM, since: 0 });
  assert.deepEqual(await told(), ['a', 'b', 'end']);
});

test('the waiting between attempts doubles up to its ceiling, with full jitter', () => {
  assert.equal(backoff(0, { random: () => 1 }), 300);
  assert.equal(backoff(3, { random: () => 1 }), 2400);
  assert.equal(backoff(1000, { random: () => 1 }), 10_000);
  assert.equal(backoff(5, { random: () => 0 }), 0);
});
