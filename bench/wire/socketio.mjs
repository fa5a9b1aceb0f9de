// Socket.IO's protocol 5 over Engine.IO 4 as raw frames: the same for the rival, without its client library.
import { Connection } from './connection.mjs';

// Engine.IO's first character (open, ping, pong, message), and after a message's, Socket.IO's (connect, event, answer, ...).
const OPEN = '0', PING = '2', PONG = '3', CONNECT = '40', EVENT = '42', ANSWER = '43';

export class SocketIo extends Connection {
  constructor(url, user) {
    super(url, user, []);
  }

  received(text) {
    if (text.startsWith(EVENT)) {
      const [, facts] = JSON.parse(text.slice(2));
      this.onEvent(facts);
    } else if (text.startsWith(ANSWER)) {
      const bracket = text.indexOf('[');
      const id = Number(text.slice(2, bracket));
      const [answer] = JSON.parse(text.slice(bracket));
      if (answer?.error) this.refused(id, answer.error);
      else this.answered(id, answer);
    } else if (text === PING) {
      this.socket.send(PONG);
    } else if (text.startsWith(CONNECT)) {
      this.joined();
    } else if (text.startsWith(OPEN)) {
      this.socket.send(CONNECT + JSON.stringify({ user: this.user, name: this.user }));
    } else {
      throw new Error(`a packet came that this client does not know: ${text}`);
    }
  }

  sendCall(id, name, facts) {
    this.socket.send(EVENT + id + JSON.stringify([name, facts]));
  }

  sendSubscribe(id, form) {
    this.sendCall(id, 'subscribe', { form });
  }
}
