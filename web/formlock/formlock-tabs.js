// The tabs of one browser tell each other which forms they hold, and hand over what is not saved. Loaded when this tab holds a form, or another one of the same user does.
import { randomId } from './tab.js';

/** How long the other tab has for its unsaved text. */
const HAND_OVER_MS = 1000;

/** @typedef {import('./lock.js').FormLock} FormLock */
/** @typedef {{what: 'who' | 'holds' | 'free' | 'move' | 'moved', form: string, user: string | null, from: string, to?: string, draft?: unknown}} Message */
/** @typedef {{postMessage(message: unknown): void, close(): void, onmessage: ((event: MessageEvent) => void) | null}} Channel */

export class Others {
  /** @type {Channel | null} */ #channel = null;
  /** This page among the others; a tab's id may change. */
  #page = randomId();
  /** By form: who waits for the other tab's text. @type {Map<string, (draft: unknown) => void>} */ #moves = new Map();

  /** @param {import('./client.js').FormLockClient} client @param {() => Channel | null} [makeChannel] */
  constructor(client, makeChannel = channel) {
    this.client = client;
    this.makeChannel = makeChannel;
  }

  /** Whether we hold it has changed, or who else does. @param {FormLock} lock */
  tell(lock) {
    this.#say(lock.token !== null ? 'holds' : 'free', lock);
    if (lock.state.sameUser) this.#say('who', lock);
  }

  /** The unsaved text of the tab that holds the form; null: none, or no answer in time. @param {FormLock} lock @returns {Promise<unknown>} */
  unsavedThere(lock) {
    return new Promise((resolve) => {
      /** @param {unknown} draft */
      const end = (draft) => {
        clearTimeout(timer);
        this.#moves.delete(lock.form);
        resolve(draft);
      };
      const timer = setTimeout(end, HAND_OVER_MS, null);
      this.#moves.set(lock.form, end);
      this.#say('move', lock);
    });
  }

  /** The page goes: an open channel would keep it out of the back/forward cache. It is opened again when there is something to tell. */
  close() {
    this.#channel?.close();
    this.#channel = null;
  }

  /** @param {Message['what']} what @param {FormLock} lock @param {{to?: string, draft?: unknown}} [more] */
  #say(what, { form, state }, more = {}) {
    if (!this.client.started) return;
    this.#channel ??= this.makeChannel();
    if (!this.#channel) return;
    this.#channel.onmessage = ({ data }) => void this.#heard(data);
    this.#channel.postMessage({ what, form, user: state.me, from: this.#page, ...more });
  }

  /** @param {Message} message */
  async #heard({ what, form, user, from, to, draft }) {
    const lock = this.client.locks.find((other) => other.form === form);
    if (!lock || user !== lock.state.me) return;
    const held = lock.token !== null;
    if (what === 'holds' || what === 'free') lock.input({ type: 'other tab', holds: what === 'holds' });
    else if (what === 'who' && held) this.#say('holds', lock);
    else if (what === 'move' && held) this.#say('moved', lock, { to: from, draft: await unsaved(lock) });
    else if (what === 'moved' && to === this.#page) this.#moves.get(form)?.(draft ?? null);
  }
}

/** Without a document (Node) there are no tabs, and an open channel would keep the process. @returns {Channel | null} */
function channel() {
  return typeof document === 'undefined' || typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel('formlock');
}

/** What another tab may go on with; null for what can't travel. @param {FormLock} lock */
async function unsaved(lock) {
  try {
    return structuredClone((await lock.unsaved?.()) ?? null);
  } catch {
    return null;
  }
}
