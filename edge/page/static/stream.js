// The stream of events from the server. It connects again by itself, and notices when it is silent.

const SILENT = 8_000; // ms without an event after which the server is asked
const PATIENCE = 5_000; // ms
const LONGEST_WAIT = 5_000; // ms between two attempts

export class Stream {
  // `on` has a function for each event: snapshot, change, label, teaching; and `lost`, `found`.
  constructor(on) {
    this.on = on;
    this.source = null;
    this.lostAt = null; // performance.now() at which the connection broke
    this.attempts = 0;
    this.timer = 0;
    // A browser has few connections to one server: a page that nobody sees gives its own back.
    document.addEventListener("visibilitychange", () => this.started && (document.hidden ? this.#close() : this.#open()));
    setInterval(() => this.#probe(), SILENT / 4);
  }

  start() {
    this.started = true;
    if (!this.source) this.#open();
  }

  stop() {
    this.started = false;
    this.lostAt = null;
    this.#close();
  }

  #open() {
    this.#close();
    this.heardAt = performance.now();
    this.source = new EventSource("api/events");
    for (const name of ["snapshot", "change", "label", "teaching"]) {
      this.source.addEventListener(name, (event) => {
        this.#heard();
        this.on[name](JSON.parse(event.data));
      });
    }
    this.source.addEventListener("open", () => this.#heard());
    this.source.addEventListener("error", () => this.#lose());
  }

  #close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  #heard() {
    this.heardAt = performance.now();
    this.attempts = 0;
    if (this.lostAt === null) return;
    this.lostAt = null;
    this.on.found();
  }

  // The browser's own reconnection gives up after an answer such as 502, so this one does not rely on it.
  #lose() {
    this.#close();
    if (this.lostAt === null) this.lostAt = performance.now();
    this.on.lost();
    const wait = Math.min(500 * 2 ** this.attempts++, LONGEST_WAIT);
    this.timer = setTimeout(() => this.#open(), wait * (0.5 + Math.random() / 2));
  }

  // A quiet line sends nothing, and neither does a server whose network is gone: asking tells them apart.
  async #probe() {
    if (!this.source || performance.now() - this.heardAt < SILENT) return;
    this.heardAt = performance.now();
    const asked = this.source;
    try {
      await fetch("api/session", { signal: AbortSignal.timeout(PATIENCE) });
    } catch {
      if (this.source === asked) this.#lose();
    }
  }
}
