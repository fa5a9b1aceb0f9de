// What several want at once: standing in line, asking, taking over, being refused; and the application's claims. Rules of lease.js, in a
// file of their own because who only reads never needs them: they are loaded with formlock-acts.js, before the form is asked for.
//
// Who stands in line goes on asking: over a lost connection the same attempt (`rid`) is sent again and finds its place. Its turn is a
// grant that nobody has proved yet; one that passes is no loss, for nothing was open for it.
import { ASK_MS, SILENCE_MS, attempt, release, renew, sendAsking, take } from './lease.js';

/** @typedef {import('./lease.js').State} State */
/** @typedef {import('./lease.js').Input} Input */
/** @typedef {import('./lease.js').Effect} Effect */
/** @typedef {import('./lease.js').Asking} Asking */

/** @param {State} s @param {Input} input @param {number} now @param {Effect[]} effects */
export function apply(s, input, now, effects) {
  switch (input.type) {
    case 'take over':
      if (s.grant || s.asking?.take || !s.snapshot?.token || s.snapshot.state === 'free') return;
      s.lost = s.taken = s.problem = null;
      s.asking = attempt(input.rid, { take: { expected: s.snapshot.token, reason: input.reason }, line: s.asking });
      sendAsking(s, effects);
      return;

    case 'queued': {
      const asking = lineOf(s);
      if (asking?.rid !== input.rid) {
        if (!asking) effects.push({ do: 'leave queue' }); // given up before the answer came
        return;
      }
      Object.assign(asking, { resume: null, number: input.number, position: input.position, rev: input.rev });
      s.left = null;
      return;
    }

    case 'refused': {
      if (s.asking?.rid !== input.rid) return;
      const returned = s.asking.resume === 'return' && s.left?.token; // the person was typing here before: to them it is a loss, not a refusal
      const passed = s.asking.number !== null;
      const holder = input.snapshot?.holder ?? null;
      s.asking = null;
      if (input.snapshot && (input.snapshot.epoch !== s.epoch || input.snapshot.rev >= s.rev)) take(s, { ...policyOf(s.snapshot), ...input.snapshot }, now);
      s.sameUser ||= input.sameUser;
      if (returned) s.lost = { holder, cause: null, by: null, reason: null, token: returned, at: now };
      if (passed) s.problem = 'turn_passed';
      s.left = null;
      if (!input.snapshot) effects.push({ do: 'status' });
      return;
    }

    case 'failed':
      if (s.asking?.rid !== input.rid) return;
      s.asking = s.asking.line;
      s.left = null;
      s.problem = input.problem;
      effects.push({ do: 'status' });
      return;

    case 'renewal lost':
      // Who was asleep, or away, has missed the events that said so; what is true now may have been heard before this answer.
      if (s.lost?.token === input.token && input.cause !== undefined) {
        s.lost = { ...s.lost, cause: input.cause, by: input.by ?? null, reason: input.reason ?? null, at: now - (input.ended_ms ?? 0) };
      }
      return;

    case 'claimed':
      if (s.grant?.token === input.token) s.grant.claim = 'done';
      return;

    case 'claim failed':
      if (s.grant?.token !== input.token) return;
      release(s, input.rid, false, effects);
      s.problem = 'claim';
      return;

    case 'question':
      s.question = input.number;
      return;

    case 'event': {
      const asking = lineOf(s);
      if (input.status === 'takeover') s.taken = { by: input.by ?? null, reason: input.reason ?? null };
      if (input.status === 'ending') s.ending = now + (input.in_ms ?? 0);
      if (input.status !== 'granted' || s.grant || !input.snapshot.token) return;
      if (!asking?.wait || (asking.number !== null && asking.number !== input.number)) {
        if (!asking) effects.push({ do: 'leave queue' }); // our turn, after all was given up: the next one's
        return;
      }
      s.asking = s.left = null;
      s.grant = {
        token: input.snapshot.token, sent: now, until: now, silent: SILENCE_MS, renewMs: ASK_MS, proven: false, renewing: false, receipt: null, claim: s.claims ? 'due' : 'done', from: 'queued',
      };
      renew(s, effects);
    }
  }
}

/** What a refusal does not say of the form, for it says what has happened. @param {import('./lease.js').Snapshot | null} snapshot @returns {Partial<import('./lease.js').Snapshot>} */
function policyOf(snapshot) {
  const { lock_right, takeover_right, queue } = snapshot ?? {};
  return { ...(lock_right && { lock_right }), ...(takeover_right && { takeover_right }), ...(queue === false && { queue }) };
}

/** After every input: what follows from the newest state of the form. @param {State} s @param {number} now @param {Effect[]} effects */
export function settle(s, now, effects) {
  const { snapshot } = s;
  const asking = lineOf(s);
  const at = asking ? (snapshot?.waiters?.findIndex(({ number }) => number === asking.number) ?? -1) : -1;
  s.place = !asking || asking.number === null ? null : at < 0 ? asking.position : at + 1;
  if (asking && s.place !== null && s.link && at < 0 && s.rev > asking.rev) {
    // Who is in line no more without having been told has missed something: the same attempt is answered with what became of it.
    asking.rev = s.rev;
    if (!effects.some((effect) => effect.do === 'lock' && effect.rid === asking.rid)) effects.push({ do: 'lock', rid: asking.rid, wait: true, take: null });
  }
  if (!snapshot?.asks?.some(({ number }) => number === s.question)) s.question = null;
  const taker = s.grant && snapshot?.handover;
  s.handover = taker ? { by: { user: taker.user, name: taker.name }, reason: taker.reason, until: s.snapshotAt + taker.in_ms } : null;
}

/** The attempt that may stand in line: behind a takeover, too. @param {State} s @returns {Asking | null} */
function lineOf({ asking }) {
  return asking?.take ? asking.line : asking;
}
