// What a page does beside showing who has the form: asking for it and holding it (acting.js), standing in line (contest.js), and what a person
// does beside locking and unlocking: takes over, moves the work here, asks, answers, hands over, looks at drafts. Loaded with the first form
// of a page, while its connection is made.
import { until } from './acting.js';
import { randomId } from './tab.js';

export { renewSoon, request, until } from './acting.js';
export * as contest from './contest.js';

/** What a person waits for an answer that no later connection can bring. */
const ACT_MS = 30_000;

/** @typedef {import('./lock.js').FormLock} FormLock */
/** How long to wait for it. @typedef {{signal?: AbortSignal}} Patience */
/** @typedef {{form: string, user: string, name: string, token: number, at: number, own: boolean}} DraftFacts */

/** @param {FormLock} lock @param {{reason?: string, note?: string} & Patience} [options] @returns {Promise<void>} */
export async function takeover(lock, { reason = '', note, signal } = {}) {
  if (lock.editing) return;
  if (note !== undefined) lock.note = note;
  signal?.throwIfAborted();
  const rid = lock.state.asking?.take ? lock.state.asking.rid : randomId();
  lock.input({ type: 'take over', rid, reason });
  await until(lock, rid, signal);
}

/** @param {FormLock} lock @param {Patience} [options] @returns {Promise<{draft: unknown}>} */
export async function moveHere(lock, { signal } = {}) {
  const unsaved = lock.state.otherTab ? ((await (await lock.client.others())?.unsavedThere(lock)) ?? null) : null;
  await (lock.state.snapshot?.state === 'free' ? lock.lock({ signal }) : takeover(lock, { signal }));
  return { draft: unsaved };
}

/** @param {FormLock} lock @param {{note?: string} & Patience} [options] @returns {Promise<{free: boolean, answerInMs: number | null}>} */
export async function ask(lock, { note = '', signal } = {}) {
  const { value } = await call(lock, 'ask', { note, tab: lock.client.tab.id }, signal);
  const free = value.event !== 'asked';
  if (!free) lock.input({ type: 'question', number: value.number });
  return { free, answerInMs: value.answer_in_ms ?? null };
}

/** @param {FormLock} lock @param {'release' | 'keep'} what @param {{keepMs?: number} & Patience} [options] @returns {Promise<void>} */
export async function answer(lock, what, { keepMs = 0, signal } = {}) {
  if (what === 'release') {
    await lock.done({ answer: true });
    return;
  }
  const { value, sent } = await call(lock, 'answer', { ...held(lock), answer: what, keep_ms: keepMs }, signal);
  lock.input({ type: 'renewed', sent, grant: /** @type {any} */ (value) });
}

/** @param {FormLock} lock @param {unknown} text @param {Patience} [options] @returns {Promise<{moved: boolean}>} */
export async function handOver(lock, text, { signal } = {}) {
  const { value } = await call(lock, 'hand_over', { ...held(lock), draft: text }, signal);
  return { moved: value.moved };
}

/** @param {FormLock} lock @param {Patience} [options] @returns {Promise<DraftFacts[]>} */
export async function drafts(lock, { signal } = {}) {
  return (await call(lock, 'draft', {}, signal)).value.drafts;
}

/** @param {FormLock} lock @param {number} [token] @param {Patience} [options] @returns {Promise<unknown>} */
export async function draft(lock, token, { signal } = {}) {
  return (await call(lock, 'draft', token === undefined ? {} : { token }, signal)).value.draft;
}

/** @param {FormLock} lock @param {number} [token] @param {Patience} [options] @returns {Promise<number>} */
export async function forgetDraft(lock, token, { signal } = {}) {
  return (await call(lock, 'forget_draft', token === undefined ? {} : { token }, signal)).value.forgotten;
}

/** @param {FormLock} lock @param {number} token @param {import('./lock.js').Claim | null} tell @param {AbortSignal} signal */
export async function claim(lock, token, tell, signal) {
  try {
    await tell?.({ token, receipt: lock.receipt, signal });
    lock.input({ type: 'claimed', token });
  } catch (error) {
    if (signal.aborted) return;
    console.error('form-lock: the claim failed:', error);
    lock.input({ type: 'claim failed', token, rid: randomId() });
  }
}

/** @param {FormLock} lock @param {Patience} [options] @returns {AsyncGenerator<Readonly<import('./lease.js').State>, void>} */
export async function* states(lock, { signal } = {}) {
  /** @type {() => void} */
  let wake = () => {};
  let news = true;
  const look = () => {
    news = true;
    wake();
  };
  lock.addEventListener('change', look);
  signal?.addEventListener('abort', look);
  try {
    while (!lock.gone && !signal?.aborted) {
      if (news) {
        news = false;
        yield lock.state;
      } else {
        await new Promise((resolve) => (wake = /** @type {() => void} */ (resolve)));
      }
    }
  } finally {
    lock.removeEventListener('change', look);
    signal?.removeEventListener('abort', look);
  }
}

/** A call that is not said again with the next connection. @param {FormLock} lock @param {string} procedure @param {object} facts @param {AbortSignal} [signal] @returns {Promise<{value: Record<string, any>, sent: number}>} */
function call(lock, procedure, facts, signal = AbortSignal.timeout(ACT_MS)) {
  return new Promise((resolve, reject) => {
    const end = () => reject(signal.reason);
    if (signal.aborted) return end();
    signal.addEventListener('abort', end, { once: true });
    lock.call(procedure, facts, { signal }).then(resolve, reject).finally(() => signal.removeEventListener('abort', end));
  });
}

/** What we hold, or held until now. @param {FormLock} lock */
function held({ state: { grant, lost }, client }) {
  return { token: grant?.token ?? lost?.token ?? 0, tab: client.tab.id };
}
