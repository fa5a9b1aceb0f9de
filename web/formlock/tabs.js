// The tabs of one browser: each has an id of its own, and they tell each other which forms they hold.
//
// A duplicated tab inherits sessionStorage, and with it the id. A Web Lock on the id, held while the page lives, shows that before
// anything is asked of the service: it can't tell a copy from a reload. Without Web Locks (plain http) it shows when the copy is refused.
import { randomId } from './tab.js';

/** A page that is being reloaded lets go of its id within milliseconds of its successor's asking; the original of a copy never does. */
const TAKEN_MS = 500;
/** How long the other tab has for its unsaved text. */
const HAND_OVER_MS = 1000;

/** @typedef {{form: string, user: string | null, from: string, to?: string, what: 'who' | 'holds' | 'free' | 'move' | 'moved', draft?: unknown}} Message */
/** @typedef {{postMessage(message: unknown): void, close(): void, onmessage: ((event: MessageEvent) => void) | null}} Channel */

export class Tabs {
  /** @type {Channel | null} */ #channel = null;
  /** @type {(() => void) | null} lets go of the id */ #release = null;
  /** @type {Map<string, (draft: unknown) => void>} */ #moves = new Map();

  /**
   * @param {(message: Message) => void} heard
   * @param {{locks?: LockManager | null, makeChannel?: (() => Channel | null) | null}} [means]
   */
  constructor(heard, { locks = globalThis.navigator?.locks ?? null, makeChannel = defaultChannel } = {}) {
    this.heard = heard;
    this.locks = locks;
    this.makeChannel = makeChannel;
    /** This page among the others; a tab's id may change. */
    this.page = randomId();
  }

  /** Begins to listen, and makes sure that the tab's id is no other tab's. @param {import('./tab.js').Tab} tab @returns {Promise<boolean> | null} whether it has got another one; null: can't be known */
  start(tab) {
    this.#channel ??= this.makeChannel?.() ?? null;
    if (this.#channel) this.#channel.onmessage = ({ data }) => this.#message(data);
    return this.locks && this.#claim(tab);
  }

  /** The page goes: others may have the id, and the page may lie in the back/forward cache, which takes none that holds a lock. */
  stop() {
    this.#release?.();
    this.#release = null;
    this.#channel?.close();
    this.#channel = null;
  }

  /** @param {import('./tab.js').Tab} tab */
  async #claim(tab) {
    for (let copied = false; ; copied = true) {
      if (await this.#hold(tab.id)) return copied;
      tab.renew();
    }
  }

  /** @param {string} id @returns {Promise<boolean>} */
  #hold(id) {
    return new Promise((resolve) => {
      const held = () => /** @type {Promise<void>} */ (new Promise((release) => {
        this.#release = release;
        resolve(true);
      }));
      // Refused for another reason than time (a sandboxed frame): nobody can say.
      this.locks?.request(`formlock.tab.${id}`, { signal: AbortSignal.timeout(TAKEN_MS) }, held).catch((error) => resolve(error.name !== 'TimeoutError'));
    });
  }

  /** @param {Message['what']} what @param {string} form @param {string | null} user @param {{to?: string, draft?: unknown}} [more] */
  say(what, form, user, more = {}) {
    try {
      this.#channel?.postMessage({ what, form, user, from: this.page, ...more });
    } catch {
      this.#channel?.postMessage({ what, form, user, from: this.page, ...more, draft: null }); // a text that can't travel
    }
  }

  /** Asks the tab that holds the form for its unsaved text. @param {string} form @param {string | null} user @returns {Promise<unknown>} null: none, or no answer in time */
  move(form, user) {
    return new Promise((resolve) => {
      const timer = setTimeout(() => end(null), HAND_OVER_MS);
      /** @param {unknown} draft */
      const end = (draft) => {
        clearTimeout(timer);
        this.#moves.delete(form);
        resolve(draft);
      };
      this.#moves.set(form, end);
      this.say('move', form, user);
    });
  }

  /** @param {Message} message */
  #message(message) {
    if (message.what === 'moved') {
      if (message.to === this.page) this.#moves.get(message.form)?.(message.draft ?? null);
    } else {
      this.heard(message);
    }
  }
}

/** @returns {Channel | null} */
function defaultChannel() {
  // Without a document (Node, tests) there are no tabs, and an open channel would keep the process.
  return typeof document === 'undefined' || typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel('formlock');
}
