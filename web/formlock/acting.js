// What a page does that asks for a form and holds it: the call with its answer, the renewals, and the promise of whoever waits for it. Part
// of formlock-acts.js, which is loaded while the connection is made: who only reads never needs it.
import { CallError } from './errors.js';

/** A takeover is answered when the old holder has brought its text into safety: as long as the policy gives it (`handover_ms`). */
const TAKEOVER_MS = 120_000;

/** @typedef {import('./lock.js').FormLock} FormLock */
/** @typedef {import('./client.js').FormLockClient} FormLockClient */
/** @typedef {{rid: string, refuse(error: unknown): void}} Waiting */

/** Who waits for which form. @type {WeakMap<FormLock, Set<Waiting>>} */
const waiting = new WeakMap();
/** Whose renewal is due in this turn. @type {WeakSet<FormLockClient>} */
const due = new WeakSet();

/** Ask for the form, or take it over. @param {FormLock} lock @param {{rid: string, wait: boolean, take: {expected: number, reason: string} | null}} effect */
export async function request(lock, { rid, wait, take }) {
  const asked = { tab: lock.client.tab.id, note: lock.note, rid };
  try {
    const { value, sent } = await (take
      ? lock.call('takeover', { ...asked, expected_token: take.expected, reason: take.reason }, { limitMs: TAKEOVER_MS })
      : lock.call('lock', { ...asked, ...(wait && { wait }), ...(lock.mode && { mode: lock.mode }) }));
    const facts = /** @type {any} */ (value);
    lock.input(facts.event === 'queued' ? { ...facts, type: 'queued', rid } : { type: 'granted', rid, sent, grant: facts });
    if (lock.state.grant || lock.state.asking) lock.mark();
  } catch (reason) {
    if (CallError.isLine(reason)) return; // the same attempt goes on with the next connection
    refused(lock, rid, take !== null, CallError.from(reason));
  }
}

/** The service says no. @param {FormLock} lock @param {string} rid @param {boolean} taking @param {CallError} error */
function refused(lock, rid, taking, error) {
  const { code, facts } = error;
  const { client } = lock;
  for (const each of waiting.get(lock) ?? []) if (each.rid === rid) each.refuse(!taking && code === 'lost' ? new CallError('turn_passed') : error);
  if (taking || !['form_locked', 'lost'].includes(code)) lock.input({ type: 'failed', rid, problem: code });
  else lock.input({ type: 'refused', rid, snapshot: typeof facts.rev === 'number' ? /** @type {any} */ (facts) : null, sameUser: facts.same_user === true });
  // Our id may be a copy: a duplicated tab inherits sessionStorage. Holding nothing, we can take another without loss.
  if (facts.same_user && client.idle && !client.tabLock.locks) client.tab.renew();
}

/** Resolves when what has begun with this attempt has made the form ours. @param {FormLock} lock @param {string} rid @param {AbortSignal} [signal] @returns {Promise<void>} */
export function until(lock, rid, signal) {
  return new Promise((resolve, reject) => {
    const all = waiting.get(lock) ?? new Set();
    waiting.set(lock, all);
    const end = () => {
      all.delete(one);
      lock.removeEventListener('change', look);
      signal?.removeEventListener('abort', give);
    };
    const one = {
      rid,
      /** @param {unknown} error */
      refuse(error) {
        end();
        reject(error);
      },
    };
    const look = () => {
      const { asking, grant, problem } = lock.state;
      if (lock.editing) {
        end();
        resolve();
      } else if (problem === 'denied' || (!asking && !grant)) {
        one.refuse(new CallError(problem ?? 'ended', 'Asking for the form has ended'));
      }
    };
    const give = () => {
      one.refuse(signal?.reason);
      if (!all.size) void lock.done(); // nobody wants it any more
    };
    all.add(one);
    lock.addEventListener('change', look);
    signal?.addEventListener('abort', give);
    if (signal?.aborted) give();
    else look();
  });
}

/** One call for all locks of the tab, however many of them asked for it in this turn. @param {FormLockClient} client */
export function renewSoon(client) {
  if (due.has(client)) return;
  due.add(client);
  queueMicrotask(() => {
    due.delete(client);
    void renew(client);
  });
}

/** @param {FormLockClient} client */
async function renew(client) {
  const held = client.locks.filter((lock) => lock.token !== null && lock.attached);
  for (const lock of held) lock.input({ type: 'renewing' });
  // One call, unless the user does something with some of them only.
  await Promise.all([null, true, false].map((busy) => renewAll(client, held.filter((lock) => lock.busy === busy), busy)));
}

/** @param {FormLockClient} client @param {FormLock[]} held @param {boolean | null} active */
async function renewAll({ supervisor, uris, tab }, held, active) {
  if (!held.length) return;
  const locks = held.map((lock) => ({ form: lock.form, token: /** @type {number} */ (lock.token) }));
  try {
    const { value, sent } = await supervisor.call(uris.procedure('renew'), { locks, tab: tab.id, ...(active !== null && { active }) });
    const answers = /** @type {Record<string, any>[]} */ (value.locks ?? []);
    for (const [at, lock] of held.entries()) renewed(lock, answers.find((answer) => answer.form === lock.form), locks[at].token, sent);
  } catch (error) {
    // A connection that ended says so by itself; anything else is tried again with a later tick.
    if (CallError.from(error).code !== 'closed') for (const lock of held) lock.input({ type: 'unanswered' });
  }
}

/** What the service says to a renewal. @param {FormLock} lock @param {Record<string, any> | undefined} answer @param {number} token what it is about: not ours any more, perhaps @param {number} sent */
export function renewed(lock, answer, token, sent) {
  if (answer?.event === 'renewed') {
    lock.input({ type: 'renewed', sent, grant: /** @type {any} */ (answer) });
    if (lock.token === token) lock.mark();
  } else if (answer?.event === 'lost') {
    lock.input(/** @type {any} */ ({ ...answer, type: 'renewal lost', token }));
  } else {
    lock.input({ type: 'unanswered' });
  }
}
