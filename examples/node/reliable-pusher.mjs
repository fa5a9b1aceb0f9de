// Acknowledged by ZeroMQ: the answer comes after the bridge has written the update down; nobody waits longer than the time-out.

import { Context, Dealer } from 'zeromq';

import { AcknowledgedPusher, answerOf } from './acknowledged-pusher.mjs';

export class ReliablePusher extends AcknowledgedPusher {
  #address;
  #keys;
  #socket = null;
  // Its own, that does not keep the process when there is something left to send.
  #context = new Context({ blocky: false });

  /**
   * @param {string} [address]
   * @param {{withinMs?: number, source?: string, keys?: Record<string, string> | null}} [options]
   *   `keys`: what `formlock keys add` has made, for an address that wants a key
   */
  constructor(address = 'tcp://127.0.0.1:5556', { withinMs = 1_000, source = '', keys = null } = {}) {
    super(withinMs, source);
    this.#address = address;
    this.#keys = keys;
  }

  async exchange(messages, withinMs) {
    const until = performance.now() + withinMs;
    const answers = new Map();
    const numbers = new Map([...messages].map(([n, one]) => [one.id, n]));
    try {
      const socket = this.#open();
      for (const one of messages.values()) await socket.send(one.json);
      while (answers.size < messages.size) {
        socket.receiveTimeout = Math.max(0, Math.floor(until - performance.now()));
        const [frame] = await socket.receive();
        const answer = answerOf(frame.toString());
        // A message that could not be read has no name. Of several it is not known which: they are sent again one by one.
        const only = messages.size === 1 ? messages.keys().next().value : undefined;
        const n = answer?.id ? numbers.get(answer.id) : only;
        if (answer === null || n === undefined) break;
        answers.set(n, answer);
      }
    } catch (error) {
      // EAGAIN: its time is over.
      if (error.code !== 'EAGAIN') console.error(`formlock: ${error.message}`);
    }
    // With the socket goes what it has not sent, and every late answer.
    if (answers.size < messages.size) this.close();
    return answers;
  }

  /** May be repeated; the next push opens it again. */
  close() {
    this.#socket?.close();
    this.#socket = null;
  }

  #open() {
    if (this.#socket === null) {
      const options = { context: this.#context, linger: 0, sendTimeout: 0 };
      if (this.#keys !== null) {
        options.curveServerKey = this.#keys.server_public_key;
        options.curvePublicKey = this.#keys.public_key;
        options.curveSecretKey = this.#keys.secret_key;
      }
      this.#socket = new Dealer(options);
      this.#socket.connect(this.#address);
    }
    return this.#socket;
  }
}
