// What a call can fail with. A file of its own, so that parts loaded later need not bring the connection with them.
import { errorName } from './uris.js';

/** A call that failed. `code`: the service's name of the error, or `closed` (no connection), `timeout`, `ended` (given up), `denied`. */
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
    const wamp = /** @type {(Partial<import('autobahn').WampError> & {name?: string}) | null} */ (reason);
    // Not `instanceof`: a part that was bundled by itself (formlock-token.js) has a class of its own.
    if (wamp?.name === 'CallError') return /** @type {CallError} */ (reason);
    if (wamp && typeof wamp.error === 'string') return new CallError(errorName(wamp.error), String(wamp.args?.[0] ?? wamp.error), wamp.kwargs);
    return new CallError('closed', String(reason));
  }

  /** Whether the connection is what failed: the same may succeed on the next one. @param {unknown} reason */
  static isLine(reason) {
    return ['closed', 'timeout'].includes(CallError.from(reason).code);
  }
}
