// The strip under the two frames: what happens to Invoice 42, newest first. It is a third one who only looks, by the headless client.
import { FormLockClient } from '/formlock/formlock.js';

const FORM = 'com.example.form.invoice.42';
const KEPT = 50;

const list = /** @type {HTMLOListElement} */ (document.getElementById('events'));
const url = new URL('/ws', location.href);
url.protocol = url.protocol.replace(/^http/, 'ws');
const client = new FormLockClient({ url: url.href, identity: () => ({ user: 'demo', name: 'The demo page' }) });
const lock = client.form(FORM);

/** @type {{user: string, name: string} | null | undefined} who was editing when we last looked; undefined: not known yet */
let holder;

lock.addEventListener('change', () => {
  const { snapshot } = lock.state;
  if (!snapshot) return;
  const before = holder;
  holder = snapshot.holder;
  if (before?.user === holder?.user) return;
  if (holder) tell(`${holder.name} is editing Invoice 42`);
  else if (before) tell(`${before.name} has ended editing Invoice 42`);
});
lock.addEventListener('updated', (event) => {
  const update = /** @type {CustomEvent<import('../formlock/lock.js').Update & {actor?: {name?: string}, reported?: string}>} */ (event).detail;
  const name = update.actor?.name;
  tell(`${update.reported === 'deleted' ? 'deleted' : 'saved'}${name ? ` by ${name}` : ''}${changes(update.change_set)}`);
});
addEventListener('pagehide', () => client.leave());
addEventListener('pageshow', ({ persisted }) => persisted && client.comeBack());
client.start();

/** @param {string} text texts of others too: written as text, never as mark-up */
function tell(text) {
  const time = document.createElement('time');
  time.textContent = new Date().toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
  const words = document.createElement('span');
  words.textContent = text.charAt(0).toUpperCase() + text.slice(1);
  const line = document.createElement('li');
  line.append(time, words);
  list.querySelector('.none')?.remove();
  list.prepend(line);
  while (list.children.length > KEPT) list.lastElementChild?.remove();
}

/** @param {Record<string, [unknown, unknown]> | undefined} changeSet @returns {string} */
function changes(changeSet) {
  const facts = Object.entries(changeSet ?? {}).map(([field, [old, fresh]]) => `${label(field)} ${value(old)} → ${value(fresh)}`);
  return facts.length ? `: ${facts.join(', ')}` : '';
}

/** @param {string} field @returns {string} */
function label(field) {
  return { due: 'Due date' }[field] ?? field.charAt(0).toUpperCase() + field.slice(1);
}

/** @param {unknown} given @returns {string} */
function value(given) {
  const text = given === null || given === '' ? '(empty)' : String(given);
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}
