// Best effort, as in the article, and with limits: nobody waits for a push, and a process ends when it has to.

import { Context, Push } from 'zeromq';

import { message } from './message.mjs';

/** What is told to nobody is not kept either; see ReliablePusher for what must arrive. */
export class Pusher {
  #socket;
  #turn = Promise.resolve();

  /**
   * @param {string} [address]
   * @param {{withinMs?: number, lingerMs?: number, keys?: Record<string, string> | null}} [options]
   *   - `withinMs`: how long one push may wait when 1,000 messages wait already
   *   - `lingerMs`: how long the process may wait at its end for what is left
   *   - `keys`: what `formlock keys add` has made, for an address that wants a key
   */
  constructor(address = 'tcp://127.0.0.1:5555', { withinMs = 200, lingerMs = 500, keys = null } = {}) {
    const options = { context: new Context({ blocky: true }), linger: lingerMs, sendTimeout: withinMs };
    if (keys !== null) {
      options.curveServerKey = keys.server_public_key;
      options.curvePublicKey = keys.public_key;
      options.curveSecretKey = keys.secret_key;
    }
    this.#socket = new Push(options);
    this.#socket.connect(address);
  }

  /** Resolves to whether it could be put into the queue; nobody knows whether it arrives. */
  push(update) {
    const done = this.#turn.then(async () => {
      try {
        await this.#socket.send(message(update).json);
        return true;
      } catch (error) {
        if (error.code !== 'EAGAIN') console.error(`formlock: not pushed: ${error.message}`);
        return false;
      }
    });
    this.#turn = done;
    return done;
  }

  /** What is left is sent in the background, for as long as `lingerMs`. */
  close() {
    this.#socket.close();
  }
}
