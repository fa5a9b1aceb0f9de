// Does in Node what the suite says (suite.py): one JSON command a line, one answer a line. node driver.mjs EXAMPLES

import process from 'node:process';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const bring = (name) => import(pathToFileURL(`${process.argv[2]}/${name}.mjs`));
const { escape } = await bring('form-id');
const { message } = await bring('message');
const { Pusher } = await bring('pusher');
const { ReliablePusher } = await bring('reliable-pusher');
const { HttpPusher } = await bring('http-pusher');

let pusher = null;
const act = {
  open({ way, address, within_ms: withinMs, linger_ms: lingerMs, source, keys = null }) {
    if (way === 'best_effort') pusher = new Pusher(address, { withinMs, lingerMs, keys });
    else if (way === 'acknowledged') pusher = new ReliablePusher(address, { withinMs, source, keys });
    else pusher = new HttpPusher(keys.name, keys.http_secret, address, { withinMs, source });
    return true;
  },
  push: ({ update }) => pusher.push(update),
  push_all: ({ updates }) => pusher.pushAll(updates),
  together: ({ updates }) => Promise.all(updates.map((update) => pusher.push(update))),
  async until({ update }) {
    let tries = 1;
    while ((await pusher.push(update)).error !== undefined) tries++;
    return tries;
  },
  async flood({ update, most }) {
    let sent = 0;
    while (sent < most && (await pusher.push(update))) sent++;
    return sent;
  },
  encode: ({ raw }) => message(JSON.parse(raw)).json,
  escape: ({ raw }) => escape(raw),
  nan: () => pusher.push({ form: 'com.example.form.invoice.42', change_set: { a: [NaN, 1] } }),
};
for await (const line of createInterface({ input: process.stdin })) {
  const said = JSON.parse(line);
  const began = performance.now();
  let answer;
  try {
    answer = { answer: await act[said.do](said) };
  } catch (error) {
    answer = { raised: error.name };
  }
  console.log(JSON.stringify({ ...answer, ms: performance.now() - began }));
}
pusher?.close?.();
