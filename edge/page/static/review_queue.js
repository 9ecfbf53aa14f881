// The parts that a person goes through: a list from the server, a place in it, and the labels as they are said.

import { ask } from "./requests.js";

const PAGE = 60; // parts that are read at once
const MOST = 600; // parts that are kept
const AROUND = 24; // parts before and behind the present one that are in sight
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
    this.last = null; // the last part of the newest page
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
    await this.#read();
  }

  // Puts parts that came after the list was read before it, and keeps the place in it.
  async loadNew() {
    if (this.loading || this.like) return;
    const { finished } = this;
    await this.#ask("review", { ...this.filter, limit: PAGE }, ({ parts, counts }) => {
      const fresh = this.#unknown(parts);
      if (this.parts.length) this.at += fresh.length;
      this.parts.unshift(...fresh);
      this.counts = counts;
      if (finished) this.at = Math.max(0, this.parts.findIndex((part) => !part.label));
      this.#forgetOldest();
    });
  }

  // Shows the parts that are most like the present one, or searches on where the server has not compared all yet.
  async loadSimilar() {
    const part = this.like ?? this.part;
    if (!part) return;
    this.loading = true;
    this.changed();
    await this.#ask("review/similar", { station: part.station, id: part.id }, ({ parts, pending = 0 }) => {
      const chosen = this.like ? this.part?.id : part.id;
      this.parts = [part, ...parts.filter(({ id }) => id !== part.id)];
      Object.assign(this, { more: false, like: part, pending });
      this.at = Math.max(0, this.parts.findIndex(({ id }) => id === chosen));
    });
  }

  // Reads the next page of the list.
  async #read() {
    this.loading = true;
    const place = this.last ? { after: this.last } : {};
    await this.#ask("review", { ...this.filter, limit: PAGE, ...place }, ({ parts, more, counts }) => {
      this.parts.push(...this.#unknown(parts));
      Object.assign(this, { more, counts, last: parts.at(-1)?.id ?? this.last });
    });
  }

  // Takes the answer to a question, unless another one was asked meanwhile.
  async #ask(path, query, take) {
    const asked = (this.asked = {});
    let answer = null;
    let problem = "";
    try {
      answer = await ask(`${path}?${new URLSearchParams(query)}`);
    } catch (error) {
      problem = error.message;
    }
    if (this.asked !== asked) return;
    this.problem = problem;
    this.loading = false;
    if (answer) take(answer);
    this.changed();
  }

  #unknown(parts) {
    const known = new Set(this.parts.map(({ id }) => id));
    return parts.filter(({ id }) => !known.has(id));
  }

  // A page that is open for days does not keep all parts; those at the end are read again when they are asked for.
  #forgetOldest() {
    if (this.parts.length <= MOST || this.at > MOST - PAGE) return;
    this.parts.length = MOST;
    Object.assign(this, { more: true, last: this.parts.at(-1).id });
  }

  goTo(at) {
    this.at = Math.min(Math.max(at, 0), Math.max(this.parts.length - 1, 0));
    if (this.more && !this.loading && this.at > this.parts.length - AHEAD) this.#read();
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

  get finished() {
    return !this.loading && !this.more && this.parts.every((part) => part.label);
  }

  // The parts around the present one.
  get window() {
    return this.parts.slice(Math.max(0, this.at - AROUND), this.at + AROUND);
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
