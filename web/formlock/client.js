// FormLockClient: one connection per page, many forms. Headless: it needs no DOM, and the elements use nothing else.
import { makeClock } from './clock.js';
import { Supervisor } from './connect.js';
import { CallError } from './errors.js';
import { Feed } from './feed.js';
import { FormLock } from './lock.js';
import { Tab } from './tab.js';
import { Tabs } from './tabs.js';
import { Ticks } from './ticks.js';
import { Token } from './token.js';
import { Uris } from './uris.js';

/** A connection on which nothing was heard for so long is asked for a sign of life. */
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
 * @property {ConstructorParameters<typeof Tabs>[1]} [tabs] how to hear of the browser's other tabs
 * @property {typeof fetch} [fetch] for the token
 */

/** Fires `connection` when the connection comes or goes. */
export class FormLockClient extends EventTarget {
  /** @type {Map<string, FormLock>} */ #locks = new Map();
  /** By topic: what many records of a type were changed by. @type {Map<string, Feed>} */ #bulks = new Map();
  /** @type {Token | null} */ #token = null;
  /** What the router has told us of ourselves. @type {Record<string, any>} */ #claims = {};
  #renewalDue = false;
  #beating = false;
  #started = {};

  /** @param {ClientOptions} options */
  constructor(options) {
    super();
    const { token, tokenUrl, fetch } = options;
    this.clock = options.clock ?? makeClock();
    if (token || tokenUrl) this.#token = new Token({ token, url: tokenUrl, clock: this.clock, fetch });
    this.tab = options.tab ?? new Tab(undefined, options.identity?.().user);
    this.tabs = new Tabs((message) => void this.#heard(message), options.tabs);
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
      url: options.url,
      realm: options.realm,
      login: (fresh) => this.#login(fresh),
      renewable: Boolean(tokenUrl),
      limitMs: options.limitMs,
      wait: options.wait,
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

  /** Whether it was this tab that saved what is reported (U13). @param {import('./lock.js').Update} update */
  isOwn({ origin }) {
    return origin !== undefined && (origin === this.tab.id || this.sessions.includes(origin));
  }

  /** The lock of one form; the same object each time. @param {string} form its topic */
  form(form) {
    if (!this.uris.isForm(form)) throw new RangeError(`not a form: ${form}`);
    let lock = this.#locks.get(form);
    if (!lock) {
      lock = new FormLock(this, form);
      this.#locks.set(form, lock);
      if (this.joined) this.#attach(lock);
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
    const sure = this.tabs.start(this.tab);
    if (!sure) this.supervisor.start();
    else {
      void sure.then((copied) => {
        if (started !== this.#started) return; // left meanwhile
        // What the original was editing is not for its copy to go on with.
        if (copied) for (const lock of this.#locks.values()) if (lock.state.asking?.resume) void lock.done();
        this.supervisor.start();
      });
    }
  }

  /** The page goes away, perhaps into the back/forward cache: what is held is given back at once. Also how to end a client. */
  leave() {
    for (const lock of this.#locks.values()) lock.leave();
    this.joined = false;
    this.#started = {};
    this.ticks.stop();
    this.supervisor.stop();
    this.tabs.stop();
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

  /** @param {boolean} fresh @returns {import('./connect.js').Login | Promise<import('./connect.js').Login>} */
  #login(fresh) {
    const token = this.#token;
    if (!token) return { extra: this.identity() };
    return token.get(fresh).then((value) => ({ token: value, authid: token.person?.user, extra: {} }));
  }

  /** @param {Record<string, any>} welcome */
  #up({ authid, authextra }) {
    this.joined = true;
    this.attempts = 0;
    this.#claims = { ...(authid && { user: authid }), ...authextra };
    this.sessions = [String(this.supervisor.session), ...this.sessions].slice(0, 8);
    for (const [topic, feed] of this.#bulks) this.#listen(feed, topic);
    for (const lock of this.#locks.values()) this.#attach(lock);
    this.dispatchEvent(new Event('connection'));
  }

  /** @param {FormLock} lock */
  #attach(lock) {
    void lock.attach();
    const topic = this.uris.bulkOf(lock.form);
    if (this.#bulks.has(topic)) return;
    const procedure = this.uris.procedure('updates');
    const feed = new Feed(
      async (since) => /** @type {any} */ ((await this.supervisor.call(procedure, { form: topic, ...(since !== null && { since }) })).value),
      (update) => this.#bulk(topic, update),
      () => this.rightsOn(topic),
    );
    this.#bulks.set(topic, feed);
    this.#listen(feed, topic);
  }

  /** @param {Feed} feed @param {string} topic */
  #listen(feed, topic) {
    this.supervisor.subscribe(topic, (facts) => facts.status === 'bulk' && void feed.heard(/** @type {any} */ (facts))).then(() => feed.joined(), () => {}); // who may not hear of it has no such news
  }

  /** @param {string} topic @param {import('./lock.js').Update} update */
  #bulk(topic, update) {
    if (this.isOwn(update)) return;
    for (const lock of this.#locks.values()) {
      const id = this.uris.nameOf(lock.form).split('.')[1];
      if (this.uris.bulkOf(lock.form) === topic && (!update.ids || update.ids.includes(id))) lock.bulk(update);
    }
  }

  /** What another tab of this browser says. @param {import('./tabs.js').Message} message */
  async #heard({ what, form, user, from }) {
    const lock = this.#locks.get(form);
    if (!lock || user !== lock.state.me) return;
    const held = lock.token !== null;
    if (what === 'holds' || what === 'free') lock.input({ type: 'other tab', holds: what === 'holds' });
    else if (what === 'who' && held) this.tabs.say('holds', form, user);
    else if (what === 'move' && held) this.tabs.say('moved', form, user, { to: from, draft: (await lock.unsaved?.()) ?? null });
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
    for (const lock of held) lock.input({ type: 'renewing' });
    // One call, unless the user does something with some of them only.
    await Promise.all([null, true, false].map((busy) => this.#renewAll(held.filter((lock) => lock.busy === busy), busy)));
  }

  /** @param {FormLock[]} held @param {boolean | null} active */
  async #renewAll(held, active) {
    if (!held.length) return;
    const locks = held.map((lock) => ({ form: lock.form, token: /** @type {number} */ (lock.token) }));
    try {
      const { value, sent } = await this.supervisor.call(this.uris.procedure('renew'), { locks, tab: this.tab.id, ...(active !== null && { active }) });
      const answers = /** @type {Record<string, any>[]} */ (value.locks ?? []);
      for (const [at, lock] of held.entries()) lock.renewed(answers.find((answer) => answer.form === lock.form), locks[at].token, sent);
    } catch (error) {
      // A connection that ended says so by itself; anything else is tried again with a later tick.
      if (CallError.from(error).code !== 'closed') for (const lock of held) lock.input({ type: 'unanswered' });
    }
  }
}
