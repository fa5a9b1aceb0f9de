// The connection to the router, kept up for ever: the only file that knows AutobahnJS.
//
// AutobahnJS gives up for good when a join is aborted (`will_retry: false`), and throws when a Connection is closed and opened again.
// So this supervisor makes a new Connection for every attempt, with `max_retries: 0`, and decides itself. A connection that looks
// open may be dead (a black-holed network looked open for 18 s and more): every call has a time limit, and one that passes it ends
// the connection.
import autobahn from 'autobahn';

import { errorName } from './uris.js';

/** Refusals that trying again cannot change. Everything else (a router that boots, an authenticator that is away) may pass. */
const FINAL = new Set([
  'wamp.error.authentication_failed',
  'wamp.error.authentication_denied',
  'wamp.error.authorization_failed',
  'wamp.error.not_authorized',
  'wamp.error.no_auth_method',
  'wamp.error.no_such_role',
]);
/** A worker is starting, died in mid-call, is away, or has too much to do. */
const RETRY = new Set(['wamp.error.no_such_procedure', 'wamp.error.canceled', 'not_active', 'too_many']);

/** A call that failed. `code`: the service's name of the error, or `closed` or `timeout`. */
export class CallError extends Error {
  /** @param {string} code @param {string} [sentence] @param {Record<string, unknown>} [facts] */
  constructor(code, sentence = code, facts = {}) {
    super(sentence);
    this.name = 'CallError';
    this.code = code;
    this.facts = facts;
  }

  /** @param {unknown} reason what AutobahnJS rejected with */
  static from(reason) {
    if (reason instanceof CallError) return reason;
    const wamp = /** @type {Partial<import('autobahn').WampError> | null} */ (reason);
    if (wamp && typeof wamp.error === 'string') return new CallError(errorName(wamp.error), String(wamp.args?.[0] ?? wamp.error), wamp.kwargs);
    return new CallError('closed', String(reason));
  }
}

/**
 * Times of waiting before attempt 0, 1, 2, ...: full jitter below a doubling ceiling, so that clients that lost the same router come back spread out.
 * @param {number} attempt @param {{first?: number, most?: number, random?: () => number}} [options] @returns {number} milliseconds
 */
export function backoff(attempt, { first = 300, most = 10_000, random = Math.random } = {}) {
  return random() * Math.min(most, first * 2 ** Math.min(attempt, 20));
}

/**
 * @typedef {object} Options
 * @property {string} url
 * @property {string} [realm]
 * @property {() => object} extra who we are, asked for each attempt
 * @property {() => void} onUp joined
 * @property {(facts: {silent: boolean, denied: string | null, attempts: number}) => void} onDown an attempt or a connection ended
 * @property {number} [limitMs] for every call and for every attempt
 * @property {(attempt: number) => number} [wait] before the n-th attempt in a row, in milliseconds
 * @property {() => number} [clock]
 */

export class Supervisor {
  /** @type {import('autobahn').Connection | null} */ #connection = null;
  /** @type {import('autobahn').Session | null} */ #session = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {((error: CallError) => void)[]} what to reject when the connection ends */ #pending = [];
  #running = false;
  #attempts = 0;

  /** @param {Options} options */
  constructor(options) {
    this.options = options;
    this.limitMs = options.limitMs ?? 8000;
    this.wait = options.wait ?? ((attempt) => backoff(attempt));
    this.clock = options.clock ?? (() => performance.now());
    /** When something last came from the router, by the clock. */
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
    this.#open();
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
    const had = this.#connection !== null;
    clearTimeout(this.#timer);
    this.#drop(false);
    if (had) this.options.onDown({ silent, denied: null, attempts: this.#attempts });
    if (now) this.#open();
    else this.#again();
  }

  #open() {
    clearTimeout(this.#timer);
    const connection = new autobahn.Connection({
      transports: [{ type: 'websocket', url: this.options.url, serializers: [new autobahn.serializer.JSONSerializer()] }],
      realm: this.options.realm ?? 'formlock',
      authmethods: ['anonymous'],
      authextra: this.options.extra(),
      max_retries: 0,
      use_deferred: deferred,
      on_user_error: report,
      on_internal_error: () => {}, // a socket that could not be made; onclose says the rest
    });
    this.#connection = connection;
    connection.onopen = (session) => {
      clearTimeout(this.#timer);
      this.#session = session;
      this.#attempts = 0;
      this.heard = this.clock();
      this.options.onUp();
    };
    connection.onclose = (_reason, details) => {
      if (this.#connection !== connection) return true;
      const denied = details.reason && FINAL.has(details.reason) ? details.reason : null;
      clearTimeout(this.#timer);
      this.#forget();
      if (denied) this.#running = false;
      this.options.onDown({ silent: false, denied, attempts: this.#attempts });
      if (this.#running && this.#connection === null) this.#again();
      return true;
    };
    this.#timer = setTimeout(() => this.restart({ silent: true }), this.limitMs);
    connection.open();
  }

  #again() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#open(), this.wait(this.#attempts));
    this.#attempts += 1;
  }

  /** @param {boolean} politely with a GOODBYE first */
  #drop(politely) {
    const connection = this.#connection;
    if (!connection) return;
    connection.onopen = connection.onclose = null;
    const joined = this.#session?.isOpen;
    const transport = connection.transport;
    this.#forget();
    try {
      if (politely && joined) connection.close();
    } catch {
      // it has closed by itself in the meantime
    }
    // AutobahnJS sends after an await: let the microtasks of what was said so far pass before the socket is closed behind them.
    void (async () => {
      for (let turn = 0; turn < 4; turn += 1) await null;
      transport.close?.();
    })();
  }

  #forget() {
    this.#connection = null;
    this.#session = null;
    for (const abort of this.#pending.slice()) abort(new CallError('closed'));
  }

  /**
   * Calls, again and again while the error says that it may succeed in a moment and the session lasts.
   * @param {string} procedure @param {object} facts keyword arguments
   * @returns {Promise<{value: Record<string, unknown>, sent: number}>} `sent`: when the call that was answered was sent, by the clock
   */
  async call(procedure, facts) {
    const session = this.#session;
    for (let attempt = 0; ; attempt += 1) {
      const sent = this.clock();
      try {
        const value = await this.#limited(session, () => /** @type {import('autobahn').Session} */ (session).call(procedure, [], facts));
        return { value: /** @type {Record<string, unknown>} */ (value), sent };
      } catch (reason) {
        const error = CallError.from(reason);
        if (!RETRY.has(error.code)) throw error;
      }
      await this.#limited(session, () => new Promise((resolve) => setTimeout(resolve, 50 + backoff(attempt, { first: 200, most: 5000 }))), Infinity);
    }
  }

  /** Sends a call and does not wait: the page is going away. @param {string} procedure @param {object} facts */
  send(procedure, facts) {
    if (this.#session?.isOpen) this.#session.call(procedure, [], facts).catch(() => {});
  }

  /** @param {string} topic @param {(facts: Record<string, unknown>) => void} handler @param {'exact' | 'prefix'} [match] @returns {Promise<() => void>} ends the subscription */
  async subscribe(topic, handler, match = 'exact') {
    const session = this.#session;
    const subscription = /** @type {import('autobahn').Subscription} */ (
      await this.#limited(session, () =>
        /** @type {import('autobahn').Session} */ (session).subscribe(topic, (_args, facts) => {
          if (this.#session !== session) return; // an event of a connection that was given up
          this.heard = this.clock();
          handler(facts);
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
      /** @type {ReturnType<typeof setTimeout> | undefined} */
      let timer;
      const end = () => {
        clearTimeout(timer);
        this.#pending = this.#pending.filter((other) => other !== abort);
      };
      /** @param {CallError} error */
      const abort = (error) => {
        end();
        reject(error);
      };
      this.#pending.push(abort);
      if (limitMs !== Infinity) {
        timer = setTimeout(() => {
          abort(new CallError('timeout'));
          if (this.#session === session) this.restart({ silent: true });
        }, limitMs);
      }
      act().then(
        (value) => {
          end();
          if (limitMs !== Infinity) this.heard = this.clock();
          resolve(value);
        },
        (reason) => {
          end();
          this.heard = this.clock();
          reject(reason);
        },
      );
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
