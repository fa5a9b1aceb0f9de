// The strip under the two frames: what happens to the invoices, newest first. It is a third one who only looks, by the headless client.
import { FormLockClient } from '/formlock/formlock.js';
import { FormLockList } from '/formlock/formlock-list.js';

/** @typedef {import('../formlock/lock.js').Update & {actor?: {name?: string}, reported?: string}} Update */

const KEPT = 50;
/** What a backend calls it, and what people do. @type {Record<string, string>} */
const DONE = { inserted: 'made', updated: 'saved', deleted: 'deleted' };

const strip = /** @type {HTMLOListElement} */ (document.getElementById('events'));
const url = new URL('/ws', location.href);
url.protocol = url.protocol.replace(/^http/, 'ws');
const client = new FormLockClient({ url: url.href, identity: () => ({ user: 'demo', name: 'The demo page' }) });
const list = new FormLockList(client, 'invoice');
/** Who was editing which form when we last heard of it. @type {Map<string, {user: string, name: string}>} */
const holders = new Map();

list.addEventListener('change', (event) => {
  const { form, snapshot } = /** @type {CustomEvent<{form: string, snapshot: import('../formlock/lease.js').Snapshot}>} */ (event).detail;
  const before = holders.get(form);
  const { holder } = snapshot;
  if (before?.user === holder?.user) return;
  if (holder) {
    holders.set(form, holder);
    tell(`${holder.name} is editing ${titleOf(form)}`);
  } else if (before) {
    holders.delete(form);
    tell(`${before.name} has ended editing ${titleOf(form)}`);
  }
});
list.addEventListener('updated', (event) => {
  const { form, actor, reported = 'updated', change_set: changeSet } = /** @type {CustomEvent<Update>} */ (event).detail;
  const what = reported === 'updated' ? changes(changeSet) : '';
  tell(`${actor?.name ?? 'Somebody'} ${DONE[reported] ?? reported} ${titleOf(form)}${what}`);
});
for (const frame of /** @type {NodeListOf<HTMLIFrameElement>} */ (document.querySelectorAll('iframe'))) {
  fit(frame); // it may have been loaded before this script
  frame.addEventListener('load', () => fit(frame));
}
addEventListener('pagehide', () => client.leave());
addEventListener('pageshow', ({ persisted }) => persisted && client.comeBack());
client.start();

/** A frame is as tall as the tallest form that it has shown: with its buttons, and nothing below it moves when it grows less. @param {HTMLIFrameElement} frame */
function fit(frame) {
  const body = frame.contentDocument?.querySelector('form.card')?.ownerDocument.body;
  if (!body) return; // a list scrolls in it
  const grow = () => {
    const tall = Math.ceil(body.getBoundingClientRect().height) + frame.offsetHeight - frame.clientHeight;
    if (tall > frame.offsetHeight) frame.style.blockSize = `${tall}px`;
  };
  new ResizeObserver(grow).observe(body);
}

/** @param {string} text texts of others too: written as text, never as mark-up */
function tell(text) {
  const time = document.createElement('time');
  time.textContent = new Date().toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
  const words = document.createElement('span');
  words.textContent = text;
  const line = document.createElement('li');
  line.append(time, words);
  strip.querySelector('.none')?.remove();
  strip.prepend(line);
  while (strip.children.length > KEPT) strip.lastElementChild?.remove();
}

/** @param {string} form its topic @returns {string} */
function titleOf(form) {
  return `Invoice ${form.split('.').at(-1)}`;
}

/** @param {Record<string, [unknown, unknown]> | undefined} changeSet @returns {string} */
function changes(changeSet) {
  const facts = Object.entries(changeSet ?? {}).map(([field, [old, fresh]]) => `${labelOf(field)} ${plain(old)} → ${plain(fresh)}`);
  return facts.length ? `: ${facts.join(', ')}` : '';
}

/** @param {string} field @returns {string} */
function labelOf(field) {
  return field === 'due' ? 'Due date' : field.charAt(0).toUpperCase() + field.slice(1);
}

/** @param {unknown} value @returns {string} */
function plain(value) {
  const text = value === null || value === '' ? '(empty)' : String(value);
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}
