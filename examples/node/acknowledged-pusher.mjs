// What every acknowledged way has in common: names, order, trying again, and one time-out for all. See reliable- and http-pusher.

import { Buffer } from 'node:buffer';
import { setTimeout as pause } from 'node:timers/promises';

import { message } from './message.mjs';

// Twice as long each time: a bridge that is slow need not be asked the more.
const FIRST_TRY_MS = 250;
const PAUSE_MS = 50;
// The bridge's queue for one connection.
const MAX_AT_ONCE = 200;
// The bridge's limit. Of more than a MiB ZeroMQ would end the connection, and nobody would say why.
const MAX_BYTES = 65_536;

/**
 * An answer is what the bridge has said: `{id, form, seq, epoch}` (and `duplicate: true`) when the update is kept, or
 * `{id, error, message, retry}` when it is refused. Without an answer in time the error is `no_answer`: the update may be kept or not, and
 * can be sent again with the same id. Nothing is thrown: the save that is told of is done.
 */
export class AcknowledgedPusher {
  #withinMs;
  #source;
  #turn = Promise.resolve();

  /**
   * @param {number} withinMs of one push, or of one `pushAll` however much it has, with all that is tried again
   * @param {string} source
   */
  constructor(withinMs, source) {
    this.#withinMs = withinMs;
    this.#source = source;
  }

  /** Keys of docs/how-to/push-from-php.md; resolves to the answer. */
  async push(update) {
    return (await this.pushAll([update]))[0];
  }

  /** Many at once; those of one form arrive in their order. Resolves to an answer for each, in the same order. */
  pushAll(updates) {
    const until = performance.now() + this.#withinMs;
    // One call after the other, so that they arrive in their order; each has its time from the moment it is made.
    const done = this.#turn.then(() => this.#pushAll(updates, until));
    this.#turn = done.catch(() => {});
    return done;
  }

  /**
   * Send these, and wait no longer for their answers.
   *
   * @param {Map<number, {id: string, form: string, json: string}>} messages
   * @param {number} withinMs
   * @returns {Promise<Map<number, object>>} the answers there were, by the messages' own keys
   */
  exchange(messages, withinMs) {
    return Promise.reject(new Error(`${this.constructor.name} has no way for ${messages.size} messages within ${withinMs} ms`));
  }

  async #pushAll(updates, until) {
    const answers = [];
    const waiting = new Map();
    updates.forEach((update, n) => {
      try {
        const one = message(update, this.#source);
        if (Buffer.byteLength(one.json) > MAX_BYTES) {
          answers[n] = refusal(one.id, 'too_large', `A message has at most ${MAX_BYTES} bytes.`, false);
        } else {
          answers[n] = refusal(one.id, 'no_answer', `There was no answer within ${this.#withinMs} ms.`, true);
          waiting.set(n, one);
        }
      } catch (error) {
        answers[n] = refusal(null, 'not_json', error.message, false);
      }
    });
    let tryMs = FIRST_TRY_MS;
    let atOnce = MAX_AT_ONCE;
    let left;
    while (waiting.size && (left = until - performance.now()) >= 1) {
      const round = firstOfEachForm(waiting, atOnce);
      for (const [n, answer] of await this.exchange(round, Math.floor(Math.min(left, tryMs)))) {
        answers[n] = answer;
        if (!answer.retry) waiting.delete(n);
      }
      if ([...round.keys()].some((n) => waiting.has(n))) {
        // One by one from here: an answer without a name can only be about the one message there is.
        atOnce = 1;
        tryMs *= 2;
        await pause(Math.max(0, Math.min(PAUSE_MS, until - performance.now())));
      }
    }
    return answers;
  }
}

/** What the bridge has said; null for what is no answer of it: a proxy's page, say. */
export function answerOf(text) {
  try {
    const answer = JSON.parse(text);
    return answer && (answer.seq !== undefined || answer.error !== undefined) ? answer : null;
  } catch {
    return null;
  }
}

function refusal(id, error, text, retry) {
  return { id, error, message: text, retry };
}

/** A form's second update leaves when its first has been answered: sent again, it would come after it. */
function firstOfEachForm(waiting, most) {
  const found = new Map();
  const forms = new Set();
  const ids = new Set();
  for (const [n, one] of waiting) {
    const first = !forms.has(one.form);
    forms.add(one.form);
    // Answers are told apart by their ids.
    if (first && !ids.has(one.id)) {
      ids.add(one.id);
      found.set(n, one);
      if (found.size === most) break;
    }
  }
  return found;
}
