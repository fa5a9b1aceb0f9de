// Who we are, signed: the application's short-lived token, fetched anew from its `token-url` when it has expired or was refused. Loaded where there is one.
import { CallError } from './errors.js';

/** A token that ends so soon is not worth a try. */
const MARGIN_MS = 5000;
const LIMIT_MS = 8000;
/** The application's word that nobody is logged in: asking again is of no use. */
const LOGGED_OUT = [401, 403];

/** `url` answers a GET of the page's own origin with JSON: `{token, expires_in}` (seconds), and `user` and `name` where the token can't be read. */
export class Token {
  #expires = Infinity;
  /** @type {string | null} */ #value = null;
  /** Who the token says we are. @type {{user: string, name: string} | null} */
  person = null;

  /** @param {{url?: string | null, token?: string | null, clock: () => number, fetch?: typeof globalThis.fetch}} options `token`: the first one */
  constructor({ url = null, token = null, clock, fetch = globalThis.fetch?.bind(globalThis) }) {
    this.url = url;
    this.clock = clock;
    this.fetch = fetch;
    if (token) this.#take({ token });
  }

  /** @param {boolean} fresh the last one was refused @returns {Promise<string>} rejects with a CallError: `denied` is final, `closed` may pass */
  async get(fresh) {
    const usable = this.#value !== null && !fresh && this.clock() < this.#expires - MARGIN_MS;
    if (this.url !== null && !usable) await this.#fetch(this.url);
    if (this.#value === null) throw new CallError('denied', 'no token');
    return this.#value;
  }

  /** @param {string} url */
  async #fetch(url) {
    const sent = this.clock();
    /** @type {Response} */
    let response;
    try {
      response = await this.fetch(url, { mode: 'same-origin', credentials: 'same-origin', cache: 'no-store', headers: { accept: 'application/json' }, signal: AbortSignal.timeout(LIMIT_MS) });
    } catch (error) {
      throw new CallError('closed', String(error));
    }
    if (!response.ok) throw new CallError(LOGGED_OUT.includes(response.status) ? 'denied' : 'closed', `the token's address answered ${response.status}`);
    const answer = await response.json().catch(() => null);
    if (typeof answer?.token !== 'string') throw new CallError('closed', "the token's address answered without a token");
    this.#take(answer);
    if (typeof answer.expires_in === 'number') this.#expires = sent + answer.expires_in * 1000;
  }

  /** @param {{token: string, user?: string, name?: string}} answer */
  #take({ token, user, name }) {
    this.#value = token;
    const claims = claimsOf(token);
    const id = user ?? claims.user ?? claims.sub;
    this.person = typeof id === 'string' ? { user: id, name: String(name ?? claims.name ?? id) } : null;
    // `exp` is by the server's wall clock: `iat` beside it makes a duration of it. Without, the server says when it has expired.
    this.#expires = typeof claims.exp === 'number' && typeof claims.iat === 'number' ? this.clock() + (claims.exp - claims.iat) * 1000 : Infinity;
  }
}

/** What a JSON Web Token says, unverified: only its server can. {} for any other token. @param {string} token @returns {Record<string, any>} */
export function claimsOf(token) {
  try {
    const [, payload] = token.split('.');
    const bytes = Uint8Array.from(atob(payload.replaceAll('-', '+').replaceAll('_', '/')), (character) => character.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return claims && typeof claims === 'object' ? claims : {};
  } catch {
    return {};
  }
}
