// What several want at once, over the wire of the fake router: the line, questions, takeovers, the other tabs.
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
const clients = [];

beforeEach(async () => {
  router = await new FakeRouter().listen();
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.leave();
  await router.close();
});

function lockOf(user, options = {}) {
  const client = new FormLockClient({
    url: router.url, identity: () => ({ user, name: user.toUpperCase() }), tab: new PageTab(null), makeWorker: null, wait: () => 5, ...options,
  });
  clients.push(client);
  client.start();
  return client.form(FORM);
}

/** Resolves when the state is as wanted. */
function until(lock, wanted) {
  return new Promise((resolve) => {
    const look = () => {
      if (!wanted(lock.state)) return;
      lock.removeEventListener('change', look);
      resolve();
    };
    lock.addEventListener('change', look);
    look();
  });
}
const named = (lock, name) => until(lock, (state) => state.name === name);

async function annHolds(options) {
  const ann = lockOf('ann', options);
  await ann.lock();
  return ann;
}

test('who waits has a place that moves up, and when the turn comes confirms it by a renewal', limit, async () => {
  const ann = await annHolds();
  const bob = lockOf('bob');
  const eva = lockOf('eva');
  await Promise.all([named(bob, 'locked'), named(eva, 'locked')]);
  const bobs = bob.lock({ wait: true });
  await named(bob, 'queued');
  const evas = eva.lock({ wait: true });
  await until(eva, ({ place }) => place === 2);
  assert.equal(await ann.done(), true);
  await bobs;
  assert.equal(bob.name, 'mine');
  const { facts } = await router.called('renew');
  assert.deepEqual(facts.locks, [{ form: FORM, token: 2 }]);
  assert.equal(router.form(FORM).unclaimed, false);
  await until(eva, ({ place }) => place === 1);
  await bob.done();
  await evas;
  assert.equal(eva.token, 3);
});

test('a place in line survives a lost connection: the same attempt finds it', limit, async () => {
  await annHolds();
  const bob = lockOf('bob');
  bob.lock({ wait: true }).catch(() => {});
  await named(bob, 'queued');
  const before = router.calls.length;
  router.drop();
  const { facts } = await router.called('lock', before);
  assert.equal(facts.wait, true);
  assert.equal(facts.rid, router.calls.find(({ procedure, session }) => procedure.endsWith('.lock') && session.user === 'bob').facts.rid);
  await named(bob, 'queued');
  assert.equal(router.form(FORM).waiters.length, 1);
});

test('who leaves the line is not in it any more, and the waiting ends', limit, async () => {
  await annHolds();
  const bob = lockOf('bob');
  const waiting = bob.lock({ wait: true });
  await named(bob, 'queued');
  const gone = assert.rejects(waiting, { code: 'ended' });
  await bob.leaveQueue();
  await gone;
  await until(bob, ({ snapshot }) => !snapshot.waiters);
  assert.equal(bob.name, 'locked');
});

test('a signal ends the waiting and the place in line', limit, async () => {
  await annHolds();
  const bob = lockOf('bob');
  const stop = new AbortController();
  const waiting = bob.lock({ wait: true, signal: stop.signal });
  await named(bob, 'queued');
  stop.abort(new Error('enough'));
  await assert.rejects(waiting, { message: 'enough' });
  await router.called('leave_queue');
});

test('a turn that has passed is no loss: the person is told that it has', limit, async () => {
  const ann = await annHolds();
  const bob = lockOf('bob');
  const waiting = bob.lock({ wait: true });
  await named(bob, 'queued');
  router.hook = (procedure, { locks }) => (procedure.endsWith('.renew') && locks[0].token === 2 ? { locks: [{ form: FORM, event: 'lost', holder: null }] } : undefined);
  const gone = assert.rejects(waiting, { code: 'turn_passed' });
  void ann.done();
  await gone;
  assert.equal(bob.state.problem, 'turn_passed');
  assert.notEqual(bob.name, 'lost');
});

test('the holder is told who asks and why, keeps it, and then gives it up (U17)', limit, async () => {
  const ann = await annHolds();
  const bob = lockOf('bob');
  await named(bob, 'locked');
  const heard = new Promise((resolve) => ann.addEventListener('asked', ({ detail }) => resolve(detail), { once: true }));
  assert.deepEqual(await bob.ask({ note: 'one line only' }), { free: false, answerInMs: 60_000 });
  assert.equal((await heard).note, 'one line only');
  await named(ann, 'asked');
  assert.equal(ann.editing, true);
  assert.equal(bob.state.question, ann.state.snapshot.asks[0].number);
  await ann.answer('keep', { keepMs: 300_000 });
  assert.equal(ann.name, 'mine');
  await until(bob, ({ question }) => question === null);
  await bob.ask();
  await named(ann, 'asked');
  await ann.answer('release');
  await named(bob, 'free');
  assert.equal(ann.name, 'free', 'what one gives up oneself is not lost');
});

test('a question to nobody frees the form', limit, async () => {
  await annHolds();
  const bob = lockOf('bob');
  await named(bob, 'locked');
  router.form(FORM).session = null; // she is in her grace
  assert.deepEqual(await bob.ask(), { free: true, answerInMs: null });
});

test('the loser of a takeover learns at once by whom and why, and may still hand in its text (U14, U19)', limit, async () => {
  const ann = await annHolds();
  const bob = lockOf('bob');
  await named(bob, 'locked');
  await bob.takeover({ reason: 'the customer is on the phone' });
  assert.equal(bob.name, 'mine');
  await named(ann, 'lost');
  const { by, reason, cause, token } = ann.state.lost;
  assert.deepEqual({ by, reason, cause, token }, { by: { user: 'bob', name: 'BOB' }, reason: 'the customer is on the phone', cause: 'takeover', token: 1 });
  router.form(FORM).drafts.push({ form: FORM, user: 'ann', name: 'ANN', token: 1, at: 0, own: true, draft: null }); // as the service: the owner of a grant that has just ended
  assert.deepEqual(await ann.handOver({ note: 'half' }), { moved: false });
});

test('a takeover of what has changed hands meanwhile is refused, and the place in line is kept', limit, async () => {
  await annHolds();
  const bob = lockOf('bob');
  bob.lock({ wait: true }).catch(() => {});
  await named(bob, 'queued');
  router.hook = (procedure) => (procedure.endsWith('.takeover') ? { error: 'com.example.formlock.error.conflict' } : undefined);
  await assert.rejects(bob.takeover(), { code: 'conflict' });
  assert.equal(bob.name, 'queued');
  assert.equal(bob.state.problem, 'conflict');
});

test('a takeover of nothing ends at once', limit, async () => {
  const bob = lockOf('bob');
  await named(bob, 'free');
  await assert.rejects(bob.takeover(), { code: 'ended' });
});

test('the old holder has time for its text, and it is kept for its user only', limit, async () => {
  router.handoverMs = 20_000;
  const ann = await annHolds();
  const bob = lockOf('bob');
  await named(bob, 'locked');
  const taking = bob.takeover({ reason: 'month end' });
  await until(ann, ({ handover }) => handover?.reason === 'month end');
  assert.equal(ann.state.handover.by.name, 'BOB');
  assert.ok(ann.state.handover.until > ann.client.clock());
  assert.deepEqual(await ann.handOver({ amount: '140' }), { moved: true });
  await taking;
  assert.equal(ann.name, 'lost');
  assert.deepEqual((await ann.drafts()).map(({ token, own }) => ({ token, own })), [{ token: 1, own: true }]);
  assert.deepEqual(await ann.draft(1), { amount: '140' });
  assert.equal(await bob.draft(), null);
  assert.equal(await ann.forgetDraft(), 1);
});

test('several who hold it side by side: another one who leaves takes nothing away', limit, async () => {
  const ann = await annHolds();
  const form = router.form(FORM);
  const holders = [{ user: 'eva', name: 'EVA', form: FORM, mode: 'shared', token: 7 }, { user: 'ann', name: 'ANN', form: FORM, mode: 'shared', token: 1 }];
  form.rev += 1;
  router.publish(FORM, { ...router.event(form, 'edit'), token: 7, holders });
  await until(ann, ({ rev }) => rev === form.rev);
  assert.equal(ann.name, 'mine');
});

test('how long it may still be held is known by the own clock', limit, async () => {
  const ann = await annHolds();
  router.tell(router.form(FORM), 'ending', { in_ms: 60_000 });
  await until(ann, ({ ending }) => ending !== null);
  assert.ok(ann.state.ending > ann.client.clock() + 50_000);
});

test('the states can be read one after the other', limit, async () => {
  const ann = lockOf('ann');
  const seen = [];
  const stop = new AbortController();
  for await (const { name } of ann.states({ signal: stop.signal })) {
    if (seen.at(-1) !== name) seen.push(name);
    if (name === 'free') void ann.lock();
    if (name === 'mine') stop.abort();
  }
  assert.deepEqual(seen, ['connecting', 'free', 'mine']);
});

test('what the user does is told with the renewals, for each form by itself', limit, async () => {
  const ann = await annHolds();
  const other = ann.client.form('com.example.form.invoice.43');
  await other.lock();
  ann.active(true);
  await router.called('renew');
  ann.active(false);
  other.active(true);
  const before = router.calls.length;
  const told = [await router.called('renew', before)];
  told.push(await router.called('renew', router.calls.indexOf(told[0]) + 1));
  assert.deepEqual(Object.fromEntries(told.map(({ facts }) => [facts.locks[0].form, facts.active])), { [FORM]: false, 'com.example.form.invoice.43': true });
});

/** Two tabs of one browser: channels that hear each other, and Web Locks that both know. */
function browser() {
  const open = new Set();
  const held = new Map();
  const waiting = [];
  return {
    makeChannel() {
      const channel = {
        onmessage: null,
        postMessage(data) {
          for (const other of open) if (other !== channel) queueMicrotask(() => other.onmessage?.({ data: structuredClone(data) }));
        },
        close: () => open.delete(channel),
      };
      open.add(channel);
      return channel;
    },
    locks: {
      held,
      request(name, { signal }, work) {
        return new Promise((resolve, reject) => {
          const take = () => {
            held.set(name, work().then(() => {
              held.delete(name);
              for (const next of waiting.splice(0)) next();
              resolve();
            }));
          };
          if (!held.has(name)) take();
          else {
            waiting.push(() => held.has(name) || take());
            signal.addEventListener('abort', () => reject(signal.reason));
          }
        });
      },
      query: () => Promise.resolve({ held: [...held.keys()].map((name) => ({ name })) }),
    },
  };
}

test('a duplicated tab takes an id of its own before it asks anything (U10)', limit, async () => {
  const { locks, makeChannel } = browser();
  const ann = await annHolds({ locks, makeChannel });
  const copy = new PageTab(null);
  copy.id = ann.client.tab.id;
  const again = lockOf('ann', { locks, makeChannel, tab: copy });
  again.lock({ resume: 'reload' }).catch(() => {}); // the copy has the marks, too
  await named(again, 'locked');
  assert.notEqual(copy.id, ann.client.tab.id);
  assert.deepEqual(router.calls.filter(({ procedure }) => procedure.endsWith('.lock')).length, 1, 'nor does it go on with what the original edits');
});

test('a page that is reloaded has its id as soon as the page before lets go of it (U8)', limit, async () => {
  const { locks, makeChannel } = browser();
  const ann = await annHolds({ locks, makeChannel });
  const { id } = ann.client.tab;
  const tab = new PageTab(null);
  tab.id = id;
  const again = lockOf('ann', { locks, makeChannel, tab });
  setTimeout(() => ann.client.leave(), 20);
  await again.lock();
  assert.equal(tab.id, id);
});

test('another tab of this browser is known, hands over its text, and loses to the tab moved to (U11, U12)', limit, async () => {
  const { makeChannel } = browser();
  const ann = await annHolds({ makeChannel });
  ann.unsaved = () => ({ amount: '140' });
  const here = lockOf('ann', { makeChannel });
  await until(here, ({ otherTab }) => otherTab);
  assert.deepEqual(await here.moveHere(), { draft: { amount: '140' } });
  assert.equal(here.name, 'mine');
  await named(ann, 'lost');
  assert.equal(ann.state.lost.by.user, 'ann');
  await until(ann, ({ otherTab }) => otherTab);
});

test('the same user elsewhere is not a tab of this browser: moving here takes over without its text', limit, async () => {
  await annHolds({ makeChannel: browser().makeChannel });
  const here = lockOf('ann', { makeChannel: browser().makeChannel });
  await until(here, ({ sameUser }) => sameUser);
  assert.equal(here.state.otherTab, false);
  assert.deepEqual(await here.moveHere(), { draft: null });
});

test('another tab that goes says so, and the one that waits may go on', limit, async () => {
  const { makeChannel } = browser();
  const ann = await annHolds({ makeChannel });
  const here = lockOf('ann', { makeChannel });
  await until(here, ({ otherTab }) => otherTab);
  ann.client.leave();
  await named(here, 'free');
  assert.equal(here.state.otherTab, false);
});

test('a browser that is slow to give a free id takes it from nobody: the page goes on with what it edited (U8)', limit, async () => {
  const { locks } = browser();
  let asked = 0;
  const slow = {
    query: locks.query,
    request: (name, { signal }, work) => ((asked += 1) > 1 ? locks.request(name, { signal }, work) : new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))),
  };
  const tab = new PageTab(null);
  const { id } = tab;
  const lock = lockOf('ann', { tab, locks: slow });
  await lock.lock({ resume: 'reload' });
  assert.equal(tab.id, id);
  assert.deepEqual([...locks.held.keys()], [`formlock.tab.${id}`]);
});

test('a page that may not use Web Locks keeps its id', limit, async () => {
  const tab = new PageTab(null);
  const { id } = tab;
  const refused = Object.assign(new Error('a sandboxed frame'), { name: 'SecurityError' });
  await named(lockOf('ann', { tab, locks: { request: () => Promise.reject(refused) } }), 'free');
  assert.equal(tab.id, id);
});

test('a page that is left before it has its id neither connects nor keeps the id from others', limit, async () => {
  const { locks } = browser();
  const tab = new PageTab(null);
  let letGo;
  void locks.request(`formlock.tab.${tab.id}`, { signal: AbortSignal.timeout(9000) }, () => new Promise((resolve) => (letGo = resolve)));
  const { client } = lockOf('ann', { tab, locks });
  client.leave();
  letGo();
  await named(lockOf('bob'), 'free');
  assert.deepEqual(router.hellos.map(([, { authextra }]) => authextra.user), ['bob']);
  assert.deepEqual([...locks.held.keys()], []);
});

/** What a page of another make says and hears among the tabs of a browser; `heard(what)` resolves with the next message of that kind. */
function stranger(makeChannel) {
  const channel = makeChannel();
  const all = [];
  let wake = () => {};
  channel.onmessage = ({ data }) => {
    all.push(data);
    channel.answer?.(data);
    wake();
  };
  return {
    all,
    channel,
    say: (what, user, more) => channel.postMessage({ what, form: FORM, user, from: 'stranger', ...more }),
    async heard(what) {
      for (;;) {
        const found = all.find((message) => message.what === what);
        if (found) return found;
        await new Promise((resolve) => (wake = resolve));
      }
    },
  };
}

test('unsaved text is handed to tabs of the same user only', limit, async () => {
  const { makeChannel } = browser();
  const other = stranger(makeChannel);
  const ann = await annHolds({ makeChannel });
  ann.unsaved = () => 'half a sentence';
  await other.heard('holds');
  other.say('move', 'bob', { from: 'bobs page' });
  other.say('move', 'ann', { from: 'her other page' });
  assert.equal((await other.heard('moved')).to, 'her other page');
});

test('who moves here goes on with the text of the tab that holds the form, asked for by this page, and of no other', limit, async () => {
  const { makeChannel } = browser();
  const ann = await annHolds({ makeChannel });
  ann.unsaved = async () => {
    for (let turn = 0; turn < 50; turn += 1) await null;
    return 'the text';
  };
  const third = lockOf('ann', { makeChannel });
  third.unsaved = () => 'of a tab that only looks on';
  await until(third, ({ otherTab }) => otherTab);
  const here = lockOf('ann', { makeChannel });
  await until(here, ({ otherTab }) => otherTab);
  const other = stranger(makeChannel);
  other.channel.answer = ({ what }) => what === 'move' && other.say('moved', 'ann', { to: 'another page', draft: 'what another page asked for' });
  assert.deepEqual(await here.moveHere(), { draft: 'the text' });
});

test('another tab that does not answer keeps nobody waiting for its text', limit, async () => {
  const { makeChannel } = browser();
  const frozen = stranger(makeChannel);
  frozen.channel.answer = ({ what }) => what === 'who' && frozen.say('holds', 'ann');
  await annHolds();
  const here = lockOf('ann', { makeChannel });
  await until(here, ({ otherTab }) => otherTab);
  assert.deepEqual(await here.moveHere(), { draft: null });
});
