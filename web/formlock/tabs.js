// The id of a tab is no other tab's: a duplicated tab inherits sessionStorage, and with it the id.
//
// A Web Lock on the id, held while the page lives, shows that before anything is asked of the service, which can't tell a copy from a
// reload. Without Web Locks (plain http) it shows when the copy is refused (lock.js).

/** A page that is being reloaded lets go of its id within milliseconds of its successor's asking; the original of a copy never does. */
const TAKEN_MS = 500;

export class TabLock {
  /** @type {(() => void) | null} */ #release = null;
  /** Counts the leavings: what is granted after one is let go of at once. */
  #left = 0;

  /** @param {LockManager | null} [locks] null: there are none */
  constructor(locks = globalThis.navigator?.locks ?? null) {
    this.locks = locks;
  }

  /** Gives the tab another id as long as its own is taken. @param {import('./tab.js').Tab} tab @returns {Promise<boolean>} whether it was a copy */
  async claim(tab) {
    for (let copied = false; ; copied = true) {
      if (await this.#hold(tab.id)) return copied;
      tab.renew();
    }
  }

  /** The page goes: others may have the id, and the back/forward cache takes no page that holds a lock. */
  release() {
    this.#left += 1;
    this.#release?.();
    this.#release = null;
  }

  /** @param {string} id @returns {Promise<boolean>} */
  #hold(id, left = this.#left) {
    const name = `formlock.tab.${id}`;
    return new Promise((resolve) => {
      const held = () => /** @type {Promise<void>} */ (new Promise((release) => {
        resolve(true);
        if (left === this.#left) this.#release = release;
        else release();
      }));
      this.locks?.request(name, { signal: AbortSignal.timeout(TAKEN_MS) }, held).catch(async (error) => {
        // Refused for another reason than time (a sandboxed frame): nobody can say. And a busy machine takes its time, too, with what
        // nobody has: 449 ms were seen.
        if (error.name !== 'TimeoutError') resolve(true);
        else resolve(!(await this.locks?.query())?.held?.some((lock) => lock.name === name) && this.#hold(id, left));
      });
    });
  }
}
