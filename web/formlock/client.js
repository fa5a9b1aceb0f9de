// FormLockClient: one connection per page, many forms. Headless: it needs no DOM, and the elements use nothing else.
import { makeClock } from './clock.js';
import { CallError, Supervisor } from './connect.js';
import { FormLock } from './lock.js';
import { Tab } from './tab.js';
import { Ticks } from './ticks.js';
import { Uris } from './uris.js';

/** A connection on which nothing was heard for so long is asked for a sign of life. */
const HEARTBEAT_MS = 30_000;

/**
 * @typedef {object} ClientOptions
 * @property {string} url the router, e.g. `wss://example.com/ws`
 * @property {() => {user: string, name: string}} [identity] who this is; default: a guest
 * @property {string} [prefix] of all names, default `com.example`
 * @property {string} [realm]
 * @property {Tab} [tab]
 * @property {number} [limitMs] time limit of every call, default 8000
 * @property {number} [heartbeatMs]
 * @property {(attempt: number) => number} [wait] before the n-th attempt to connect
 * @property {() => number} [clock]
 * @property {(() => Worker) | null} [makeWorker] the ticking worker; null: a plain timer
 */

/** Fires `connection` when the connection comes or goes. */
export class FormLockClient extends EventTarget {
  /** @type {Map<string, FormLock>} */ #locks = new Map();
  #renewalDue = false;
  #beating = false;

  /** @param {ClientOptions} options */
  constructor(options) {
    super();
    this.tab = options.tab ?? new Tab(undefined, options.identity?.().user);
    this.uris = new Uris(options.prefix);
    this.identity = options.identity ?? (() => this.tab.guest());
    this.heartbeatMs = options.heartbeatMs ?? HEARTBEAT_MS;
    this.clock = options.clock ?? makeClock();
    this.joined = false;
    /** @type {string[]} the latest sessions, newest first: a backend may name one as the origin of what it reports */
    this.sessions = [];
    /** Attempts to connect that have failed in a row. */
    this.attempts = 0;
    this.ticks = new Ticks(() => this.tick(), options.makeWorker);
    this.supervisor = new Supervisor({
      url: options.url,
      realm: options.realm,
      extra: () => this.identity(),
      limitMs: options.limitMs,
      wait: options.wait,
      clock: this.clock,
      onUp: () => this.#up(),
      onDown: (facts) => this.#down(facts),
    });
  }

  /** The lock of one form; the same object each time. @param {string} form its topic */
  form(form) {
    if (!this.uris.isForm(form)) throw new RangeError(`not a form: ${form}`);
    let lock = this.#locks.get(form);
    if (!lock) {
      lock = new FormLock(this, form);
      this.#locks.set(form, lock);
      if (this.joined) void lock.attach();
    }
    return lock;
  }

  /** Forget a form that is no longer on the page. @param {FormLock} lock */
  forget(lock) {
    lock.detach();
    this.#locks.delete(lock.form);
  }

  start() {
    this.ticks.start();
    this.supervisor.start();
  }

  /** The page goes away, perhaps into the back/forward cache: what is held is given back at once. Also how to end a client. */
  leave() {
    for (const lock of this.#locks.values()) lock.leave();
    this.joined = false;
    this.ticks.stop();
    this.supervisor.stop();
  }

  /** The page is back from the back/forward cache. */
  comeBack() {
    for (const lock of this.#locks.values()) lock.comeBack();
    this.start();
  }

  /** The browser lost its network. The socket would look open for long: give it up now, and keep trying, for the browser may be wrong. */
  offline() {
    for (const lock of this.#locks.values()) lock.input({ type: 'offline' });
    this.supervisor.restart();
  }

  online() {
    for (const lock of this.#locks.values()) lock.input({ type: 'online' });
    if (!this.joined) this.supervisor.restart({ now: true });
  }

  tick() {
    for (const lock of this.#locks.values()) lock.input({ type: 'tick' });
    if (this.joined && this.clock() - this.supervisor.heard >= this.heartbeatMs) void this.#beat();
  }

  /** Something to prove that the line is alive; no answer in time ends the connection (connect.js). */
  async #beat() {
    if (this.#beating) return;
    this.#beating = true;
    const [lock] = this.#locks.values();
    // A renewal of nothing asks the service for nothing but a word.
    await (lock ? lock.status() : this.supervisor.call(this.uris.procedure('renew'), { locks: [] }).catch(() => {}));
    this.#beating = false;
  }

  #up() {
    this.joined = true;
    this.attempts = 0;
    this.sessions = [String(this.supervisor.session), ...this.sessions].slice(0, 8);
    for (const lock of this.#locks.values()) void lock.attach();
    this.dispatchEvent(new Event('connection'));
  }

  /** @param {{silent: boolean, denied: string | null, attempts: number}} facts */
  #down({ silent, denied, attempts }) {
    this.joined = false;
    this.attempts = attempts;
    for (const lock of this.#locks.values()) {
      lock.input({ type: 'disconnected', silent });
      if (denied) lock.input({ type: 'denied', problem: 'denied' });
    }
    this.dispatchEvent(new Event('connection'));
  }

  /** Whether nothing the service knows, or is being told, depends on the tab's id. */
  get idle() {
    return [...this.#locks.values()].every(({ state }) => !state.grant && !state.asking && !state.releasing);
  }

  /** The address of this page, to know it again after a reload. */
  page() {
    return typeof location === 'undefined' ? '' : (location.href.split('#')[0] ?? '');
  }

  /** One call for all locks of the tab, however many of them asked for it in this turn. */
  renewSoon() {
    if (this.#renewalDue) return;
    this.#renewalDue = true;
    queueMicrotask(() => {
      this.#renewalDue = false;
      void this.#renew();
    });
  }

  async #renew() {
    const held = [...this.#locks.values()].filter((lock) => lock.token !== null && lock.attached);
    if (!held.length) return;
    const tokens = held.map((lock) => ({ form: lock.form, token: /** @type {number} */ (lock.token) }));
    for (const lock of held) lock.input({ type: 'renewing' });
    try {
      const { value, sent } = await this.supervisor.call(this.uris.procedure('renew'), {
        locks: tokens,
        tab: this.tab.id,
      });
      const answers = /** @type {Record<string, any>[]} */ (value.locks ?? []);
      for (const [at, lock] of held.entries()) lock.renewed(answers.find((answer) => answer.form === lock.form), tokens[at].token, sent);
    } catch (error) {
      // A connection that ended says so by itself; anything else is tried again with a later tick.
      if (CallError.from(error).code !== 'closed') for (const lock of held) lock.input({ type: 'unanswered' });
    }
  }
}
