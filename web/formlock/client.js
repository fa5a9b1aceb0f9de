// FormLockClient: one connection per page, many forms. Headless: it needs no DOM, and the elements use nothing else.
import { makeClock } from './clock.js';
import { Supervisor } from './connect.js';
import { acts, FormLock } from './lock.js';
import { Tab } from './tab.js';
import { TabLock } from './tabs.js';
import { Ticks } from './ticks.js';
import { Uris } from './uris.js';

/** A connection on which no call was answered for so long is asked for a sign of life. */
const HEARTBEAT_MS = 30_000;

/**
 * @typedef {object} ClientOptions
 * @property {string} url the router, e.g. `wss://example.com/ws`
 * @property {() => {user: string, name: string}} [identity] who this is, where the router believes it; default: a guest
 * @property {string} [token] who this is, signed by the application, where the router wants that
 * @property {string} [tokenUrl] where a fresh one is to be had (token.js)
 * @property {string} [prefix] of all names, default `com.example`
 * @property {string} [realm]
 * @property {Tab} [tab]
 * @property {number} [limitMs] time limit of every call, default 8000
 * @property {number} [heartbeatMs]
 * @property {(attempt: number, returnMs: number) => number} [wait] before the n-th attempt to connect; `returnMs`: what the router asks for
 * @property {() => number} [clock]
 * @property {(() => Worker) | null} [makeWorker] the ticking worker; null: a plain timer
 * @property {LockManager | null} [locks] what shows that another tab has our id; default: the browser's
 * @property {(() => import('./formlock-tabs.js').Channel | null)} [makeChannel] to the browser's other tabs
 * @property {typeof fetch} [fetch] for the token
 */

/** Fires `connection` when the connection comes or goes. */
export class FormLockClient extends EventTarget {
  /** @type {Map<string, FormLock>} */ #locks = new Map();
  /** @type {Promise<import('./formlock-updates.js').Updates | null> | null} */ #updates = null;
  /** @type {Promise<import('./formlock-tabs.js').Others | null> | null} */ #others = null;
  /** @type {import('./formlock-token.js').Token | null} */ #token = null;
  /** What the router has told us of ourselves. @type {Record<string, any>} */ #claims = {};
  #beating = false;
  /** @type {object | null} the present start */ #started = null;

  /** @param {ClientOptions} options */
  constructor(options) {
    super();
    this.options = options;
    this.clock = options.clock ?? makeClock();
    this.tab = options.tab ?? new Tab(undefined, options.identity?.().user);
    this.tabLock = new TabLock(options.locks);
    this.uris = new Uris(options.prefix);
    this.identity = () => this.#token?.person ?? options.identity?.() ?? this.tab.guest();
    this.heartbeatMs = options.heartbeatMs ?? HEARTBEAT_MS;
    this.joined = false;
    /** @type {string[]} the latest sessions, newest first: a backend may name one as the origin of what it reports */
    this.sessions = [];
    /** Attempts to connect that have failed in a row. */
    this.attempts = 0;
    this.ticks = new Ticks(() => this.tick(), options.makeWorker);
    this.supervisor = new Supervisor({
      ...options,
      login: (fresh) => this.#login(fresh),
      renewable: Boolean(options.tokenUrl),
      clock: this.clock,
      onUp: (welcome) => this.#up(welcome),
      onDown: (facts) => this.#down(facts),
    });
  }

  /** This user's id: as the router has it, else as we say. @returns {string} */
  get me() {
    return this.#claims.user ?? this.identity().user;
  }

  /** What this user may do with a form, as the router has told; null: it has not. @param {string} form @returns {string[] | null} */
  rightsOn(form) {
    const { rights } = this.#claims;
    if (!rights) return null;
    const name = this.uris.nameOf(form);
    const [type, id] = name.split('.');
    return ['*', `${type}.*`, `${type}.${id}`, name].flatMap((pattern) => rights[pattern] ?? []);
  }

  get started() {
    return this.#started !== null;
  }

  /** The forms of the page. */
  get locks() {
    return [...this.#locks.values()];
  }

  /** The part that hears of updates; null: it could not be loaded now. */
  updates() {
    return (this.#updates ??= import('./formlock-updates.js').then(({ Updates }) => new Updates(this), () => (this.#updates = null)));
  }

  /** The part that speaks with the browser's other tabs; null: it could not be loaded now. */
  others() {
    return (this.#others ??= import('./formlock-tabs.js').then(({ Others }) => new Others(this, this.options.makeChannel), () => (this.#others = null)));
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
    const started = (this.#started = {});
    if (!this.tabLock.locks) this.supervisor.start();
    else {
      void this.tabLock.claim(this.tab).then((copied) => {
        if (started !== this.#started) return; // left meanwhile
        // What the original was editing is not for its copy to go on with.
        if (copied) for (const lock of this.locks) if (lock.state.asking?.resume) void lock.done();
        this.supervisor.start();
      });
    }
  }

  /** The page goes away, perhaps into the back/forward cache: what is held is given back at once. Also how to end a client. */
  leave() {
    for (const lock of this.locks) lock.leave();
    this.joined = false;
    this.#started = null;
    this.ticks.stop();
    this.supervisor.stop();
    this.tabLock.release();
    void this.#others?.then((others) => others?.close());
  }

  /** The page is back from the back/forward cache. */
  comeBack() {
    for (const lock of this.locks) lock.comeBack();
    this.start();
  }

  /** The browser lost its network. The socket would look open for long: give it up now, and keep trying, for the browser may be wrong. */
  offline() {
    this.#tell({ type: 'offline' });
    this.supervisor.restart();
  }

  online() {
    this.#tell({ type: 'online' });
    if (!this.joined) this.supervisor.restart({ now: true });
  }

  tick() {
    const { heard } = this.supervisor;
    this.#tell({ type: 'tick', heard });
    if (!this.joined) return;
    const silent = this.clock() - heard;
    if (silent >= this.heartbeatMs) void this.#beat();
    // Three in the time after which somebody else may have what we hold.
    else if (this.locks.some(({ state: { grant } }) => grant && silent * 3 >= grant.silent)) void this.supervisor.sign(`${this.uris.prefix}.alive`);
  }

  /** @param {import('./lease.js').Input} input to all locks */
  #tell(input) {
    for (const lock of this.locks) lock.input(input);
  }

  /** Something to prove that the line is alive; no answer in time ends the connection (connect.js). */
  async #beat() {
    if (this.#beating) return;
    this.#beating = true;
    const [lock] = this.locks;
    // A renewal of nothing asks the service for nothing but a word.
    await (lock ? lock.status() : this.supervisor.call(this.uris.procedure('renew'), { locks: [] }).catch(() => {}));
    this.#beating = false;
  }

  /** @param {boolean} fresh @returns {Promise<import('./connect.js').Login>} */
  async #login(fresh) {
    const { token, tokenUrl, fetch } = this.options;
    if (!token && !tokenUrl) return { extra: this.identity() };
    const { Token } = await import('./formlock-token.js');
    this.#token ??= new Token({ token, url: tokenUrl, clock: this.clock, fetch });
    return { token: await this.#token.get(fresh), authid: this.#token.person?.user, extra: {} };
  }

  /** @param {Record<string, any>} welcome */
  #up({ authid, authextra }) {
    this.joined = true;
    this.attempts = 0;
    this.#claims = { ...(authid && { user: authid }), ...authextra };
    this.sessions = [String(this.supervisor.session), ...this.sessions].slice(0, 8);
    for (const lock of this.locks) void lock.attach();
    this.dispatchEvent(new Event('connection'));
  }

  /** @param {{silent: boolean, denied: string | null, attempts: number}} facts */
  #down({ silent, denied, attempts }) {
    this.joined = false;
    this.attempts = attempts;
    this.#tell({ type: 'disconnected', silent });
    if (denied) this.#tell({ type: 'denied', problem: 'denied' });
    this.dispatchEvent(new Event('connection'));
  }

  /** Whether nothing the service knows, or is being told, depends on the tab's id. */
  get idle() {
    return this.locks.every(({ state }) => !state.grant && !state.asking && !state.releasing);
  }

  /** The address of this page, to know it again after a reload. */
  page() {
    return globalThis.location?.href.split('#')[0] ?? '';
  }

  /** One call for all locks of the tab, however many of them asked for it in this turn. */
  renewSoon() {
    void acts().then(({ renewSoon }) => renewSoon(this));
  }
}
