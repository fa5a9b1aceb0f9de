// The state machine of one form as the browser sees it: step(state, input, now) -> {state, effects}, and nothing else. No clock, no network.
//
//                     connected, first snapshot
//      connecting ───────────────┬──────────────────► free ◄───────────── done, released, answered 'release'
//          ▲                     │                    │  ▲
//          │ link lost           │               edit │  │ released
//          │ (viewers)           ▼                    ▼  │
//          │                  locked ◄─ refused ── (asking) ─ granted ─► mine ◄──────────► asked
//          │                   │  ▲                   │                  ▲ │ ▲   somebody asks, answered
//          │                   │  │ takeover granted ─┼──────────────────┘ │ │
//          │              edit │  │ done, the turn    │ queued             │ │ renewed
//          │       (with wait) ▼  │ has passed        ▼                    │ │
//          │                  queued ◄──────────────(asking)               │ │
//          │                   └─ granted: the turn, confirmed by a renewal ┤ │
//          │     own clock at sent + lease_ms, pause, link lost for long    ▼ │
//       offline ◄── the browser says so (not while mine is certain) ──────► stale
//                                                                           │
//      lost ◄── the service says so, and only it ───────────────────────────┘ (or straight from mine)
//
// What is shown is never more optimistic than the lease. It counts from the moment the call was SENT, so this side gives up first:
// the service promises lease_ms from when it RECEIVED the call. `stale` shuts the fields and keeps the token, which has to be proved
// by a renewal before they open again; nothing here ever concludes `lost` from silence.
//
// Somebody who waits may have the form long before the lease ends: `silence_ms` after a sign of life that was answered. It counts from
// its sending too. Behind a probe only a renewal is one; and a line that is back proves nothing before the token is proved on it.
//
// Where the application claims a grant in its own database (`claims`), `mine` comes after the claim: what the fields show must be read
// behind it (docs/explanation/late-saves.md).
//
// Line, questions, takeovers, refusals and claims have their rules in contest.js; where those are loaded, they are given to `step`.

/** How long a lost connection may go unnoticed by the person. Far below the 10 s for which the service keeps even a contended lock. */
export const BLIP_MS = 2000;
/** Ticks come every second: a hole of this size means that the machine slept or the tab was frozen. */
export const PAUSE_MS = 10_000;
/** The own clock is looked at with each tick, and a busy page's ticks are late: so long before its lease ends a grant counts no more. */
export const LATE_MS = 1500;
/** What an older service, which does not say it, has as `silence_ms`. */
export const SILENCE_MS = 10_000;
/** How long to wait for the snapshot that follows a subscription before asking for it, and between two proofs while stale. */
export const ASK_MS = 1500;
/** While the holder's connection is interrupted: nobody is told when it is back, so ask. */
export const GRACE_ASK_MS = 4000;
/** These events tell what is so; all others what is new, with a rev of its own. */
const CURRENT = ['subscribed', 'locked', 'viewers', 'granted'];

/** @typedef {'connecting'|'free'|'mine'|'locked'|'queued'|'asked'|'stale'|'lost'|'offline'} Name */
/** @typedef {{user: string, name: string}} Person */
/**
 * The public state of a form, as in every lock event and in the answer of `status`. What is not the case is not there.
 * @typedef {object} Snapshot
 * @property {'free'|'held'|'grace'} state
 * @property {Person | null} holder
 * @property {number | null} since_ms
 * @property {number | null} expires_in_ms
 * @property {string | null} [note]
 * @property {number | null} [token]
 * @property {string} epoch
 * @property {number} rev
 * @property {(Person & {form: string, mode: string, token: number})[]} [holders] several hold it or its sections, or one holds it shared
 * @property {(Person & {number: number})[]} [waiters] who stands in line, in their order
 * @property {boolean} [machine] a machine holds it
 * @property {number} [idle_ms] for so long the holder has done nothing
 * @property {number} [until_ms] a long lock, for so much longer
 * @property {(Person & {number: number, note: string})[]} [asks] who asks for it
 * @property {number | null} [answer_in_ms] how long the holder has to answer them
 * @property {number} [kept_ms] the holder has said that it needs it for so much longer
 * @property {Person & {reason: string, in_ms: number}} [handover] who has the form at the latest then
 * @property {string} [lock_right] the policy wants this one instead of `lock` @property {string} [takeover_right] and this one instead of `takeover`
 * @property {boolean} [queue] false: nobody can stand in line
 * @property {Person[]} [viewers] who has it open, the first 50; kept from the last event that said so
 * @property {number} [viewer_count]
 */
/**
 * What we hold. `until`: own clock; `silent`: after so much silence it may be somebody else's; `sent`: when the proof of it was sent; `proven`: nothing has happened since that could make it untrue;
 * `claim`: how far the application's claim of this token has come; `receipt`: the newest, for the application; `from`: what the person is
 * shown until it counts for the first time, then null.
 * @typedef {{token: number, sent: number, until: number, silent: number, renewMs: number, proven: boolean, renewing: boolean, receipt: string | null, claim: 'due'|'asked'|'done', from: Name | null}} Grant
 */
/**
 * A call that has not got its end: without an answer so far, or in line as `number`, known since `rev`. With `take` it takes over, from
 * the holder of the token `expected`; `line`: the place in line that is kept meanwhile.
 * @typedef {{rid: string, resume: null | 'reload' | 'return', wait: boolean, take: {expected: number, reason: string} | null, line: Asking | null, number: number | null, position: number, rev: number}} Asking
 */
/** How a grant ended. `at`: own clock, as far as that is told the time of the end itself. @typedef {{holder: Person | null, cause: string | null, by: Person | null, reason: string | null, token: number | null, at: number}} Loss */
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
 * @property {Asking | null} asking
 * @property {number | null} place in line: 1 is next
 * @property {number | null} question the number of our own question to the holder, while it is open
 * @property {{token: number, rid: string, answer: boolean} | null} releasing an unlock call (or an answer that gives up) without an answer so far
 * @property {Loss | null} lost
 * @property {{by: Person | null, reason: string | null} | null} taken what a `takeover` has told, until it is seen who has the form
 * @property {{by: Person, reason: string, until: number} | null} handover we hold it, and somebody else has it at the latest then (own clock)
 * @property {number | null} ending own clock: the longest time to hold it ends then
 * @property {{token: number | null, wait: boolean} | null} left what was held, or still asked for, when the page was left
 * @property {boolean} changed somebody else may have held the form between two of our grants
 * @property {string | null} problem the service's name for why the last attempt failed, e.g. `not_allowed`; or `claim`, `turn_passed`, `denied`
 * @property {number} heard own clock: when the last sign of life that was answered was sent
 * @property {boolean} probed the service wants a renewal now, perhaps for a grant whose answer is still on its way
 * @property {boolean} claims whether the application claims each grant before it counts
 * @property {string | null} me this user
 * @property {string[] | null} rights on this form, as far as the service has told them
 * @property {boolean} sameUser the holder is this user in another tab
 * @property {boolean} otherTab and that is a tab of this browser, which can be asked for its text
 * @property {boolean} part the form is a section of a record, whose events are not told here: gaps in rev mean nothing
 */
/**
 * @typedef {{type: 'connected', me?: string, rights?: string[] | null}
 *   | {type: 'disconnected', silent?: boolean}
 *   | {type: 'offline'} | {type: 'online'}
 *   | {type: 'snapshot', snapshot: Snapshot}
 *   | {type: 'event', status: string, snapshot: Snapshot, cause?: string | null, by?: Person | null, reason?: string | null, number?: number, in_ms?: number}
 *   | {type: 'probe'}
 *   | {type: 'edit', rid: string, resume?: 'reload' | 'return', wait?: boolean}
 *   | {type: 'take over', rid: string, reason: string}
 *   | {type: 'granted', rid: string, sent: number, grant: Proof}
 *   | {type: 'queued', rid: string, number: number, position: number, rev: number}
 *   | {type: 'refused', rid: string, snapshot: Snapshot | null, sameUser: boolean}
 *   | {type: 'failed', rid: string, problem: string}
 *   | {type: 'renewing'} | {type: 'unanswered'}
 *   | {type: 'renewed', sent: number, grant: Proof}
 *   | {type: 'renewal lost', token: number, holder: Person | null, cause?: string, by?: Person, reason?: string, ended_ms?: number}
 *   | {type: 'claimed', token: number} | {type: 'claim failed', token: number, rid: string}
 *   | {type: 'question', number: number | null}
 *   | {type: 'done', rid: string, answer?: boolean} | {type: 'unlocked', rid: string, rev: number | null}
 *   | {type: 'left', rid: string} | {type: 'came back', rid: string}
 *   | {type: 'other tab', holds: boolean}
 *   | {type: 'denied', problem: string}
 *   | {type: 'tick', heard: number}} Input
 */
/** @typedef {{token: number, epoch: string, rev: number, lease_ms: number, renew_ms: number, silence_ms?: number, receipt?: string}} Proof */
/**
 * @typedef {{do: 'status'} | {do: 'renew'} | {do: 'leave queue'}
 *   | {do: 'lock', rid: string, wait: boolean, take: {expected: number, reason: string} | null}
 *   | {do: 'claim', token: number}
 *   | {do: 'unlock', rid: string, token: number, leaving: boolean, answer: boolean}} Effect
 */
/** @typedef {{state: State, effects: Effect[]}} Step */

/** @param {number} now @param {string | null} [me] this user @param {boolean} [part] the form is a section @returns {State} */
export function start(now, me = null, part = false) {
  return {
    name: 'connecting', seen: now, woke: now, link: false, doubt: null, network: true,
    snapshot: null, snapshotAt: now, epoch: null, rev: 0, askAt: null,
    grant: null, asking: null, place: null, question: null, releasing: null,
    lost: null, taken: null, handover: null, ending: null, left: null,
    changed: false, problem: null, heard: 0, probed: false, claims: false, me, rights: null, sameUser: false, otherTab: false, part,
  };
}

/**
 * One input. The given state is not changed.
 * @param {State} before @param {Input} input @param {number} now own clock in milliseconds, never going back
 * @param {typeof import('./contest.js') | null} [contest] its rules, where they are loaded @returns {Step}
 */
export function step(before, input, now, contest = null) {
  const s = { ...before, grant: before.grant && { ...before.grant }, asking: copy(before.asking), seen: now };
  /** @type {Effect[]} */
  const effects = [];
  if (now - before.seen >= PAUSE_MS) {
    // Before anything else: who slept knows nothing. Not even from an answer that waited in the socket meanwhile.
    s.woke = now;
    if (s.grant) s.grant.renewing = false;
    doubt(s, effects);
  }
  apply(s, input, now, effects, contest);
  contest?.settle(s, now, effects);
  const { grant } = s;
  if (grant?.proven && now >= Math.min(grant.until, s.heard + grant.silent) - LATE_MS) {
    grant.proven = false;
    // Of a lease that may last no longer each renewal would be late: not one after the other.
    if (now >= grant.sent + ASK_MS) renew(s, effects);
  }
  if (grant?.proven && s.doubt !== null && now >= s.doubt) grant.proven = false;
  if (grant?.proven && grant.claim === 'due') {
    grant.claim = 'asked';
    effects.push({ do: 'claim', token: grant.token });
  }
  if (s.link && s.askAt === null && s.snapshot?.state === 'grace') s.askAt = now + GRACE_ASK_MS;
  if (!grant) s.ending = null;
  s.name = nameOf(s, now);
  if (grant && holds(s.name)) grant.from = null;
  return { state: s, effects };
}

/** @param {Asking | null} asking @returns {Asking | null} */
function copy(asking) {
  return asking && { ...asking, line: copy(asking.line) };
}

/** @param {string} rid @param {Partial<Asking>} facts @returns {Asking} */
export function attempt(rid, facts) {
  return { rid, resume: null, wait: false, take: null, line: null, number: null, position: 0, rev: 0, ...facts };
}

/** Whether the person is editing, in a state of that name. @param {Name} name */
export function holds(name) {
  return name === 'mine' || name === 'asked';
}

/** @param {State} s @param {number} now @returns {Name} */
function nameOf(s, now) {
  const { grant, snapshot } = s;
  if (s.lost) return 'lost';
  if (grant?.proven && grant.claim === 'done') return snapshot?.asks?.length ? 'asked' : 'mine';
  if (!s.network) return 'offline';
  if (grant && grant.from !== 'queued') return grant.proven ? (grant.from ?? 'free') : 'stale'; // the claim is part of asking
  const linked = s.link || (s.doubt !== null && now < s.doubt);
  if (!linked || !snapshot || s.asking?.resume) return 'connecting';
  if (s.place !== null || grant) return 'queued';
  return snapshot.state === 'free' ? 'free' : 'locked';
}

/** @param {State} s @param {Input} input @param {number} now @param {Effect[]} effects @param {typeof import('./contest.js') | null} contest */
function apply(s, input, now, effects, contest) {
  const { grant } = s;
  switch (input.type) {
    case 'connected':
      s.link = true;
      s.network = true;
      s.problem = null;
      s.askAt = now + ASK_MS;
      s.me = input.me ?? s.me;
      s.rights = input.rights ?? s.rights;
      if (grant) {
        grant.renewing = false;
        renew(s, effects);
      }
      if (s.releasing) effects.push({ do: 'unlock', ...s.releasing, leaving: false });
      sendAsking(s, effects);
      return;

    case 'disconnected':
    case 'offline':
      if (input.type === 'offline') s.network = false;
      if (input.type === 'disconnected' && input.silent) s.doubt = now;
      // A line that comes and goes is no line: what has not been proved since it was first lost is not believed for longer.
      else if (s.link) s.doubt = Math.min((grant?.proven && s.doubt) || Infinity, now + BLIP_MS);
      s.link = false;
      s.askAt = null;
      if (grant) grant.renewing = false;
      return;

    case 'online':
      s.network = true;
      return;

    case 'denied':
      s.problem = input.problem;
      return;

    case 'other tab':
      s.otherTab = input.holds && s.sameUser;
      return;

    case 'snapshot':
      if (input.snapshot.epoch !== s.epoch || input.snapshot.rev >= s.rev) take(s, input.snapshot, now);
      s.askAt = null;
      return;

    case 'event': {
      const { status, snapshot } = input;
      if (snapshot.epoch !== s.epoch && s.epoch !== null) {
        effects.push({ do: 'status' }); // history was lost, or this event is older than that: only the service knows
        return;
      }
      if (CURRENT.includes(status)) {
        if (snapshot.rev < s.rev) return;
      } else if (s.epoch !== null) {
        if (snapshot.rev <= s.rev) return;
        if (snapshot.rev > s.rev + 1 && !s.part) effects.push({ do: 'status' });
      }
      s.askAt = null;
      contest?.apply(s, input, now, effects);
      take(s, snapshot, now, status === 'takeover' ? status : (input.cause ?? null));
      return;
    }

    case 'probe':
      s.probed = true;
      if (grant) {
        grant.renewing = true; // at once, even if one is under way: the service waits for a sign from now
        effects.push({ do: 'renew' });
      }
      return;

    case 'edit':
      if (grant) return;
      // Who has asked already, and now wants to wait, asks on.
      if (s.asking && (!input.wait || s.asking.wait)) return;
      s.asking ??= attempt(input.rid, { resume: input.resume ?? null });
      s.asking.wait = input.wait ?? false;
      s.lost = s.taken = s.problem = null;
      s.changed = false;
      sendAsking(s, effects);
      return;

    case 'granted': {
      const { asking, probed } = s;
      if (asking?.rid !== input.rid) {
        // Nobody waits for it any more (the page was left, or the person cancelled): give it back, unless it is what we hold anyway, or
        // what the next attempt is about to be answered with.
        if (!asking && input.grant.token !== grant?.token) effects.push({ do: 'unlock', rid: input.rid, token: input.grant.token, leaving: false, answer: false });
        return;
      }
      s.changed = asking.resume === 'return' && Boolean(s.left?.token) && s.left?.token !== input.grant.token;
      if (asking.line) effects.push({ do: 'leave queue' }); // it has passed the line
      const from = asking.resume ? 'connecting' : asking.take ? 'locked' : asking.number !== null ? 'queued' : 'free';
      s.asking = s.left = s.problem = s.ending = null;
      hold(s, input.grant, input.sent, effects, from);
      if (probed) renew(s, effects);
      return;
    }

    case 'renewing':
      if (grant) grant.renewing = true;
      return;

    case 'unanswered':
      if (grant) grant.renewing = false;
      return;

    case 'renewed':
      if (grant?.token === input.grant.token) hold(s, input.grant, input.sent, effects, grant.from);
      return;

    case 'renewal lost':
      if (grant?.token === input.token) {
        lose(s, input.holder, null, now);
        effects.push({ do: 'status' });
      }
      contest?.apply(s, input, now, effects);
      return;

    case 'done':
      if ((s.asking?.wait || s.asking?.line) && s.link) effects.push({ do: 'leave queue' }); // without a line the place ends by itself
      s.asking = s.left = s.lost = null;
      s.changed = false;
      release(s, input.rid, input.answer ?? false, effects);
      return;

    case 'unlocked':
      if (s.releasing?.rid !== input.rid) return;
      s.releasing = null;
      s.askAt = now + ASK_MS; // `released` tells the rest; should it not come, ask
      return;

    case 'left':
      // A grant that is still under way has no token yet to be given back: the service's grace ends it, or the page that comes back
      // gets it. So does a place in line. An unlock without an answer is said again then.
      if (grant || s.asking) s.left = { token: grant?.token ?? s.left?.token ?? null, wait: s.asking?.wait ?? false };
      if (s.left?.token) effects.push({ do: 'unlock', rid: input.rid, token: s.left.token, leaving: true, answer: false });
      s.grant = s.asking = s.doubt = s.snapshot = null;
      s.link = false;
      return;

    case 'came back':
      if (s.left && !s.asking) s.asking = attempt(input.rid, { resume: 'return', wait: s.left.wait });
      return;

    default:
      contest?.apply(s, input, now, effects);
      return;

    case 'tick':
      if (!s.probed) s.heard = input.heard;
      if (s.askAt !== null && now >= s.askAt) {
        s.askAt = s.snapshot ? null : now + ASK_MS * 4;
        effects.push({ do: 'status' });
      }
      if (grant && now >= grant.sent + (grant.proven ? grant.renewMs : ASK_MS)) renew(s, effects);
  }
}

/** The token stays, but it is no longer believed: prove it. @param {State} s @param {Effect[]} effects */
function doubt(s, effects) {
  if (!s.grant) return;
  s.grant.proven = false;
  renew(s, effects);
}

/** @param {State} s @param {Effect[]} effects */
export function renew(s, effects) {
  if (!s.grant || !s.link || s.grant.renewing) return;
  s.grant.renewing = true;
  effects.push({ do: 'renew' });
}

/** What is asked for, said again with every connection. @param {State} s @param {Effect[]} effects */
export function sendAsking(s, effects) {
  for (let asking = s.asking; asking && s.link; asking = asking.line) effects.push({ do: 'lock', rid: asking.rid, wait: asking.wait, take: asking.take });
}

/** Give back what is held. @param {State} s @param {string} rid @param {boolean} answer to those who ask @param {Effect[]} effects */
export function release(s, rid, answer, effects) {
  if (!s.grant) return;
  s.releasing = { token: s.grant.token, rid, answer };
  s.grant = null;
  if (s.snapshot) s.snapshot = freed(s.snapshot);
  if (s.link) effects.push({ do: 'unlock', ...s.releasing, leaving: false });
}

/** @param {State} s @param {Proof} proof @param {number} sent @param {Effect[]} effects @param {Name | null} from */
function hold(s, proof, sent, effects, from) {
  const claim = s.grant?.token === proof.token ? s.grant.claim : s.claims ? 'due' : 'done';
  const receipt = proof.receipt ?? s.grant?.receipt ?? null;
  const proven = s.link && sent >= s.woke; // and in time, sees `step`
  s.grant = { token: proof.token, sent, until: sent + proof.lease_ms, silent: proof.silence_ms ?? SILENCE_MS, renewMs: proof.renew_ms, proven, renewing: false, receipt, claim, from };
  s.heard = sent;
  s.lost = s.taken = s.doubt = null;
  s.probed = s.sameUser = s.otherTab = false;
  if (proof.epoch !== s.epoch || proof.rev > s.rev) {
    s.epoch = proof.epoch;
    s.rev = proof.rev;
  }
  if (s.snapshot) s.snapshot = { ...s.snapshot, state: 'held', token: proof.token, epoch: proof.epoch, rev: proof.rev };
  if (!proven) renew(s, effects);
}

/** @param {State} s @param {Person | null} holder who has it now @param {string | null} cause @param {number} now */
function lose(s, holder, cause, now) {
  const { grant, taken } = s;
  s.grant = null;
  if (grant?.from === 'queued') s.problem = 'turn_passed'; // it was never open for us
  else s.lost = { holder: holder ?? taken?.by ?? null, cause: taken ? 'takeover' : cause, by: taken?.by ?? null, reason: taken?.reason ?? null, token: grant?.token ?? null, at: now };
}

/** A newer public state. @param {State} s @param {Snapshot} snapshot @param {number} now @param {string | null} [cause] */
export function take(s, snapshot, now, cause = null) {
  const { grant, releasing } = s;
  s.epoch = snapshot.epoch;
  s.rev = snapshot.rev;
  s.snapshotAt = now;
  const shown = releasing !== null && snapshot.token === releasing.token && !snapshot.holders ? freed(snapshot) : snapshot;
  s.snapshot = { ...(s.snapshot && { viewers: s.snapshot.viewers, viewer_count: s.snapshot.viewer_count }), ...shown };
  s.sameUser = s.me !== null && shown.holder?.user === s.me;
  s.otherTab &&= s.sameUser;
  if (grant && !isOurs(snapshot, grant.token)) lose(s, snapshot.state === 'free' ? null : snapshot.holder, cause, now);
}

/** @param {Snapshot} snapshot @param {number} token */
function isOurs(snapshot, token) {
  return snapshot.state !== 'free' && (snapshot.token === token || Boolean(snapshot.holders?.some((holder) => holder.token === token)));
}

/** @param {Snapshot} snapshot @returns {Snapshot} */
function freed({ epoch, rev, token, waiters }) {
  return { state: 'free', holder: null, since_ms: null, expires_in_ms: null, note: null, token, epoch, rev, ...(waiters && { waiters }) };
}
