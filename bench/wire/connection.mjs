// What both dialects of the load generator share: one WebSocket, calls that wait for their answers, and failures that end the run.
import WebSocket from 'ws';

/** A call that was refused; in this benchmark none may be. */
export class Refused extends Error {}

export class Connection {
  /** Called with the facts of each event, and with whatever goes wrong. */
  onEvent = () => { throw new Error('an event came that nobody subscribed'); };
  onFailure = () => {};
  #waiting = new Map();
  #next = 1;
  #closing = false;

  /** @param {string} url @param {string} user @param {string[]} protocols */
  constructor(url, user, protocols) {
    this.user = user;
    this.opened = new Promise((resolve, reject) => {
      this.joined = resolve;
      this.#waiting.set('join', { reject });
    });
    // Neither server compresses: for small events deflate costs more than the bytes it saves.
    this.socket = new WebSocket(url, protocols, { perMessageDeflate: false });
    this.socket.on('message', (data) => {
      try {
        this.received(data.toString());
      } catch (error) {
        this.#fail(error);
      }
    });
    this.socket.on('error', (error) => this.#fail(error));
    this.socket.on('close', (code) => this.#closing || this.#fail(new Error(`the server closed a connection (${code})`)));
  }

  /** Calls a procedure: a promise of its answer. */
  call(name, facts) {
    return this.ask((id) => this.sendCall(id, name, facts));
  }

  /** Subscribes a form's events: a promise that is settled when the server has confirmed it. */
  subscribe(form) {
    return this.ask((id) => this.sendSubscribe(id, form));
  }

  close() {
    this.#closing = true;
    this.socket.close();
  }

  // -- for the dialects

  ask(send) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      send(id);
    });
  }

  answered(id, answer) {
    this.#settle(id).resolve(answer);
  }

  refused(id, why) {
    this.#settle(id).reject(new Refused(why));
  }

  #settle(id) {
    const waiting = this.#waiting.get(id);
    if (!waiting) throw new Error(`an answer came that nobody asked for (${id})`);
    this.#waiting.delete(id);
    return waiting;
  }

  #fail(error) {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    this.onFailure(error);
  }
}
