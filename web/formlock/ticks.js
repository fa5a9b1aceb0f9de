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
      this.#worker = this.makeWorker?.() ?? null;
      if (!this.#worker) return this.#plain();
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
  const url = new URL('./formlock-ticker.js', import.meta.url);
  if (url.origin === location.origin) return new Worker(url);
  // The application's page and the node are two origins. A worker must be of the page's own, but may load the other's script.
  const script = new Blob([`importScripts(${JSON.stringify(url.href)})`], { type: 'text/javascript' });
  return new Worker(URL.createObjectURL(script));
}
