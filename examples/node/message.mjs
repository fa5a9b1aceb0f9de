// One update as the bridge takes it: JSON of version 1, with a name by which it counts once however often it is sent.

import { randomUUID } from 'node:crypto';

/**
 * What JSON can't say is an error here, where JSON.stringify would say null or nothing.
 *
 * @param {object} update keys of docs/how-to/push-from-php.md; what has no id gets one
 * @param {string} [source]
 * @returns {{id: string, form: string, json: string}}
 * @throws {TypeError}
 */
export function message(update, source = '') {
  const said = { ...update, v: 1 };
  if (said.id === undefined || said.id === null || said.id === '') said.id = randomUUID();
  if (!said.source && source) said.source = source;
  const json = JSON.stringify(said, (name, value) => {
    if (typeof value === 'number' && !Number.isFinite(value)) throw new TypeError(`${name} is no number that JSON can say`);
    return value;
  });
  return { id: String(said.id), form: String(said.form ?? said.channel ?? ''), json };
}
