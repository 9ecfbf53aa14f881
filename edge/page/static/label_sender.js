// Sends what people say about parts. A label is shown at once, sent in order, and kept until the server has stored it.

import { ask, Refused } from "./requests.js";
import { session } from "./session.js";

const PAUSE = 1500; // ms before a server that did not answer is tried again
const STORE = "labels";

export class LabelSender {
  // Listeners: `changed(station, id, label)`, and `failed(text)` when the server refused.
  constructor() {
    this.listeners = new Set();
    this.waiting = []; // {station, id, word, class, before} or {undo, done}; the first is on its way
    this.busy = false;
    this.delayed = false; // whether the server did not answer lately
  }

  get pending() {
    return this.waiting.length;
  }

  // Labels a part; `before` is shown again if the server refuses.
  add(content, before) {
    this.waiting.push({ ...content, before });
    this.#tell("changed", content.station, content.id, content.word && { word: content.word, class: content.class ?? null, by: session.user });
    this.#keep();
    this.#send();
  }

  // Takes back this person's last label; `done(station, id)` is called with its part.
  undo(done) {
    const last = this.waiting.at(-1);
    const sent = this.busy && this.waiting.length === 1;
    if (last && !last.undo && !sent) {
      this.waiting.pop();
      this.#tell("changed", last.station, last.id, last.before);
      done(last.station, last.id);
    } else this.waiting.push({ undo: true, done });
    this.#keep();
    this.#send();
  }

  // Goes on with what an earlier page of this person has left.
  resume() {
    if (!this.waiting.length) this.waiting = this.#left();
    this.#send();
  }

  #send() {
    if (this.busy || !this.waiting.length || !session.user) return;
    this.busy = true;
    this.#sendAll().finally(() => (this.busy = false));
  }

  async #sendAll() {
    while (this.waiting.length) {
      const [first] = this.waiting;
      try {
        await this.#sendOne(first);
      } catch (error) {
        if (error instanceof Refused && error.status === 401) return; // goes on after the login
        if (!(error instanceof Refused)) {
          this.delayed = true;
          await new Promise((done) => setTimeout(done, PAUSE));
          continue;
        }
        if (!first.undo) this.#tell("changed", first.station, first.id, first.before);
        this.#tell("failed", error.message);
      }
      this.waiting.shift();
      this.#keep();
    }
    this.delayed = false;
  }

  async #sendOne({ undo, done, before, ...content }) {
    if (!undo) {
      await ask("labels", content);
      return;
    }
    const { station, id, label } = await ask("labels/undo", {});
    this.#tell("changed", station, id, label);
    done?.(station, id);
  }

  #tell(name, ...values) {
    for (const listener of this.listeners) listener[name](...values);
  }

  // Labels outlive the page in this browser, for the same person only.
  #keep() {
    try {
      if (this.waiting.length) localStorage.setItem(STORE, JSON.stringify({ user: session.user, waiting: this.waiting }));
      else localStorage.removeItem(STORE);
    } catch {
      // the browser forbids storage; the warning before the page is closed remains
    }
  }

  #left() {
    try {
      const { user, waiting } = JSON.parse(localStorage.getItem(STORE) ?? "{}");
      return user === session.user && Array.isArray(waiting) ? waiting : [];
    } catch {
      return [];
    }
  }
}
