// The updates of one topic: where the bridge is with them. What keeps them in order is loaded with the first of them.
import { CallError } from './errors.js';

/** @typedef {import('./lock.js').Update} Update */
/** @typedef {{epoch: string, seq: number}} Mark the last update that we know of */
/** @typedef {{epoch: string, seq: number, complete: boolean, updates: Update[]}} Missed */

/** For a form, and for the bulk changes of a type. */
export class Feed {
  /** @type {Mark | null} */
  last = null;
  /** @type {Promise<import('./formlock-updates.js').Sequence | null> | null} */ #sequence = null;

  /**
   * @param {(since: number | null) => Promise<Missed>} ask what there is after that number; null: only where the bridge is
   * @param {(update: Update) => void} tell in order, each once
   * @param {() => string[] | null} rights of this user, for updates that were cut; null: not known
   */
  constructor(ask, tell, rights) {
    this.ask = ask;
    this.tell = tell;
    this.rights = rights;
  }

  /** After every subscription: the first one asks only where the bridge is, a later one what was missed meanwhile. */
  async joined() {
    if (this.last || this.#sequence) {
      (await this.#load())?.catchUp();
      return;
    }
    try {
      const { epoch, seq } = await this.ask(null);
      this.last ??= { epoch, seq };
    } catch {
      // nobody can say: what comes is taken as it comes
    }
  }

  /** @param {Update} update */
  async heard(update) {
    const sequence = await this.#load();
    if (sequence) sequence.heard(update);
    else this.tell({ form: update.form, missed: true }); // what it was can't be told in order: look again
  }

  #load() {
    this.#sequence ??= import('./formlock-updates.js').then(({ Sequence }) => new Sequence(this), (error) => {
      this.#sequence = null;
      console.error(new CallError('closed', `form-lock: a part could not be loaded: ${error}`));
      return null;
    });
    return this.#sequence;
  }
}
