// The state machine of one form as the browser sees it: step(state, input, now) -> {state, effects}, and nothing else. No clock, no network.
//
//                     connected, first snapshot
//      connecting ───────────────┬──────────────────► free ◄───────────── done, released
//          ▲                     │                    │  ▲
//          │ link lost           │               edit │  │ released
//          │ (viewers)           ▼                    ▼  │
//          │                  locked ◄─ refused ── (asking) ─ granted ─► mine
//          │                                                             │ ▲
//          │     own clock at sent + lease_ms, pause, link lost for long │ │ renewed
//          │                                                             ▼ │
//       offline ◄── the browser says so (not while mine is certain) ──► stale
//                                                                        │
//      lost ◄── the service says so, and only it ────────────────────────┘ (or straight from mine)
//
// What is shown is never more optimistic than the lease. It counts from the moment the call was SENT, so this side gives up first:
// the service promises lease_ms from when it RECEIVED the call. `stale` shuts the fields and keeps the token, which has to be proved
// by a renewal before they open again; nothing here ever concludes `lost` from silence.
//
// Where the application claims a grant in its own database (`claims`), `mine` comes after the claim: what the fields show must be read
// behind it (docs/explanation/late-saves.md).
//
// Queue and requests (`queued`, `asked`) will be two more names and inputs; the order of the questions in `nameOf` is the place.

/** How long a lost connection may go unnoticed by the person. Far below the 10 s for which the service keeps even a contended lock. */
export const BLIP_MS = 2000;
/** Ticks come every second: a hole of this size means that the machine slept or the tab was frozen. */
export const PAUSE_MS = 10_000;
/** How long to wait for the snapshot that follows a subscription before asking for it, and between two proofs while stale. */
export const ASK_MS = 1500;
/** While the holder's connection is interrupted: nobody is told when it is back, so ask. */
export const GRACE_ASK_MS = 4000;

/** @typedef {'connecting'|'free'|'mine'|'locked'|'stale'|'lost'|'offline'} Name */
/** @typedef {{user: string, name: string}} Person */
/**
 * The public state of a form, as in every lock event and in the answer of `status`.
 * @typedef {object} Snapshot
 * @property {'free'|'held'|'grace'} state
 * @property {Person | null} holder
 * @property {number | null} since_ms
 * @property {number | null} expires_in_ms
 * @property {string | null} [note]
 * @property {number | null} [token]
 * @property {string} epoch
 * @property {number} rev
 */
/**
 * What we hold. `until`: own clock; `sent`: when the proof of it was sent; `proven`: nothing has happened since that could make it untrue;
 * `claim`: how far the application's claim of this token has come; `receipt`: the newest, for the application.
 * @typedef {{token: number, sent: number, until: number, renewMs: number, proven: boolean, renewing: boolean, receipt: string | null, claim: 'due'|'asked'|'done', resumed: boolean}} Grant
 */
/**
 * @typedef {object} State
 * @property {Name} name what the person is shown
 * @property {number} seen when this machine last ran
 * @property {number} woke when it last ran again after a pause: what was sent before proves nothing any more
 * @property {boolean} link joined and subscribed
 * @property {number | null} doubt when a lost link starts to show
 * @property {boolean} network what the browser says
 * @property {Snapshot | null} snapshot
 * @property {number} snapshotAt own clock
 * @property {string | null} epoch
 * @property {number} rev
 * @property {number | null} askAt when to call `status`
 * @property {Grant | null} grant
 * @property {{rid: string, resume: null | 'reload' | 'return'} | null} asking a lock call without an answer so far
 * @property {{token: number, rid: string} | null} releasing an unlock call without an answer so far
 * @property {{holder: Person | null, cause: string | null} | null} lost
 * @property {{token: number | null} | null} left what was held, or still asked for, when the page was left
 * @property {boolean} changed somebody else may have held the form between two of our grants
 * @property {string | null} problem the service's name for why the last attempt failed, e.g. `not_allowed`
 * @property {boolean} probed the service wants a sign of life for a grant whose answer is still on its way
 * @property {boolean} claims whether the application claims each grant before it counts
 * @property {string | null} me this user
 * @property {boolean} sameUser the holder is this user in another tab
 */
/**
 * @typedef {{type: 'connected'}
 *   | {type: 'disconnected', silent?: boolean}
 *   | {type: 'offline'} | {type: 'online'}
 *   | {type: 'snapshot', snapshot: Snapshot}
 *   | {type: 'event', status: string, cause?: string | null, snapshot: Snapshot}
 *   | {type: 'probe'}
 *   | {type: 'edit', rid: string, resume?: 'reload' | 'return'}
 *   | {type: 'granted', rid: string, sent: number, grant: Proof}
 *   | {type: 'refused', rid: string, snapshot: Snapshot | null, sameUser: boolean}
 *   | {type: 'failed', rid: string, problem: string}
 *   | {type: 'renewing'} | {type: 'unanswered'}
 *   | {type: 'renewed', sent: number, grant: Proof}
 *   | {type: 'renewal lost', token: number, holder: Person | null}
 *   | {type: 'claimed', token: number} | {type: 'claim failed', token: number, rid: string}
 *   | {type: 'done', rid: string} | {type: 'unlocked', rid: string, rev: number | null}
 *   | {type: 'left', rid: string} | {type: 'came back', rid: string}
 *   | {type: 'denied', problem: string}
 *   | {type: 'tick'}} Input
 */
/** @typedef {{token: number, epoch: string, rev: number, lease_ms: number, renew_ms: number, receipt?: string}} Proof */
/**
 * @typedef {{do: 'status'} | {do: 'renew'}
 *   | {do: 'lock', rid: string}
 *   | {do: 'claim', token: number}
 *   | {do: 'unlock', rid: string, token: number, leaving: boolean}} Effect
 */
/** @typedef {{state: State, effects: Effect[]}} Step */

/** @param {number} now @param {string | null} [me] this user @returns {State} */
export function start(now, me = null) {
  return {
    name: 'connecting', seen: now, woke: now, link: false, doubt: null, network: true,
    snapshot: null, snapshotAt: now, epoch: null, rev: 0, askAt: null,
    grant: null, asking: null, releasing: null, lost: null, left: null,
    changed: false, problem: null, probed: false, claims: false, me, sameUser: false,
  };
}

/**
 * One input. The given state is not changed.
 * @param {State} before @param {Input} input @param {number} now own clock in milliseconds, never going back @returns {Step}
 */
export function step(before, input, now) {
  const state = { ...before, grant: before.grant && { ...before.grant }, seen: now };
  /** @type {Effect[]} */
  const effects = [];
  if (now - before.seen >= PAUSE_MS) {
    // Before anything else: who slept knows nothing. Not even from an answer that waited in the socket meanwhile.
    state.woke = now;
    if (state.grant) state.grant.renewing = false;
    doubt(state, effects);
  }
  apply(state, input, now, effects);
  if (state.grant && state.grant.proven && now >= state.grant.until) doubt(state, effects);
  if (state.grant && state.grant.proven && state.doubt !== null && now >= state.doubt) state.grant.proven = false;
  if (state.link && state.askAt === null && state.snapshot?.state === 'grace') state.askAt = now + GRACE_ASK_MS;
  state.name = nameOf(state, now);
  return { state, effects };
}

/** @param {State} s @param {number} now @returns {Name} */
function nameOf(s, now) {
  if (s.lost) return 'lost';
  if (s.grant && s.grant.proven && s.grant.claim === 'done') return 'mine';
  if (!s.network) return 'offline';
  if (s.grant && !s.grant.proven) return 'stale';
  if (s.grant) return s.grant.resumed ? 'connecting' : 'free'; // as while it was asked for: the claim is part of asking
  const linked = s.link || (s.doubt !== null && now < s.doubt);
  if (!linked || !s.snapshot || s.asking?.resume) return 'connecting';
  return s.snapshot.state === 'free' ? 'free' : 'locked';
}

/** @param {State} s @param {Input} input @param {number} now @param {Effect[]} effects */
function apply(s, input, now, effects) {
  switch (input.type) {
    case 'connected':
      s.link = true;
      s.network = true;
      s.doubt = null;
      s.problem = null;
      s.askAt = now + ASK_MS;
      if (s.grant) {
        s.grant.renewing = false;
        renew(s, effects);
      }
      if (s.releasing) effects.push({ do: 'unlock', ...s.releasing, leaving: false });
      if (s.asking) effects.push({ do: 'lock', rid: s.asking.rid });
      return;

    case 'disconnected':
    case 'offline':
      if (input.type === 'offline') s.network = false;
      if (input.type === 'disconnected' && input.silent) s.doubt = now;
      else if (s.link) s.doubt = now + BLIP_MS;
      s.link = false;
      s.askAt = null;
      if (s.grant) s.grant.renewing = false;
      return;

    case 'online':
      s.network = true;
      return;

    case 'denied':
      s.problem = input.problem;
      return;

    case 'snapshot':
      if (input.snapshot.epoch !== s.epoch || input.snapshot.rev >= s.rev) take(s, input.snapshot, null, now);
      s.askAt = null;
      return;

    case 'event':
      if (input.snapshot.epoch !== s.epoch && s.epoch !== null) {
        effects.push({ do: 'status' }); // history was lost, or this event is older than that: only the service knows
        return;
      }
      if (input.status === 'edit' || input.status === 'released') {
        if (s.epoch !== null && input.snapshot.rev <= s.rev) return;
        if (s.epoch !== null && input.snapshot.rev > s.rev + 1) effects.push({ do: 'status' });
      } else if (input.snapshot.rev < s.rev) {
        return;
      }
      s.askAt = null;
      take(s, input.snapshot, input.cause ?? null, now);
      return;

    case 'probe':
      if (s.asking) s.probed = true; // it has overtaken the answer that tells us of our grant
      if (s.grant) {
        s.grant.renewing = true; // at once, even if one is under way: the service waits for a sign from now
        effects.push({ do: 'renew' });
      }
      return;

    case 'edit':
      if (s.grant || s.asking) return;
      s.lost = null;
      s.changed = false;
      s.problem = null;
      s.asking = { rid: input.rid, resume: input.resume ?? null };
      if (s.link) effects.push({ do: 'lock', rid: input.rid });
      return;

    case 'granted': {
      if (s.asking?.rid !== input.rid) {
        // Nobody waits for it any more (the page was left, or the person cancelled): give it back, unless it is what we hold anyway, or
        // what the next attempt is about to be answered with.
        if (!s.asking && input.grant.token !== s.grant?.token) effects.push({ do: 'unlock', rid: input.rid, token: input.grant.token, leaving: false });
        return;
      }
      const resumed = s.asking.resume !== null;
      s.changed = s.asking.resume === 'return' && Boolean(s.left?.token) && s.left?.token !== input.grant.token;
      s.asking = null;
      s.left = null;
      s.problem = null;
      hold(s, input.grant, input.sent, now, effects, resumed);
      if (s.probed) renew(s, effects);
      s.probed = false;
      return;
    }

    case 'refused': {
      if (s.asking?.rid !== input.rid) return;
      const returned = s.asking.resume === 'return' && Boolean(s.left?.token); // the person was typing here before: to them it is a loss, not a refusal
      s.asking = null;
      s.left = null;
      if (input.snapshot && (input.snapshot.epoch !== s.epoch || input.snapshot.rev >= s.rev)) take(s, input.snapshot, null, now);
      s.sameUser ||= input.sameUser;
      if (returned) s.lost = { holder: input.snapshot?.holder ?? null, cause: null };
      if (!input.snapshot) effects.push({ do: 'status' });
      return;
    }

    case 'failed':
      if (s.asking?.rid !== input.rid) return;
      s.asking = null;
      s.left = null;
      s.problem = input.problem;
      effects.push({ do: 'status' });
      return;

    case 'renewing':
      if (s.grant) s.grant.renewing = true;
      return;

    case 'unanswered':
      if (s.grant) s.grant.renewing = false;
      return;

    case 'renewed':
      if (s.grant && s.grant.token === input.grant.token) hold(s, input.grant, input.sent, now, effects, s.grant.resumed);
      return;

    case 'claimed':
      if (s.grant && s.grant.token === input.token) s.grant.claim = 'done';
      return;

    case 'claim failed':
      if (s.grant?.token !== input.token) return;
      release(s, input.rid, effects);
      s.problem = 'claim';
      return;

    case 'renewal lost':
      if (s.grant && s.grant.token === input.token) lose(s, input.holder, null, effects);
      return;

    case 'done':
      s.asking = null;
      s.left = null;
      s.lost = null;
      s.changed = false;
      release(s, input.rid, effects);
      return;

    case 'unlocked':
      if (s.releasing?.rid !== input.rid) return;
      s.releasing = null;
      s.askAt = now + ASK_MS; // `released` tells the rest; should it not come, ask
      return;

    case 'left':
      // A grant that is still under way has no token yet to be given back: the service's grace ends it, or the page that comes back
      // gets it. An unlock without an answer is said again then.
      if (s.grant || s.asking) s.left = { token: s.grant?.token ?? s.left?.token ?? null };
      if (s.left?.token) effects.push({ do: 'unlock', rid: input.rid, token: s.left.token, leaving: true });
      s.grant = null;
      s.asking = null;
      s.link = false;
      s.doubt = null;
      s.snapshot = null;
      return;

    case 'came back':
      if (s.left && !s.asking) s.asking = { rid: input.rid, resume: 'return' };
      return;

    case 'tick':
      if (s.askAt !== null && now >= s.askAt) {
        s.askAt = s.snapshot ? null : now + ASK_MS * 4;
        effects.push({ do: 'status' });
      }
      if (s.grant && now >= s.grant.sent + (s.grant.proven ? s.grant.renewMs : ASK_MS)) renew(s, effects);
  }
}

/** The token stays, but it is no longer believed: prove it. @param {State} s @param {Effect[]} effects */
function doubt(s, effects) {
  if (!s.grant) return;
  s.grant.proven = false;
  renew(s, effects);
}

/** @param {State} s @param {Effect[]} effects */
function renew(s, effects) {
  if (!s.grant || !s.link || s.grant.renewing) return;
  s.grant.renewing = true;
  effects.push({ do: 'renew' });
}

/** Give back what is held. @param {State} s @param {string} rid @param {Effect[]} effects */
function release(s, rid, effects) {
  if (!s.grant) return;
  s.releasing = { token: s.grant.token, rid };
  s.grant = null;
  if (s.snapshot) s.snapshot = freed(s.snapshot);
  if (s.link) effects.push({ do: 'unlock', ...s.releasing, leaving: false });
}

/** @param {State} s @param {Proof} proof @param {number} sent @param {number} now @param {Effect[]} effects @param {boolean} resumed */
function hold(s, proof, sent, now, effects, resumed) {
  const until = sent + proof.lease_ms;
  const proven = s.link && now < until && sent >= s.woke;
  const claim = s.grant?.token === proof.token ? s.grant.claim : s.claims ? 'due' : 'done';
  const receipt = proof.receipt ?? s.grant?.receipt ?? null;
  s.grant = { token: proof.token, sent, until, renewMs: proof.renew_ms, proven, renewing: false, receipt, claim, resumed };
  s.lost = null;
  s.sameUser = false;
  if (proof.epoch !== s.epoch || proof.rev > s.rev) {
    s.epoch = proof.epoch;
    s.rev = proof.rev;
  }
  if (s.snapshot) s.snapshot = { ...s.snapshot, state: 'held', token: proof.token, epoch: proof.epoch, rev: proof.rev };
  if (!proven) renew(s, effects);
  else if (claim === 'due') {
    s.grant.claim = 'asked';
    effects.push({ do: 'claim', token: proof.token });
  }
}

/** @param {State} s @param {Person | null} holder @param {string | null} cause @param {Effect[]} [effects] */
function lose(s, holder, cause, effects) {
  s.grant = null;
  s.lost = { holder, cause };
  effects?.push({ do: 'status' });
}

/** A newer public state. @param {State} s @param {Snapshot} snapshot @param {string | null} cause @param {number} now */
function take(s, snapshot, cause, now) {
  s.epoch = snapshot.epoch;
  s.rev = snapshot.rev;
  s.snapshotAt = now;
  const held = snapshot.state !== 'free';
  const releasing = s.releasing !== null && held && snapshot.token === s.releasing.token;
  s.snapshot = releasing ? freed(snapshot) : snapshot;
  s.sameUser = s.me !== null && s.snapshot.holder?.user === s.me;
  if (s.grant && !(held && snapshot.token === s.grant.token)) lose(s, held ? snapshot.holder : null, cause);
}

/** @param {Snapshot} snapshot @returns {Snapshot} */
function freed(snapshot) {
  return { ...snapshot, state: 'free', holder: null, since_ms: null, expires_in_ms: null, note: null };
}
