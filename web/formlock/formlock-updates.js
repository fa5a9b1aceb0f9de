// Updates in order, each once: what was missed is asked for, and what was cut for want of a right is fetched by who has it. Loaded with the first update.

/** @typedef {import('./lock.js').Update} Update */

export class Sequence {
  /** @type {Update[] | null} those that come while the missed ones are asked for */ #early = null;

  /** @param {import('./feed.js').Feed} feed */
  constructor(feed) {
    this.feed = feed;
  }

  /** @param {Update} update */
  heard(update) {
    const { feed } = this;
    const { epoch, seq, redacted } = update;
    if (epoch === undefined || seq === undefined) {
      feed.tell(update);
      return;
    }
    if (this.#early) {
      this.#early.push(update);
      return;
    }
    const first = update.first ?? seq; // several may have been folded into one
    const { last } = feed;
    if (last?.epoch === epoch && seq <= last.seq) return;
    const rights = feed.rights();
    const cut = redacted?.some((right) => !rights || rights.includes(right) || rights.includes('*'));
    if (last ? last.epoch !== epoch || first > last.seq + 1 || cut : cut) {
      feed.last ??= { epoch, seq: first - 1 };
      void this.catchUp(update);
      return;
    }
    feed.last = { epoch, seq };
    feed.tell(update);
  }

  /** Asks for what came after the last one that we know of; what comes meanwhile waits for its turn. @param {Update} [next] the one that showed the gap */
  async catchUp(next) {
    const { feed } = this;
    const since = feed.last;
    if (this.#early || !since) return;
    this.#early = next ? [next] : [];
    let lost = false;
    try {
      const { epoch, seq, complete, updates } = await feed.ask(since.seq);
      feed.last = { epoch, seq };
      if (epoch !== since.epoch || (!complete && seq > since.seq)) feed.tell({ form: updates[0]?.form ?? next?.form ?? '', epoch, seq, missed: true });
      else for (const update of updates) feed.tell(update);
    } catch (/** @type {any} */ error) {
      lost = error.code === 'closed' || error.code === 'timeout'; // then the next subscription asks, from the same number on
      const [first] = this.#early;
      if (!lost && first?.epoch !== undefined && first.seq !== undefined) {
        feed.last = { epoch: first.epoch, seq: first.seq }; // nobody can say: take what came
        feed.tell(first);
      }
    }
    const early = this.#early;
    this.#early = null;
    if (!lost) for (const update of early) this.heard(update);
  }
}
