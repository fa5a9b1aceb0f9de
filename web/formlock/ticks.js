// Ticks once a second, from a worker where that is possible (see formlock-ticker.js), else from the page's own timer.

const EVERY_MS = 1000;

/** Starts and stops with the page. */
export class Ticks {
  /** @type {Worker | null} */ #worker = null;
  /** @type {ReturnType<typeof setInterval> | null} */ #timer = null;

  /** @param {() => void} tick @param {(() => Worker) | null} [makeWorker] null: none */
  constructor(tick, makeWorker = defaultWorker) {
    this.tick = tick;
    this.makeWorker = makeWorker;
  }

  start() {
    if (this.#worker || this.#timer !== null) return;
    try {
      if (!this.makeWorker) throw new Error('no worker wanted');
      this.#worker = this.makeWorker();
      this.#worker.onmessage = () => this.tick();
      this.#worker.onerror = (event) => {
        event.preventDefault();
        this.stop();
        this.#plain();
      };
    } catch {
      this.#plain();
    }
  }

  stop() {
    this.#worker?.terminate();
    this.#worker = null;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  #plain() {
    this.#timer = setInterval(() => this.tick(), EVERY_MS);
  }
}

function defaultWorker() {
  return new Worker(new URL('./formlock-ticker.js', import.meta.url));
}
