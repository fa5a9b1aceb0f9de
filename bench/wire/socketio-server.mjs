// The rival: a form lock on Socket.IO, in memory, in one process; what a Node.js team would write first. WebSocket only, no compression.
// It prints {"port", "zmq"} when it listens, and ends when its standard input ends.
import { createServer } from 'node:http';
import process from 'node:process';

import { Server } from 'socket.io';
import { Pull } from 'zeromq';

import { FormLocks, Refused } from './form-locks.mjs';

const http = createServer();
const io = new Server(http, { transports: ['websocket'], perMessageDeflate: false, serveClient: false, maxHttpBufferSize: 65_536 });
const locks = new FormLocks((form, facts, except) => {
  const room = except === null ? io.to(form) : except.to(form);
  room.emit(facts.status, facts);
});

io.on('connection', (socket) => {
  const { user, name } = socket.handshake.auth;
  const who = { user, name };
  const answering = (work) => (facts, answer) => {
    try {
      answer(work(facts));
    } catch (error) {
      answer({ error: error instanceof Refused ? error.message : 'not_active' });
    }
  };
  socket.on('lock', answering((facts) => locks.lock(facts, socket, who)));
  socket.on('unlock', answering((facts) => locks.unlock(facts, who)));
  socket.on('renew', answering((facts) => locks.renew(facts, socket, who)));
  socket.on('subscribe', answering(({ form }) => {
    const facts = locks.snapshot(form);
    socket.join(form);
    socket.emit('subscribed', { ...facts, status: 'subscribed' });
    if (facts.holder !== null) socket.emit('locked', { ...facts, status: 'locked' });
    return { form };
  }));
  socket.on('disconnect', () => locks.sessionLost(socket));
});

/** The bridge: numbers each form's updates and tells them; it keeps none. */
async function republish(pull) {
  const numbers = new Map();
  for await (const [frame] of pull) {
    try {
      const update = JSON.parse(frame.toString());
      const { epoch } = locks.snapshot(update.form);
      const seq = (numbers.get(update.form) ?? 0) + 1;
      numbers.set(update.form, seq);
      io.to(update.form).emit('updated', { ...update, status: 'updated', epoch, seq, at: Date.now() });
    } catch (error) {
      console.error('rejected:', error.message);
    }
  }
}

const pull = new Pull({ receiveHighWaterMark: 1_000 });
await pull.bind('tcp://127.0.0.1:*');
republish(pull);
http.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${JSON.stringify({ port: http.address().port, zmq: pull.lastEndpoint })}\n`);
});
process.stdin.on('end', () => process.exit(0)).resume();
