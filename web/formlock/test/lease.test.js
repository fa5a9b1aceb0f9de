// The state machine: each test's name is the claim it proves.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as contest from '../contest.js';
import { ASK_MS, BLIP_MS, LATE_MS, GRACE_ASK_MS, PAUSE_MS, SILENCE_MS, start, step } from '../lease.js';

const ANN = { user: 'ann', name: 'Ann Weber' };
const LEASE = 90_000;
const RENEW = 25_000;

/** A form under test: `in(input, later)` moves the clock, ticking each second on the way as the worker does. The line is alive until it is `deaf`. */
function form() {
  let now = 1000;
  let state = start(now);
  let heard = null;
  const tell = (input, at) => {
    const result = step(state, input.type === 'tick' ? { heard: heard ?? at, ...input } : input, at, contest);
    state = result.state;
    return result.effects;
  };
  return {
    get state() { return state; },
    get name() { return state.name; },
    get now() { return now; },
    /** No call that is sent from now on is answered; `false`: all are. */
    deaf(dead = true) { heard = dead ? now : null; },
    /** The application claims grants. */
    claims() { state = { ...state, claims: true }; },
    in(input, later = 0) {
      const effects = [];
      for (const end = now + later; now + 1000 < end; ) effects.push(...tell({ type: 'tick' }, (now += 1000)));
      if (later) now += later % 1000 || 1000;
      effects.push(...tell(input, now));
      return effects;
    },
    /** The machine sleeps. */
    sleep(ms, input = { type: 'tick' }) {
      now += ms;
      return tell(input, now);
    },
  };
}

const free = (rev = 0, epoch = 'e') => ({ state: 'free', holder: null, since_ms: null, expires_in_ms: null, token: null, epoch, rev });
const held = (rev, token = 1, holder = ANN, epoch = 'e') => ({ state: 'held', holder, since_ms: 0, expires_in_ms: LEASE, token, epoch, rev });
const proof = (token = 1, rev = 1, epoch = 'e') => ({ token, epoch, rev, lease_ms: LEASE, renew_ms: RENEW, silence_ms: SILENCE_MS });

function linked(snapshot = free()) {
  const f = form();
  f.in({ type: 'connected' });
  f.in({ type: 'event', status: 'subscribed', snapshot });
  return f;
}

function mine() {
  const f = linked();
  f.in({ type: 'edit', rid: 'r1' });
  f.in({ type: 'granted', rid: 'r1', sent: f.now, grant: proof() });
  assert.equal(f.name, 'mine');
  return f;
}

test('until the service has said what is true, nothing is claimed', () => {
  const f = form();
  assert.equal(f.name, 'connecting');
  f.in({ type: 'connected' });
  assert.equal(f.name, 'connecting');
  f.in({ type: 'event', status: 'subscribed', snapshot: free() });
  assert.equal(f.name, 'free');
});

test('a subscription that is not followed by a state is followed by a question', () => {
  const f = form();
  f.in({ type: 'connected' });
  assert.deepEqual(f.in({ type: 'tick' }, ASK_MS), [{ do: 'status' }]);
});

test('edit asks with its rid, granted makes it mine', () => {
  const f = linked();
  assert.deepEqual(f.in({ type: 'edit', rid: 'r1' }), [{ do: 'lock', rid: 'r1', wait: false, take: null }]);
  assert.equal(f.name, 'free', 'not before the answer');
  f.in({ type: 'granted', rid: 'r1', sent: f.now, grant: proof() });
  assert.equal(f.name, 'mine');
});

test('the lease counts from the sending of the call, not from its answer', () => {
  const f = linked();
  f.in({ type: 'edit', rid: 'r1' });
  const sent = f.now;
  f.in({ type: 'granted', rid: 'r1', sent, grant: proof() }, 5000);
  assert.equal(f.state.grant.until, sent + LEASE);
});

test('an answer that comes after its own lease is over opens nothing', () => {
  const f = linked();
  f.in({ type: 'edit', rid: 'r1' });
  const effects = f.in({ type: 'granted', rid: 'r1', sent: f.now - LEASE, grant: proof() });
  assert.equal(f.name, 'stale');
  assert.deepEqual(effects, [{ do: 'renew' }]);
});

test('a second click while asking is not a second call', () => {
  const f = linked();
  f.in({ type: 'edit', rid: 'r1' });
  assert.deepEqual(f.in({ type: 'edit', rid: 'r2' }), []);
});

test('refused tells who has it (U18)', () => {
  const f = linked();
  f.in({ type: 'edit', rid: 'r1' });
  f.in({ type: 'refused', rid: 'r1', snapshot: held(1), sameUser: false });
  assert.equal(f.name, 'locked');
  assert.deepEqual(f.state.snapshot.holder, ANN);
});

test('a grant that nobody waits for any more is given back', () => {
  const f = linked();
  f.in({ type: 'edit', rid: 'r1' });
  f.in({ type: 'done', rid: 'd' });
  assert.deepEqual(f.in({ type: 'granted', rid: 'r1', sent: f.now, grant: proof(4) }), [{ do: 'unlock', rid: 'r1', token: 4, leaving: false, answer: false }]);
  assert.equal(f.name, 'free');
});

test('it is renewed in time, once, and stays mine', () => {
  const f = mine();
  assert.deepEqual(f.in({ type: 'tick' }, RENEW), [{ do: 'renew' }]);
  assert.deepEqual(f.in({ type: 'tick' }, 3000), [], 'not while one is under way');
  f.in({ type: 'renewed', sent: f.now, grant: proof() });
  assert.equal(f.name, 'mine');
  assert.equal(f.state.grant.until, f.now + LEASE);
});

test('no answer to renewals: stale before the end of the lease by the own clock, though ticks come late; never lost', () => {
  const f = mine();
  f.in({ type: 'tick' }, LEASE - LATE_MS - 1);
  assert.equal(f.name, 'mine');
  f.in({ type: 'tick' }, 1);
  assert.equal(f.name, 'stale');
  f.in({ type: 'tick' }, 10 * LEASE);
  assert.equal(f.name, 'stale');
});

test('who was asleep hears with its renewal who took over, when and why, also when what is true now was heard before (U19)', () => {
  const eva = { user: 'eva', name: 'Eva Lind' };
  const ben = { user: 'ben', name: 'Ben Ode' };
  const answer = { type: 'renewal lost', token: 1, holder: eva, cause: 'takeover', by: ben, reason: 'month end', ended_ms: 180_000 };
  const f = mine();
  f.sleep(200_000);
  f.in(answer);
  assert.deepEqual(f.state.lost, { holder: eva, cause: 'takeover', by: ben, reason: 'month end', token: 1, at: f.now - 180_000 });
  const g = mine();
  g.in({ type: 'disconnected' });
  g.in({ type: 'connected' }, 200_000);
  g.in({ type: 'event', status: 'locked', snapshot: held(5, 2, eva) });
  assert.equal(g.name, 'lost');
  assert.equal(g.state.lost.cause, null);
  g.in(answer, 10);
  assert.deepEqual(g.state.lost, { holder: eva, cause: 'takeover', by: ben, reason: 'month end', token: 1, at: g.now - 180_000 });
  g.in({ ...answer, token: 7, cause: 'idle' });
  assert.equal(g.state.lost.cause, 'takeover', 'an answer about another grant');
  const h = mine();
  h.in({ type: 'renewal lost', token: 1, holder: null });
  assert.equal(h.state.lost.cause, null, 'an older service says no more');
});

const short = (silence_ms = 6000) => ({ ...proof(), silence_ms });

/** Held under a policy that lets the next one in after 6 s of silence. */
function brisk() {
  const f = linked();
  f.in({ type: 'edit', rid: 'r1' });
  f.in({ type: 'granted', rid: 'r1', sent: f.now, grant: short() });
  return f;
}

test('a silent line: stale before somebody who waits can have the form, however long the lease (U7)', () => {
  const f = brisk();
  f.in({ type: 'tick' }, 20_000);
  assert.equal(f.name, 'mine', 'as long as calls are answered');
  f.deaf();
  f.in({ type: 'tick' }, 4000);
  assert.equal(f.name, 'mine');
  assert.deepEqual(f.in({ type: 'tick' }, 1000), [{ do: 'renew' }]);
  assert.equal(f.name, 'stale');
});

test('silence counts from the sending of what was answered: a late answer opens nothing', () => {
  const f = linked();
  f.in({ type: 'tick' }, 9000);
  f.in({ type: 'edit', rid: 'r1' });
  assert.deepEqual(f.in({ type: 'granted', rid: 'r1', sent: f.now - 5000, grant: short() }), [{ do: 'renew' }]);
  assert.equal(f.name, 'stale');
  assert.deepEqual(f.in({ type: 'renewed', sent: f.now - 5000, grant: short() }), [{ do: 'renew' }]);
  assert.equal(f.name, 'stale');
  f.in({ type: 'renewed', sent: f.now - 4000, grant: short() });
  assert.equal(f.name, 'mine');
});

test('an older service does not say how long: 10 s', () => {
  const f = linked();
  f.in({ type: 'edit', rid: 'r1' });
  f.in({ type: 'granted', rid: 'r1', sent: f.now, grant: { ...proof(), silence_ms: undefined } });
  f.deaf();
  f.in({ type: 'tick' }, 8_000);
  assert.equal(f.name, 'mine');
  f.in({ type: 'tick' }, 1000);
  assert.equal(f.name, 'stale');
});

test('behind a probe only a renewal is a sign of life: the service counts from the probe', () => {
  const f = brisk();
  f.in({ type: 'tick' }, 10_000);
  assert.deepEqual(f.in({ type: 'probe' }), [{ do: 'renew' }]);
  f.in({ type: 'tick' }, 4000);
  assert.equal(f.name, 'mine');
  f.in({ type: 'tick' }, 1000);
  assert.equal(f.name, 'stale', 'though the router answers');
  f.in({ type: 'renewed', sent: f.now, grant: short() });
  f.in({ type: 'tick' }, 20_000);
  assert.equal(f.name, 'mine');
});

test('the next grant is not counted from the silence before it', () => {
  const f = brisk();
  f.in({ type: 'done', rid: 'd' });
  f.in({ type: 'unlocked', rid: 'd', rev: null });
  f.deaf();
  f.in({ type: 'tick' }, 30_000);
  f.in({ type: 'edit', rid: 'r2' });
  f.in({ type: 'granted', rid: 'r2', sent: f.now, grant: { ...short(), token: 2, rev: 3 } });
  assert.equal(f.name, 'mine');
});

test('a claim waits for a grant that is in time', () => {
  const f = linked();
  f.claims();
  f.in({ type: 'tick' }, 9000);
  f.in({ type: 'edit', rid: 'r1' });
  assert.deepEqual(f.in({ type: 'granted', rid: 'r1', sent: f.now - 5000, grant: short() }), [{ do: 'renew' }]);
  assert.deepEqual(f.in({ type: 'renewed', sent: f.now, grant: short() }), [{ do: 'claim', token: 1 }]);
});

test('a line that is back proves nothing: what has not been proved on it within the moment of a blip is stale', () => {
  const f = mine();
  f.in({ type: 'disconnected' });
  f.in({ type: 'connected' }, 500);
  assert.equal(f.name, 'mine');
  f.in({ type: 'tick' }, BLIP_MS);
  assert.equal(f.name, 'stale');
  const g = mine();
  g.in({ type: 'disconnected' });
  g.in({ type: 'connected' }, 500);
  g.in({ type: 'renewed', sent: g.now, grant: proof() });
  g.in({ type: 'tick' }, BLIP_MS);
  assert.equal(g.name, 'mine');
});

test('stale becomes mine again only by a renewal, and lost only by the service', () => {
  const f = mine();
  f.in({ type: 'tick' }, LEASE);
  f.in({ type: 'renewed', sent: f.now, grant: proof() });
  assert.equal(f.name, 'mine');
  f.in({ type: 'tick' }, LEASE);
  f.in({ type: 'renewal lost', token: 1, holder: { user: 'eva', name: 'Eva Lind' } });
  assert.equal(f.name, 'lost');
  assert.equal(f.state.lost.holder.name, 'Eva Lind');
});

test('whoever slept goes to stale before anything else, even before the click that woke the page (U7)', () => {
  const f = mine();
  const effects = f.sleep(PAUSE_MS, { type: 'done', rid: 'd' });
  assert.ok(effects.some((effect) => effect.do === 'renew'));
  const g = mine();
  g.sleep(PAUSE_MS);
  assert.equal(g.name, 'stale', 'although the lease has not ended by the clock');
});

test('an answer that was sent for before a sleep proves nothing after it, neither to a holder nor to who has just asked', () => {
  const f = mine();
  const sent = f.now;
  f.in({ type: 'renewing' });
  assert.deepEqual(f.sleep(PAUSE_MS, { type: 'renewed', sent, grant: proof() }), [{ do: 'renew' }, { do: 'renew' }]);
  assert.equal(f.name, 'stale', 'although its lease has not ended by the clock');
  f.in({ type: 'renewed', sent: f.now, grant: proof() });
  assert.equal(f.name, 'mine');
  const g = linked();
  g.in({ type: 'edit', rid: 'r1' });
  const asked = g.now;
  g.sleep(PAUSE_MS, { type: 'granted', rid: 'r1', sent: asked, grant: proof() });
  assert.equal(g.name, 'stale');
});

test('a short interruption is not shown; a longer one shuts the fields long before the lease ends', () => {
  const f = mine();
  f.in({ type: 'disconnected' });
  assert.equal(f.name, 'mine');
  f.in({ type: 'tick' }, BLIP_MS);
  assert.equal(f.name, 'stale');
});

test('a connection that was silent is not believed for a moment', () => {
  const f = mine();
  f.in({ type: 'disconnected', silent: true });
  assert.equal(f.name, 'stale');
});

test('back on the line the token is proved by a renewal', () => {
  const f = mine();
  f.in({ type: 'disconnected' });
  f.in({ type: 'tick' }, 5000);
  assert.deepEqual(f.in({ type: 'connected' }), [{ do: 'renew' }]);
  assert.equal(f.name, 'stale');
  f.in({ type: 'renewed', sent: f.now, grant: proof() });
  assert.equal(f.name, 'mine');
});

test('a line that stays away and is tried again and again is not believed any longer for that', () => {
  const f = mine();
  f.in({ type: 'disconnected' });
  f.in({ type: 'disconnected' }, BLIP_MS - 500);
  f.in({ type: 'tick' }, 500);
  assert.equal(f.name, 'stale');
});

test('a line that comes and goes, and never proves anything, is not believed any longer for that', () => {
  const f = mine();
  for (let times = 0; times < 3; times += 1) {
    f.in({ type: 'disconnected' }, 300);
    f.in({ type: 'connected' }, 400);
  }
  f.in({ type: 'tick' }, 300);
  assert.equal(f.name, 'stale');
  f.in({ type: 'renewed', sent: f.now, grant: proof() });
  f.in({ type: 'disconnected' }, 300);
  f.in({ type: 'tick' }, BLIP_MS - 500);
  assert.equal(f.name, 'mine');
});

test('a lease that may last no longer is not renewed again and again in its last moments', () => {
  const f = mine();
  assert.deepEqual(f.in({ type: 'tick' }, RENEW), [{ do: 'renew' }]);
  assert.deepEqual(f.in({ type: 'renewed', sent: f.now, grant: { ...proof(), lease_ms: LATE_MS - 100 } }, 30), []);
  assert.equal(f.name, 'stale');
  assert.deepEqual(f.in({ type: 'tick' }, 1000), []);
  assert.deepEqual(f.in({ type: 'tick' }, ASK_MS - 1000), [{ do: 'renew' }]);
});

test('while stale the token is proved every moment, not only when its next renewal would be due', () => {
  const f = mine();
  f.sleep(PAUSE_MS);
  f.in({ type: 'unanswered' });
  assert.deepEqual(f.in({ type: 'tick' }, 1), [{ do: 'renew' }]);
  assert.equal(f.name, 'stale');
});

test('offline says so, keeps the token, and comes back through stale', () => {
  const f = mine();
  f.in({ type: 'offline' });
  f.in({ type: 'tick' }, BLIP_MS);
  assert.equal(f.name, 'offline');
  assert.equal(f.state.grant.token, 1);
  f.in({ type: 'online' });
  assert.equal(f.name, 'stale');
});

test('the same attempt goes on over a lost connection, with the same rid', () => {
  const f = linked();
  f.in({ type: 'edit', rid: 'r1' });
  f.in({ type: 'disconnected' });
  assert.deepEqual(f.in({ type: 'connected' }), [{ do: 'lock', rid: 'r1', wait: false, take: null }]);
});

test('a probe is answered at once, even if a renewal is under way', () => {
  const f = mine();
  f.in({ type: 'renewing' });
  assert.deepEqual(f.in({ type: 'probe' }), [{ do: 'renew' }]);
  assert.deepEqual(linked().in({ type: 'probe' }), []);
});

test('what was given back and taken again: late words about the first token and the first unlock touch nothing of the second', () => {
  const f = mine();
  f.in({ type: 'done', rid: 'd1' });
  f.in({ type: 'edit', rid: 'r2' });
  f.in({ type: 'granted', rid: 'r2', sent: f.now, grant: proof(2, 3) });
  f.in({ type: 'renewed', sent: f.now, grant: proof(1, 1) });
  assert.equal(f.state.grant.token, 2);
  f.in({ type: 'renewal lost', token: 1, holder: null });
  assert.equal(f.name, 'mine');
  f.in({ type: 'done', rid: 'd2' });
  f.in({ type: 'unlocked', rid: 'd1', rev: 2 });
  assert.deepEqual(f.state.releasing, { token: 2, rid: 'd2', answer: false });
});

test('who has asked already and now wants to wait asks on, with the same rid', () => {
  const f = linked();
  f.in({ type: 'edit', rid: 'r1' });
  assert.deepEqual(f.in({ type: 'edit', rid: 'r2', wait: true }), [{ do: 'lock', rid: 'r1', wait: true, take: null }]);
});

test('done frees at once, and is said again after a lost connection', () => {
  const f = mine();
  assert.deepEqual(f.in({ type: 'done', rid: 'd' }), [{ do: 'unlock', rid: 'd', token: 1, leaving: false, answer: false }]);
  assert.equal(f.name, 'free');
  f.in({ type: 'disconnected' });
  assert.deepEqual(f.in({ type: 'connected' }), [{ do: 'unlock', rid: 'd', token: 1, leaving: false, answer: false }]);
  f.in({ type: 'event', status: 'subscribed', snapshot: held(1, 1) });
  assert.equal(f.name, 'free', 'U11: not locked by myself while the unlock is on its way');
});

test('leaving gives the lock back, and coming back asks for it again', () => {
  const f = mine();
  assert.deepEqual(f.in({ type: 'left', rid: 'l' }), [{ do: 'unlock', rid: 'l', token: 1, leaving: true, answer: false }]);
  f.in({ type: 'came back', rid: 'b' });
  assert.deepEqual(f.in({ type: 'connected' }), [{ do: 'lock', rid: 'b', wait: false, take: null }]);
  f.in({ type: 'event', status: 'subscribed', snapshot: free(2) });
  assert.equal(f.name, 'connecting', 'no flicker of "nobody is editing"');
  f.in({ type: 'granted', rid: 'b', sent: f.now, grant: proof(1, 3) });
  assert.equal(f.name, 'mine');
  assert.equal(f.state.changed, false);
});

test('coming back to a form that somebody else had meanwhile says so', () => {
  const f = mine();
  f.in({ type: 'left', rid: 'l' });
  f.in({ type: 'came back', rid: 'b' });
  f.in({ type: 'connected' });
  f.in({ type: 'granted', rid: 'b', sent: f.now, grant: proof(3, 9) });
  assert.equal(f.state.changed, true);
});

test('coming back to a form that somebody else has is a loss, and the text is kept', () => {
  const f = mine();
  f.in({ type: 'left', rid: 'l' });
  f.in({ type: 'came back', rid: 'b' });
  f.in({ type: 'connected' });
  f.in({ type: 'refused', rid: 'b', snapshot: held(4, 2), sameUser: false });
  assert.equal(f.name, 'lost');
});

test('whoever was not editing does not ask when coming back', () => {
  const f = linked();
  f.in({ type: 'left', rid: 'l' });
  f.in({ type: 'came back', rid: 'b' });
  assert.deepEqual(f.in({ type: 'connected' }), []);
});

test('whoever left with the question still open asks again when coming back, and a refusal is then no loss', () => {
  const f = linked();
  f.in({ type: 'edit', rid: 'r1' });
  assert.deepEqual(f.in({ type: 'left', rid: 'l' }), [], 'no token to give back yet');
  f.in({ type: 'came back', rid: 'b' });
  assert.deepEqual(f.in({ type: 'connected' }), [{ do: 'lock', rid: 'b', wait: false, take: null }]);
  f.in({ type: 'refused', rid: 'b', snapshot: held(4, 2), sameUser: false });
  assert.equal(f.name, 'locked');
});

test('leaving again before the answer gives back what may have been granted again', () => {
  const f = mine();
  f.in({ type: 'left', rid: 'l' });
  f.in({ type: 'came back', rid: 'b' });
  f.in({ type: 'connected' });
  assert.deepEqual(f.in({ type: 'left', rid: 'l2' }), [{ do: 'unlock', rid: 'l2', token: 1, leaving: true, answer: false }]);
  f.in({ type: 'came back', rid: 'b2' });
  f.in({ type: 'connected' });
  f.in({ type: 'refused', rid: 'b2', snapshot: held(4, 2), sameUser: false });
  assert.equal(f.name, 'lost');
});

test('an unlock without an answer is said again by a page that left and came back', () => {
  const f = mine();
  f.in({ type: 'done', rid: 'd' });
  f.in({ type: 'left', rid: 'l' });
  f.in({ type: 'came back', rid: 'b' });
  assert.deepEqual(f.in({ type: 'connected' }), [{ do: 'unlock', rid: 'd', token: 1, leaving: false, answer: false }]);
});

test('only rising revs are applied', () => {
  const f = linked(free(5));
  f.in({ type: 'event', status: 'edit', snapshot: held(6) });
  f.in({ type: 'event', status: 'released', snapshot: free(5) });
  assert.equal(f.name, 'locked');
  f.in({ type: 'snapshot', snapshot: free(4) });
  assert.equal(f.name, 'locked');
});

test('the same user in another tab is told so, from whatever event (U11)', () => {
  const first = step(start(0, 'ann'), { type: 'connected' }, 0).state;
  const next = step(first, { type: 'event', status: 'locked', snapshot: held(1) }, 1).state;
  assert.equal(next.sameUser, true);
});

test('a gap in rev is applied and asked about, an unknown epoch only asked about', () => {
  const f = linked(free(5));
  assert.deepEqual(f.in({ type: 'event', status: 'edit', snapshot: held(8) }), [{ do: 'status' }]);
  assert.equal(f.name, 'locked');
  assert.deepEqual(f.in({ type: 'event', status: 'released', snapshot: free(1, 'other') }), [{ do: 'status' }]);
  assert.equal(f.name, 'locked');
  f.in({ type: 'snapshot', snapshot: free(1, 'other') });
  assert.equal(f.name, 'free');
});

test('one event missed is a gap already, and the next one is none', () => {
  const f = linked(free(5));
  assert.deepEqual(f.in({ type: 'event', status: 'edit', snapshot: held(6) }), []);
  assert.deepEqual(f.in({ type: 'event', status: 'edit', snapshot: held(8) }), [{ do: 'status' }]);
});

test('the same event told twice counts once: since when it is held does not move', () => {
  const f = linked(free(5));
  f.in({ type: 'event', status: 'edit', snapshot: held(6) });
  const { snapshotAt } = f.state;
  f.in({ type: 'event', status: 'edit', snapshot: held(6) }, 5000);
  assert.equal(f.state.snapshotAt, snapshotAt);
});

test('who looks on is known until somebody says otherwise, for most events do not tell', () => {
  const f = linked();
  const viewers = [{ user: 'eva', name: 'Eva Lind' }];
  f.in({ type: 'event', status: 'viewers', snapshot: { ...free(), viewers, viewer_count: 1 } });
  f.in({ type: 'event', status: 'edit', snapshot: held(1) });
  assert.deepEqual([f.state.snapshot.viewers, f.state.snapshot.viewer_count], [viewers, 1]);
  f.in({ type: 'event', status: 'viewers', snapshot: { ...held(1), viewers: [], viewer_count: 0 } });
  assert.deepEqual([f.state.snapshot.viewers, f.state.snapshot.viewer_count], [[], 0]);
});

test('somebody else got it: lost at once, and a renewal in flight does not undo it (U15)', () => {
  const f = mine();
  f.in({ type: 'renewing' });
  f.in({ type: 'event', status: 'edit', snapshot: held(2, 2, { user: 'eva', name: 'Eva Lind' }) });
  assert.equal(f.name, 'lost');
  f.in({ type: 'renewed', sent: f.now, grant: proof(1, 1) });
  assert.equal(f.name, 'lost');
});

test('the service says that the lock ended: lost, with its cause (U19)', () => {
  const f = mine();
  f.in({ type: 'event', status: 'released', cause: 'expired', snapshot: free(2) });
  assert.equal(f.name, 'lost');
  assert.equal(f.state.lost.cause, 'expired');
  assert.deepEqual(f.in({ type: 'edit', rid: 'r2' }), [{ do: 'lock', rid: 'r2', wait: false, take: null }]);
});

test('an event older than the grant does not touch it', () => {
  const f = linked(free(4));
  f.in({ type: 'edit', rid: 'r1' });
  f.in({ type: 'granted', rid: 'r1', sent: f.now, grant: proof(3, 6) });
  f.in({ type: 'event', status: 'released', cause: 'unlock', snapshot: free(5) });
  assert.equal(f.name, 'mine');
});

test('not allowed is remembered until the next attempt', () => {
  const f = linked();
  f.in({ type: 'edit', rid: 'r1' });
  f.in({ type: 'failed', rid: 'r1', problem: 'not_allowed' });
  assert.equal(f.name, 'free');
  assert.equal(f.state.problem, 'not_allowed');
});

test('a state given to step is never changed', () => {
  const f = mine();
  const before = structuredClone(f.state);
  step(f.state, { type: 'done', rid: 'x' }, f.now + 5);
  step(f.state, { type: 'disconnected', silent: true }, f.now + 5);
  assert.deepEqual(f.state, before);
});

/** A small generator of repeatable numbers. */
function numbers(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test('random walks: never mine after the end of the lease by the own clock, rev never falls within an epoch', () => {
  for (let seed = 1; seed <= 300; seed += 1) {
    const pick = numbers(seed);
    let now = 0;
    let state = start(now);
    let rid = 0;
    let service = { rev: 0, token: 0, epoch: 1 };
    const any = () => ({ ...(pick(2) ? free() : held(0, service.token - pick(2))), epoch: `e${service.epoch}`, rev: Math.max(0, service.rev - pick(3)) });
    for (let turn = 0; turn < 120; turn += 1) {
      now += [0, 10, 1000, 1000, 1000, 5000, 20_000, 100_000][pick(8)];
      if (pick(40) === 0) service = { rev: 0, token: service.token + 1000, epoch: service.epoch + 1 };
      if (pick(3) === 0) service = { ...service, rev: service.rev + 1, token: service.token + pick(2) };
      const grant = () => ({ ...proof(service.token - pick(2), Math.max(0, service.rev - pick(2)), `e${service.epoch}`) });
      const input = [
        () => ({ type: 'tick', heard: now - pick(30_000) }), () => ({ type: 'connected' }), () => ({ type: 'disconnected', silent: pick(2) === 0 }),
        () => ({ type: 'offline' }), () => ({ type: 'online' }), () => ({ type: 'probe' }), () => ({ type: 'renewing' }), () => ({ type: 'unanswered' }),
        () => ({ type: 'edit', rid: `r${(rid += 1)}` }), () => ({ type: 'granted', rid: state.asking?.rid ?? 'none', sent: now - pick(120_000), grant: grant() }),
        () => ({ type: 'refused', rid: state.asking?.rid ?? 'none', snapshot: any(), sameUser: false }),
        () => ({ type: 'renewed', sent: now - pick(120_000), grant: { ...grant(), token: state.grant?.token ?? 0 } }),
        () => ({ type: 'renewal lost', token: state.grant?.token ?? 0, holder: null }),
        () => ({ type: 'event', status: ['edit', 'released', 'locked', 'subscribed'][pick(4)], snapshot: any() }),
        () => ({ type: 'snapshot', snapshot: any() }), () => ({ type: 'done', rid: `d${turn}` }), () => ({ type: 'left', rid: `l${turn}` }),
        () => ({ type: 'came back', rid: `b${turn}` }),
        () => ({ type: 'edit', rid: `w${turn}`, wait: true }), () => ({ type: 'take over', rid: `t${turn}`, reason: '' }),
        () => ({ type: 'queued', rid: state.asking?.rid ?? 'none', number: pick(3), position: 1, rev: service.rev }),
        () => ({ type: 'event', status: 'granted', number: state.asking?.number ?? 0, snapshot: { ...held(service.rev, service.token), epoch: `e${service.epoch}` } }),
        () => ({ type: 'event', status: ['asked', 'takeover', 'queued', 'handover'][pick(4)], snapshot: { ...any(), asks: [{ number: 1, ...ANN, note: '' }], waiters: pick(2) ? [{ number: 1, ...ANN }] : undefined } }),
        () => ({ type: 'done', rid: `a${turn}`, answer: true }), () => ({ type: 'question', number: pick(3) }),
      ][pick(25)]();
      const { state: next, effects } = step(state, input, now, contest);
      const where = `seed ${seed}, turn ${turn}, ${JSON.stringify(input)}`;
      const calls = effects.filter((effect) => 'rid' in effect).map((effect) => `${effect.do} ${effect.rid}`);
      assert.equal(new Set(calls).size, calls.length, `no call is made twice for one attempt: ${where}, ${calls}`);
      assert.ok(!next.grant || !next.asking, `nobody asks for what he holds: ${where}`);
      assert.equal(next.name === 'queued' && next.grant === null, next.place !== null && next.name === 'queued', `who stands in line has a place: ${where}`);
      if (next.name === 'mine' || next.name === 'asked') {
        assert.ok(next.grant.proven && next.grant.claim === 'done', `proven and claimed: ${where}`);
        assert.ok(next.grant.sent >= next.woke, `proved since the last pause: ${where}`);
        assert.ok(next.grant && now < next.grant.until, `mine within the lease: ${where}`);
        assert.ok(now < next.heard + next.grant.silent - LATE_MS, `mine before somebody else may have it: ${where}`);
        assert.ok(next.link || now < next.doubt, `mine with a line, or a moment after: ${where}`);
      }
      if (next.epoch === state.epoch) assert.ok(next.rev >= state.rev, `rev: ${where}`);
      if (next.name === 'lost' && state.name !== 'lost') assert.ok(['renewal lost', 'event', 'snapshot', 'refused'].includes(input.type), `only the service says lost: ${where}`);
      state = next;
    }
  }
});

test('while the holder is away, the service is asked every few seconds whether it is back', () => {
  const f = linked({ ...held(3), state: 'grace' });
  const asked = f.in({ type: 'tick' }, GRACE_ASK_MS + 2000).filter((effect) => effect.do === 'status');
  assert.equal(asked.length, 1);
  f.in({ type: 'snapshot', snapshot: { ...held(3), state: 'grace' } });
  assert.equal(f.in({ type: 'tick' }, GRACE_ASK_MS + 2000).filter((effect) => effect.do === 'status').length, 1);
  f.in({ type: 'snapshot', snapshot: held(3) });
  assert.equal(f.in({ type: 'tick' }, 60_000).filter((effect) => effect.do === 'status').length, 0);
});

/** A form whose application claims each grant. */
function claiming(resume) {
  const f = linked();
  f.claims();
  f.in({ type: 'edit', rid: 'r1', resume });
  const effects = f.in({ type: 'granted', rid: 'r1', sent: f.now, grant: { ...proof(), receipt: 'one' } });
  assert.deepEqual(effects, [{ do: 'claim', token: 1 }]);
  return f;
}

test('a grant that the application has to claim is not editing before that', () => {
  const f = claiming();
  assert.equal(f.name, 'free', 'as while it was asked for');
  f.in({ type: 'event', status: 'edit', snapshot: held(1) });
  assert.equal(f.name, 'free', 'our own grant, told late');
  f.in({ type: 'claimed', token: 7 });
  assert.equal(f.name, 'free', 'of another token');
  f.in({ type: 'claimed', token: 1 });
  assert.equal(f.name, 'mine');
  assert.equal(claiming('reload').name, 'connecting', 'after a reload nobody reads that the form is free');
});

test('a token is claimed once, however often it is renewed; a doubt in between does not ask again', () => {
  const f = claiming();
  assert.deepEqual(f.in({ type: 'renewed', sent: f.now, grant: { ...proof(), receipt: 'two' } }), []);
  assert.equal(f.state.grant.receipt, 'two', 'the newest receipt travels with the form');
  f.in({ type: 'claimed', token: 1 });
  f.sleep(PAUSE_MS);
  assert.equal(f.name, 'stale');
  f.in({ type: 'renewed', sent: f.now, grant: proof() });
  assert.equal(f.name, 'mine');
  assert.equal(f.state.grant.receipt, 'two', 'an answer without one takes none away');
});

test('what is not proven is not claimed, and is claimed as soon as it is', () => {
  const f = linked();
  f.claims();
  f.in({ type: 'edit', rid: 'r1' });
  const sent = f.now;
  f.sleep(PAUSE_MS);
  assert.deepEqual(f.in({ type: 'granted', rid: 'r1', sent, grant: proof() }), [{ do: 'renew' }]);
  assert.equal(f.name, 'stale');
  assert.deepEqual(f.in({ type: 'renewed', sent: f.now, grant: proof() }), [{ do: 'claim', token: 1 }]);
});

test('a claim that fails gives the form back and says so; a late word of it changes nothing', () => {
  const f = claiming();
  assert.deepEqual(f.in({ type: 'claim failed', token: 7, rid: 'r2' }), []);
  assert.deepEqual(f.in({ type: 'claim failed', token: 1, rid: 'r2' }), [{ do: 'unlock', rid: 'r2', token: 1, leaving: false, answer: false }]);
  assert.deepEqual([f.name, f.state.problem], ['free', 'claim']);
  f.in({ type: 'claimed', token: 1 });
  assert.equal(f.name, 'free');
});

test('a probe that overtakes the answer to our lock is answered as soon as that is here', () => {
  const f = linked();
  f.in({ type: 'edit', rid: 'r1' });
  assert.deepEqual(f.in({ type: 'probe' }), []);
  assert.deepEqual(f.in({ type: 'granted', rid: 'r1', sent: f.now, grant: proof() }), [{ do: 'renew' }]);
  assert.deepEqual(f.in({ type: 'renewed', sent: f.now, grant: proof() }), []);
});

test('asking again right after giving up does not give back what the second answer brings', () => {
  const f = linked();
  f.in({ type: 'edit', rid: 'r1' });
  f.in({ type: 'done', rid: 'd1' });
  f.in({ type: 'edit', rid: 'r2' });
  assert.deepEqual(f.in({ type: 'granted', rid: 'r1', sent: f.now, grant: proof() }), []);
  f.in({ type: 'granted', rid: 'r2', sent: f.now, grant: proof() });
  assert.equal(f.name, 'mine');
});

/** Bob, who waits as the second in line, with number 7. */
function waiting() {
  const f = linked(held(3));
  f.in({ type: 'edit', rid: 'r1', wait: true });
  f.in({ type: 'queued', rid: 'r1', number: 7, position: 2, rev: 4 });
  assert.equal(f.state.place, 2);
  return f;
}

test('who is in line no more without having been told asks what became of it, once', () => {
  const f = waiting();
  const others = { ...held(6), waiters: [{ user: 'eva', name: 'Eva Lind', number: 5 }] };
  assert.deepEqual(f.in({ type: 'snapshot', snapshot: others }), [{ do: 'lock', rid: 'r1', wait: true, take: null }]);
  assert.deepEqual(f.in({ type: 'snapshot', snapshot: others }), []);
});

test('a turn of another place in line is not taken for ours', () => {
  const f = waiting();
  assert.deepEqual(f.in({ type: 'event', status: 'granted', number: 5, snapshot: held(5, 2) }).filter((effect) => effect.do === 'renew'), []);
  assert.equal(f.state.grant, null);
  f.in({ type: 'event', status: 'granted', number: 7, snapshot: held(6, 3) });
  assert.equal(f.state.grant.token, 3);
});

test('a place in line that was given up before it was known is left', () => {
  const f = linked(held(3));
  f.in({ type: 'edit', rid: 'r1', wait: true });
  f.in({ type: 'done', rid: 'd1' });
  assert.deepEqual(f.in({ type: 'queued', rid: 'r1', number: 7, position: 1, rev: 4 }), [{ do: 'leave queue' }]);
  assert.equal(f.state.place, null);
});
