// The connection to the router, kept up for ever: the only file that knows AutobahnJS.
//
// AutobahnJS gives up for good when a join is aborted (`will_retry: false`), and throws when a Connection is closed and opened again.
// So this supervisor makes a new Connection for every attempt, with `max_retries: 0`, and decides itself. A connection that looks
// open may be dead (a black-holed network looked open for 18 s and more): every call has a time limit, and one that passes it ends
// the connection.
import autobahn from 'autobahn';

import { CallError } from './errors.js';

/** Refusals that trying again cannot change. Everything else (a router that boots, an authenticator that is away) may pass. */
const FINAL = /^wamp\.error\.(authentication_(failed|denied)|authorization_failed|not_authorized|no_auth_method|no_such_role)$/;
/** A worker is starting, died in mid-call, is away, or has too much to do. */
const RETRY = ['wamp.error.no_such_procedure', 'wamp.error.canceled', 'not_active', 'too_many'];

/**
 * Times of waiting before attempt 0, 1, 2, ...: full jitter below a doubling ceiling, so that clients that lost the same router come back spread out.
 * @param {number} attempt @param {{first?: number, most?: number, random?: () => number}} [options] @returns {number} milliseconds
 */
export function backoff(attempt, { first = 300, most = 10_000, random = Math.random } = {}) {
  return random() * Math.min(Math.max(most, first), first * 2 ** Math.min(attempt, 20));
}

/** How to say who we are: with a `token` as a ticket, else as anybody. @typedef {{extra: object, authid?: string, token?: string}} Login */
/**
 * @typedef {object} Options
 * @property {string} url
 * @property {string} [realm]
 * @property {(fresh: boolean) => Login | Promise<Login>} login asked for each attempt; `fresh`: the last token was refused. A CallError `denied` is final
 * @property {boolean} [renewable] whether a fresh token can be had
 * @property {(welcome: Record<string, any>) => void} onUp joined; the facts that the router told with it (`authextra`, `authid`)
 * @property {(facts: {silent: boolean, denied: string | null, attempts: number}) => void} onDown an attempt or a connection ended
 * @property {number} [limitMs] for every call and for every attempt
 * @property {(attempt: number, returnMs: number) => number} [wait] before the n-th attempt in a row, in milliseconds
 * @property {() => number} [clock]
 */

export class Supervisor {
  /** @type {import('autobahn').Connection | null} */ #connection = null;
  /** @type {import('autobahn').Session | null} */ #session = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {Set<(error: CallError) => void>} what to reject when the connection ends */ #pending = new Set();
  /** The present attempt: what an earlier one still brings is not heard. */
  #attempt = {};
  #running = false;
  #attempts = 0;
  /** Whether the router has refused a token since we were last let in: from then on every attempt has a fresh one. */
  #refused = false;
  /** @type {import('autobahn').Session | null} whose sign of life is under way */ #signing = null;
  /** Over how much time the router wants its clients to come back, in milliseconds, as it said when they joined. */
  returnMs = 0;

  /** @param {Options} options */
  constructor(options) {
    this.options = options;
    this.limitMs = options.limitMs ?? 8000;
    this.wait = options.wait ?? ((attempt, returnMs) => backoff(attempt, { first: Math.max(300, returnMs) }));
    this.clock = options.clock ?? (() => performance.now());
    /** When the last call that was answered was sent, by the clock: what happened to the line since then nobody knows. */
    this.heard = 0;
  }

  /** @returns {number | null} */
  get session() {
    return this.#session?.id ?? null;
  }

  start() {
    if (this.#running) return;
    this.#running = true;
    this.#attempts = 0;
    void this.#open();
  }

  /** Says goodbye; what was sent before still goes out. `start` may follow at any time. */
  stop() {
    this.#running = false;
    clearTimeout(this.#timer);
    this.#drop(true);
  }

  /** Forget the present connection, whatever it says of itself, and try again. @param {{silent?: boolean, now?: boolean}} [how] */
  restart({ silent = false, now = false } = {}) {
    if (!this.#running) return;
    if (now) this.#attempts = 0;
    this.#drop(false);
    this.options.onDown({ silent, denied: null, attempts: this.#attempts });
    // Many may have got their network back in this very moment.
    this.#again(now && !this.returnMs ? 0 : undefined);
  }

  async #open() {
    const attempt = (this.#attempt = {});
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.restart({ silent: true }), this.limitMs);
    try {
      const login = await this.options.login(this.#refused);
      if (attempt === this.#attempt && this.#running) this.#join(login);
    } catch (error) {
      if (attempt === this.#attempt && this.#running) this.#ended(CallError.from(error).code === 'denied' ? 'denied' : null);
    }
  }

  /** @param {Login} login */
  #join({ extra, authid, token }) {
    const connection = new autobahn.Connection({
      transports: [{ type: 'websocket', url: this.options.url, serializers: [new autobahn.serializer.JSONSerializer()] }],
      realm: this.options.realm ?? 'formlock',
      authmethods: [token === undefined ? 'anonymous' : 'ticket'],
      authid,
      authextra: extra,
      onchallenge: () => token ?? '',
      max_retries: 0,
      use_deferred: deferred,
      on_user_error: report,
      on_internal_error: () => {}, // a socket that could not be made; onclose says the rest
    });
    this.#connection = connection;
    connection.onopen = (session, welcome) => {
      clearTimeout(this.#timer);
      this.#session = session;
      this.#attempts = 0;
      this.#refused = false;
      this.returnMs = Number(welcome.authextra?.return_ms) || 0;
      this.heard = this.clock();
      this.options.onUp(welcome);
    };
    connection.onclose = (_reason, { reason }) => {
      if (this.#connection !== connection) return true;
      const denied = reason && FINAL.test(reason) ? reason : null;
      this.#forget();
      if (denied && this.options.renewable && !this.#refused) {
        this.#refused = true; // only what refuses a fresh token refuses us
        void this.#open();
      } else {
        this.#ended(denied);
      }
      return true;
    };
    connection.open();
  }

  /** @param {string | null} denied why trying again is of no use */
  #ended(denied) {
    clearTimeout(this.#timer);
    if (denied) this.#running = false;
    const attempt = this.#attempt;
    this.options.onDown({ silent: false, denied, attempts: this.#attempts });
    if (this.#running && attempt === this.#attempt) this.#again();
  }

  /** @param {number} [wait] milliseconds */
  #again(wait = this.wait(this.#attempts, this.returnMs)) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#open(), wait);
    this.#attempts += 1;
  }

  /** @param {boolean} politely with a GOODBYE first */
  #drop(politely) {
    const connection = this.#connection;
    const joined = this.#session?.isOpen;
    this.#forget();
    if (!connection) return;
    connection.onopen = connection.onclose = null;
    const { transport } = connection;
    try {
      if (politely && joined) connection.close();
    } catch {
      // it has closed by itself in the meantime
    }
    // AutobahnJS sends after an await: let the microtasks of what was said so far pass before the socket is closed behind them.
    void (async () => {
      for (let turn = 0; turn < 4; turn += 1) await null;
      transport?.close?.();
    })();
  }

  #forget() {
    this.#attempt = {};
    this.#connection = null;
    this.#session = null;
    for (const abort of this.#pending) abort(new CallError('closed'));
  }

  /**
   * Calls, again and again while the error says that it may succeed in a moment and the session lasts.
   * @param {string} procedure @param {object} facts keyword arguments
   * @param {{limitMs?: number, signal?: AbortSignal}} [how] `limitMs`: for each try; `signal`: no further try
   * @returns {Promise<{value: Record<string, unknown>, sent: number}>} `sent`: when the call that was answered was sent, by the clock
   */
  async call(procedure, facts, { limitMs = this.limitMs, signal } = {}) {
    const session = this.#session;
    for (let attempt = 0; ; attempt += 1) {
      const sent = this.clock();
      try {
        const value = await this.#limited(session, () => /** @type {import('autobahn').Session} */ (session).call(procedure, [], facts), limitMs);
        return { value: /** @type {Record<string, unknown>} */ (value), sent };
      } catch (reason) {
        const error = CallError.from(reason);
        if (!RETRY.includes(error.code) || signal?.aborted) throw error;
      }
      await this.#limited(session, () => new Promise((resolve) => setTimeout(resolve, 50 + backoff(attempt, { first: 200, most: 5000 }))), Infinity);
      if (signal?.aborted) throw new CallError('ended');
    }
  }

  /** Sends a call and does not wait: the page is going away. @param {string} procedure @param {object} facts */
  send(procedure, facts) {
    if (this.#session?.isOpen) this.#session.call(procedure, [], facts).catch(() => {});
  }

  /** A sign of life from the router itself, at no cost to its workers: it refuses what no page may call, and the refusal is the sign. @param {string} procedure */
  async sign(procedure) {
    const session = this.#session;
    if (!session || this.#signing === session) return;
    this.#signing = session;
    await this.#limited(session, () => session.call(procedure, [], {})).catch(() => {});
    if (this.#signing === session) this.#signing = null;
  }

  /** @param {string} topic @param {(facts: Record<string, unknown>) => void} handler @param {'exact' | 'prefix'} [match] @returns {Promise<() => void>} ends the subscription */
  async subscribe(topic, handler, match = 'exact') {
    const session = this.#session;
    const subscription = /** @type {import('autobahn').Subscription} */ (
      await this.#limited(session, () =>
        /** @type {import('autobahn').Session} */ (session).subscribe(topic, (_args, facts) => {
          if (this.#session === session) handler(facts); // not of a connection that was given up
        }, { match }),
      )
    );
    return () => {
      if (this.#session === session) subscription.unsubscribe().catch(() => {});
    };
  }

  /**
   * @param {import('autobahn').Session | null} session @param {() => Promise<unknown>} act @param {number} [limitMs] Infinity: none
   * @returns {Promise<unknown>}
   */
  #limited(session, act, limitMs = this.limitMs) {
    return new Promise((resolve, reject) => {
      if (!session || session !== this.#session || !session.isOpen) {
        reject(new CallError('closed'));
        return;
      }
      let sent = 0;
      /** @type {ReturnType<typeof setTimeout> | undefined} */
      let timer;
      const end = () => {
        clearTimeout(timer);
        this.#pending.delete(abort);
      };
      /** @param {CallError} error */
      const abort = (error) => {
        end();
        reject(error);
      };
      this.#pending.add(abort);
      if (limitMs !== Infinity) {
        sent = this.clock();
        timer = setTimeout(() => {
          abort(new CallError('timeout'));
          if (this.#session === session) this.restart({ silent: true });
        }, limitMs);
      }
      act().finally(() => {
        end();
        this.heard = Math.max(this.heard, sent);
      }).then(resolve, reject);
    });
  }
}

function deferred() {
  /** @type {Partial<import('autobahn').Deferred>} */
  const made = {};
  made.promise = new Promise((resolve, reject) => {
    made.resolve = resolve;
    made.reject = reject;
  });
  return /** @type {import('autobahn').Deferred} */ (made);
}

/** An error in a handler of ours or of the page: the console is the place for it. @param {unknown} error */
function report(error) {
  console.error(error);
}
