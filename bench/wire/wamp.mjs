// WAMP 2 in JSON as raw frames: as much of the protocol as the load generator speaks, and no client library in between.
import { Connection } from './connection.mjs';

const HELLO = 1, WELCOME = 2, ABORT = 3, GOODBYE = 6, ERROR = 8, SUBSCRIBE = 32, SUBSCRIBED = 33, EVENT = 36, CALL = 48, RESULT = 50;

export class Wamp extends Connection {
  constructor(url, user) {
    super(url, user, ['wamp.2.json']);
    this.socket.on('open', () => this.#send([HELLO, 'formlock', {
      roles: { caller: {}, subscriber: {} },
      authmethods: ['anonymous'],
      authextra: { user, name: user },
    }]));
  }

  received(text) {
    const message = JSON.parse(text);
    switch (message[0]) {
      case RESULT: return this.answered(message[1], message[3][0]);
      case EVENT: return this.onEvent(message[5]);
      case ERROR: return this.refused(message[2], message[4]);
      case SUBSCRIBED: return this.answered(message[1]);
      case WELCOME: return this.joined();
      case ABORT:
      case GOODBYE: throw new Error(`the router ended a session: ${message[2]}`);
      default: throw new Error(`a message came that this client does not know: ${text}`);
    }
  }

  sendCall(id, name, facts) {
    this.#send([CALL, id, {}, `com.example.formlock.${name}`, [], facts]);
  }

  sendSubscribe(id, form) {
    this.#send([SUBSCRIBE, id, {}, form]);
  }

  #send(message) {
    this.socket.send(JSON.stringify(message));
  }
}
