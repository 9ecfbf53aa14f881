// What another threshold would do to the stored parts: it is tried here, before the line is changed.

import { CommandReplies } from "./command_replies.js";
import { make, makeSvg, renderEach, setAttribute, setHidden, setText } from "./elements.js";
import { number, percent, score } from "./formats.js";
import { ask, pictureAddress } from "./requests.js";
import { may } from "./session.js";
import { say } from "./texts.js";

const STEPS = 1000;
const BINS = 80;
const HIGH = 40; // height of a histogram, in its own units
const SHOWN = 6; // pictures of each kind of mistake
const ROWS = ["good", "defect", "unlabelled"];

export class ThresholdPanel {
  constructor(line) {
    this.line = line;
    this.parts = [];
    this.inForce = null;
    this.replies = new CommandReplies();
    this.station = make("select", { id: "threshold-station", change: () => this.load(this.station.value) });
    this.slider = make("input", { id: "threshold-slider", type: "range", min: 0, max: STEPS, step: 1, input: () => this.#judge() });
    this.value = make("output", { class: "share", for: "threshold-slider" });
    this.inForceText = make("span", { class: "soft" });
    this.results = Object.fromEntries(["false_rejects", "escapes", "rejected"].map((name) => [name, new Result(name)]));
    this.rows = Object.fromEntries(ROWS.map((name) => [name, new Histogram(name)]));
    this.set = make("button", { class: "primary large", click: () => this.#set(), text: say("threshold.set") });
    this.reset = make("button", { class: "large", click: () => this.#reset(), text: say("threshold.reset") });
    this.problem = make("p", { class: "problem", role: "alert" });
    this.mistakes = ["false_rejects", "escapes"].map((name) => new Mistakes(name));
    this.body = make(
      "div",
      { class: "threshold-body" },
      make("div", { class: "results" }, Object.values(this.results).map(({ element }) => element)),
      make("div", { class: "threshold-line" }, make("label", { for: "threshold-slider", text: say("threshold.label") }), this.value, this.inForceText, this.reset, this.set),
      this.replies.element,
      make("div", { class: "histograms" }, this.slider, Object.values(this.rows).map(({ element }) => element)),
      this.mistakes.map(({ element }) => element),
    );
    this.element = make(
      "section",
      { class: "panel threshold-panel", "aria-label": say("review.threshold") },
      make("div", { class: "filter" }, make("label", { for: "threshold-station", text: say("filter.station") }), this.station),
      make("p", { class: "soft", text: say("threshold.explanation") }),
      this.problem,
      this.body,
    );
  }

  // Reads the scores of a station; without one those of the first.
  async load(key) {
    const keys = [...this.line.stations.keys()].sort();
    this.key = key || keys[0];
    this.station.replaceChildren(...keys.map((value) => make("option", { value, text: value })));
    this.station.value = this.key;
    this.replies.key = this.key;
    setText(this.problem, "");
    setHidden(this.body, true);
    if (!this.key) return;
    try {
      const { threshold, parts } = await ask(`review/scores?${new URLSearchParams({ station: this.key })}`);
      this.#take(threshold, parts);
    } catch (error) {
      setText(this.problem, error.message);
    }
  }

  #take(threshold, parts) {
    if (!parts.length || threshold === null) {
      setText(this.problem, say("threshold.none"));
      return;
    }
    this.inForce = threshold;
    // A part that was not found is rejected whatever the threshold.
    this.parts = parts.map(([value, word, rejected, id]) => ({ value, word, always: rejected && value <= threshold, id }));
    this.most = Math.min(4 * threshold, Math.max(2 * threshold, ...this.parts.map(({ value }) => value)));
    setHidden(this.body, false);
    this.#reset();
  }

  setLabel(station, id, label) {
    if (station !== this.key) return;
    const part = this.parts.find((one) => one.id === id);
    if (part) part.word = label?.word ?? null;
    this.render();
  }

  render() {
    setHidden(this.set, !may("engineer"));
    if (!this.parts.length) return;
    for (const name of ROWS) this.rows[name].render(this.parts.filter((part) => rowOf(part) === name), this.most);
    this.#judge();
  }

  #reset() {
    this.slider.value = (STEPS * this.inForce) / this.most;
    this.moved = false;
    this.render();
  }

  get threshold() {
    return this.moved ? (this.most * this.slider.value) / STEPS : this.inForce;
  }

  // Judges all parts anew; this runs while the slider moves.
  #judge() {
    this.moved ||= Math.abs(this.slider.value - (STEPS * this.inForce) / this.most) > 0.5;
    const now = judge(this.parts, this.inForce);
    const then = judge(this.parts, this.threshold);
    setText(this.value, score(this.threshold));
    setText(this.inForceText, say("threshold.in_force", { threshold: score(this.inForce) }));
    setAttribute(this.slider, "aria-valuetext", `${score(this.threshold)}; ${this.results.false_rejects.say(then)}; ${this.results.escapes.say(then)}`);
    for (const result of Object.values(this.results)) result.render(then, now);
    for (const row of Object.values(this.rows)) row.mark(this.threshold / this.most, this.inForce / this.most);
    this.mistakes[0].render(this.key, then.falseRejects);
    this.mistakes[1].render(this.key, then.missed);
    this.set.disabled = this.reset.disabled = this.threshold === this.inForce;
  }

  async #set() {
    // The value that was shown, so that what is confirmed is what is set.
    const value = Number(this.threshold.toPrecision(4));
    if (await this.replies.confirm({ command: "threshold", value }, { value: score(value), before: score(this.inForce) })) this.load(this.key);
  }
}

function rowOf({ word }) {
  return word === "good" || word === "defect" ? word : "unlabelled";
}

// Returns the mistakes that a threshold would make on labelled parts, those nearest to it first, and how many it rejects.
function judge(parts, threshold) {
  const isRejected = ({ value, always }) => always || value > threshold;
  const near = (one, other) => Math.abs(one.value - threshold) - Math.abs(other.value - threshold);
  const good = parts.filter(({ word }) => word === "good");
  const defects = parts.filter(({ word }) => word === "defect");
  return {
    good: good.length,
    defects: defects.length,
    parts: parts.length,
    falseRejects: good.filter(isRejected).sort(near),
    missed: defects.filter((part) => !isRejected(part)).sort(near),
    rejected: parts.filter(isRejected).length,
  };
}

const COUNTS = {
  false_rejects: ({ falseRejects, good }) => [falseRejects.length, good],
  escapes: ({ missed, defects }) => [missed.length, defects],
  rejected: ({ rejected, parts }) => [rejected, parts],
};

// One number that changes with the threshold, and what it is now.
class Result {
  constructor(name) {
    this.name = name;
    this.count = make("span", { class: "share" });
    this.of = make("span", {});
    this.before = make("span", { class: "soft" });
    this.element = make("div", { class: "result", "data-result": name }, make("h2", { text: say(`threshold.${name}`) }), make("div", { class: "share-line" }, this.count, this.of), this.before);
  }

  say(judged) {
    const [count, of] = COUNTS[this.name](judged);
    return `${say(`threshold.${this.name}`)}: ${number(count)} / ${number(of)}`;
  }

  render(then, now) {
    const [count, of] = COUNTS[this.name](then);
    const [before] = COUNTS[this.name](now);
    setText(this.count, number(count));
    setText(this.of, say(`threshold.of_${this.name}`, { count: of }) + (of ? ` (${percent(count / of)})` : ""));
    setText(this.before, say("threshold.now", { count: before }));
    setAttribute(this.element, "data-change", count > before ? "more" : count < before ? "fewer" : "same");
  }
}

// How many parts with one word have which score.
class Histogram {
  constructor(name) {
    this.name = name;
    this.path = makeSvg("path", { class: `bars bars-${name}` });
    this.here = makeSvg("rect", { class: "here", y: 0, width: 0.6, height: HIGH });
    this.inForce = makeSvg("rect", { class: "in-force", y: 0, width: 0.4, height: HIGH });
    this.caption = make("span", { class: "histogram-name" });
    this.chart = makeSvg("svg", { viewBox: `0 0 ${BINS} ${HIGH}`, preserveAspectRatio: "none", role: "img" }, this.path, this.inForce, this.here);
    this.element = make("div", { class: "histogram" }, this.caption, this.chart);
  }

  render(parts, most) {
    const bins = new Array(BINS).fill(0);
    for (const { value } of parts) bins[Math.min(BINS - 1, Math.max(0, Math.floor((BINS * value) / most)))]++;
    const highest = Math.max(1, ...bins);
    const height = (count) => (count ? Math.max(2, (HIGH * count) / highest) : 0).toFixed(1);
    setAttribute(this.path, "d", bins.map((count, index) => (count ? `M${index} ${HIGH}v-${height(count)}h.85v${height(count)}z` : "")).join(""));
    const text = say(`threshold.row_${this.name}`, { count: parts.length });
    setText(this.caption, text);
    setAttribute(this.chart, "aria-label", text);
  }

  mark(here, inForce) {
    setAttribute(this.here, "x", BINS * here - 0.3);
    setAttribute(this.inForce, "x", BINS * inForce - 0.2);
  }
}

// Pictures of the parts on the wrong side of the threshold.
class Mistakes {
  constructor(name) {
    this.pictures = make("ul", { class: "mistakes" });
    this.element = make("div", {}, make("h2", { text: say(`threshold.${name}`) }), this.pictures);
  }

  // While the slider moves no pictures are loaded.
  render(station, parts) {
    clearTimeout(this.timer);
    setHidden(this.element, parts.length === 0);
    this.timer = setTimeout(() => renderEach(this.pictures, parts.slice(0, SHOWN), ({ id }) => id, (part) => makeMistake(station, part), () => {}), 250);
  }
}

function makeMistake(station, { id, value }) {
  return { element: make("li", {}, make("img", { src: pictureAddress(station, id, 160), alt: "", loading: "lazy" }), make("span", { text: score(value) })) };
}
