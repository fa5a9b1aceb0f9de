// Acknowledged by HTTP, signed: for those without ZeroMQ. Needs nothing but Node.

import { createHmac } from 'node:crypto';

import { AcknowledgedPusher, answerOf } from './acknowledged-pusher.mjs';

export class HttpPusher extends AcknowledgedPusher {
  #name;
  #secret;
  #url;

  /**
   * @param {string} name of the key, and its secret: `name` and `http_secret` of what `formlock keys add` has made
   * @param {string} secret
   * @param {string} [address]
   * @param {{withinMs?: number, source?: string}} [options]
   */
  constructor(name, secret, address = 'http://127.0.0.1:5557', { withinMs = 1_000, source = '' } = {}) {
    super(withinMs, source);
    this.#name = name;
    this.#secret = secret;
    this.#url = new URL('/updates', address);
  }

  async exchange(messages, withinMs) {
    const signal = AbortSignal.timeout(withinMs);
    const answers = new Map();
    for (const [n, one] of messages) {
      const answer = await this.#post(one.json, signal);
      if (answer === null) break;
      answers.set(n, answer);
    }
    return answers;
  }

  async #post(body, signal) {
    const time = String(Math.floor(Date.now() / 1000));
    const headers = {
      'content-type': 'application/json',
      'x-form-lock-key': this.#name,
      'x-form-lock-time': time,
      'x-form-lock-signature': createHmac('sha256', this.#secret).update(`${time}\n${body}`).digest('hex'),
    };
    try {
      const response = await fetch(this.#url, { method: 'POST', body, headers, signal, redirect: 'error' });
      return answerOf(await response.text());
    } catch {
      // Nobody there, or its time is over.
      return null;
    }
  }
}
