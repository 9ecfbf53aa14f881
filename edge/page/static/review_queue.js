// The parts that a person goes through: a list from the server, a place in it, and the labels as they are said.

import { ask } from "./requests.js";

const PAGE = 60; // parts that are read at once
const AHEAD = 12; // parts before the end at which more are read

export class ReviewQueue {
  constructor(changed) {
    this.changed = changed;
    this.filter = {};
    this.#empty();
  }

  #empty() {
    this.parts = [];
    this.at = 0;
    this.more = false;
    this.counts = null;
    this.like = null; // the part whose similar ones are shown
    this.pending = 0; // parts that are not compared with it yet
    this.problem = "";
  }

  get part() {
    return this.parts[this.at];
  }

  // Reads the list anew, with another filter where one is given.
  async load(filter = this.filter) {
    this.filter = filter;
    this.#empty();
    this.loading = true;
    await this.#read();
  }

  // Looks for parts that came after the list was read, and keeps the place in it.
  async loadMore() {
    await this.#read(null, true);
  }

  // Shows the parts that are most like the present one, or searches on where the server has not compared all yet.
  async loadSimilar() {
    const part = this.like ?? this.part;
    if (!part || this.loading) return;
    const chosen = this.part.id;
    const query = new URLSearchParams({ station: part.station, id: part.id });
    this.loading = true;
    this.changed();
    await this.#try(async () => {
      const { parts, pending = 0 } = await ask(`review/similar?${query}`);
      Object.assign(this, { parts: [part, ...parts.filter(({ id }) => id !== part.id)], at: 0, more: false, like: part, pending });
      this.at = Math.max(0, this.parts.findIndex(({ id }) => id === chosen));
    });
  }

  async #read(after = null, quietly = false) {
    const reading = (this.reading = {});
    const query = new URLSearchParams({ ...this.filter, limit: PAGE, ...(after ? { after } : {}) });
    await this.#try(async () => {
      const { parts, more, counts } = await ask(`review?${query}`);
      if (this.reading !== reading) return; // another filter was chosen meanwhile
      const known = new Set(this.parts.map(({ id }) => id));
      this.parts.push(...parts.filter(({ id }) => !known.has(id)));
      Object.assign(this, { more, counts });
      if (quietly && this.part?.label) this.#skipLabelled();
    });
  }

  async #try(act) {
    this.problem = "";
    try {
      await act();
    } catch (error) {
      this.problem = error.message;
    }
    this.loading = false;
    this.changed();
  }

  goTo(at) {
    this.at = Math.min(Math.max(at, 0), Math.max(this.parts.length - 1, 0));
    if (this.more && !this.loading && this.at > this.parts.length - AHEAD) {
      this.loading = true;
      this.#read(this.parts.at(-1).id);
    }
    this.changed();
  }

  goToPart(id) {
    const at = this.parts.findIndex((part) => part.id === id);
    if (at >= 0) this.goTo(at);
  }

  // The next part without a label: first those after this one, then those before.
  goToUnlabelled() {
    const { length } = this.parts;
    for (let step = 1; step < length; step++) {
      const at = (this.at + step) % length;
      if (!this.parts[at].label) return this.goTo(at);
    }
    this.goTo(this.at);
  }

  #skipLabelled() {
    const at = this.parts.findIndex((part) => !part.label);
    if (at >= 0) this.at = at;
  }

  get finished() {
    return !this.loading && !this.more && this.parts.every((part) => part.label);
  }

  // The next parts to look at, to be loaded before they are asked for.
  upcoming(count) {
    return this.parts.slice(this.at + 1).filter((part) => !part.label).slice(0, count);
  }

  setLabel(station, id, label) {
    const part = this.parts.find((one) => one.id === id && one.station === station);
    if (!part) return;
    const count = (word, by) => this.counts && (this.counts[word ?? "unlabelled"] = Math.max(0, (this.counts[word ?? "unlabelled"] ?? 0) + by));
    if (part.label?.word !== label?.word) {
      count(part.label?.word, -1);
      count(label?.word, 1);
    }
    part.label = label;
    this.changed();
  }
}
