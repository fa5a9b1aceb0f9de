// The load generator: one process that drives every server with the same work and equally cheap code (raw frames, no client library).
// A line of JSON on standard input is a command, a line on standard output its answer or `{"error"}`; it ends when its input ends.
//
//   {"do": "open", "crew", "dialect": "wamp" | "socketio", "url", "form", "callers", "subscribers"}   connects
//   {"do": "pairs", "crew", "count", "together"}   lock and unlock as fast as it goes      -> {operations, seconds}
//   {"do": "events", "crew", "count"}              lock and unlock, told to subscribers    -> {operations, seconds, last_ms}
//   {"do": "updates", "crew", "count"}             waits for what the bridge is pushed     -> {operations, seconds}
//   {"do": "close", "crew"}
import process from 'node:process';
import { createInterface } from 'node:readline';

import { Crew } from './crew.mjs';
import { SocketIo } from './socketio.mjs';
import { Wamp } from './wamp.mjs';

const DIALECTS = { wamp: Wamp, socketio: SocketIo };

const crews = new Map();

const commands = {
  async open(_crew, { crew: name, dialect, url, form, callers, subscribers }) {
    const crew = new Crew(form);
    crews.set(name, crew);
    await Promise.race([crew.open(DIALECTS[dialect], url, { callers, subscribers }), crew.broken]);
    return {};
  },
  pairs: (crew, { count, together }) => Promise.race([crew.pairs(count, together), crew.broken]),
  events: (crew, { count }) => Promise.race([crew.events(count), crew.broken]),
  updates: (crew, { count }) => Promise.race([crew.updates(count), crew.broken]),
  close(crew, { crew: name }) {
    crew.close();
    crews.delete(name);
    return {};
  },
};

const input = createInterface({ input: process.stdin });
// Whatever is still under way: nobody waits for it any more.
input.on('close', () => process.exit(0));
for await (const line of input) {
  const command = JSON.parse(line);
  let answer;
  try {
    answer = await commands[command.do](crews.get(command.crew), command);
  } catch (error) {
    answer = { error: error.message };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
