// The review: a person looks at parts one after another and says what they are.

import { Badge } from "./badge.js";
import { ClassNames, pickClass } from "./class_picker.js";
import { partName, verdictOf } from "./condition.js";
import { make, renderEach, setAttribute, setHidden, setText } from "./elements.js";
import { number, score, time } from "./formats.js";
import { icon } from "./icons.js";
import { load, PartPicture } from "./part_picture.js";
import { PartStrip } from "./part_strip.js";
import { mapAddress, pictureAddress } from "./requests.js";
import { ReviewFilter } from "./review_filter.js";
import { ReviewQueue } from "./review_queue.js";
import { ScoreBar } from "./score_chart.js";
import { may } from "./session.js";
import { say, sayWord } from "./texts.js";
import { ThresholdPanel } from "./threshold_panel.js";

const AHEAD = 2; // parts whose pictures are loaded before they are asked for
const AGAIN = 5000; // ms after which the queue looks for new parts

export class ReviewView {
  constructor(line, labels, station) {
    Object.assign(this, { line, labels, title: say("menu.review") });
    this.classes = new ClassNames();
    this.queue = new ReviewQueue(() => this.render());
    this.filter = new ReviewFilter(station || null, (query) => this.#read(query));
    this.picture = new PartPicture();
    this.picture.pause = 0; // a person sets the pace here
    this.strip = new PartStrip(say("review.queue"), (part) => this.queue.goToPart(part.id));
    this.threshold = new ThresholdPanel(line);
    this.#build();
    this.listener = { changed: (...label) => this.setLabel(...label), failed: (text) => this.#show(text) };
    labels.listeners.add(this.listener);
    this.classes.load().then(() => this.render());
    this.#read(this.filter.query);
    this.timer = setInterval(() => this.#readAgain(), AGAIN);
  }

  #build() {
    this.verdict = new Badge("huge");
    this.label = new Badge("medium");
    this.facts = make("p", { class: "soft" });
    this.bar = new ScoreBar();
    this.problem = make("p", { class: "problem", role: "alert" });
    this.note = make("p", { class: "note", role: "status" });
    this.counts = make("p", { class: "counts" });
    this.recent = make("ol", { class: "recent", "aria-label": say("class.recent") });
    const word = (name, key) => make("button", { class: `word word-${name}`, click: () => this.#say(name), "aria-keyshortcuts": key }, icon(WORD_ICONS[name]), make("span", { text: say(`label.${name}`) }), make("kbd", { text: key }));
    this.words = [word("good", "G"), word("defect", "D"), word("unsure", "U")];
    this.undo = make("button", { click: () => this.#undo(), "aria-keyshortcuts": "Z" }, icon("undo"), make("span", { text: say("review.undo") }), make("kbd", { text: "Z" }));
    this.similar = make("button", { click: () => this.#toggleSimilar(), "aria-keyshortcuts": "S" });
    this.previous = make("button", { click: () => this.queue.goTo(this.queue.at - 1), "aria-label": say("review.previous") }, icon("previous"));
    this.next = make("button", { click: () => this.queue.goTo(this.queue.at + 1), "aria-label": say("review.next") }, icon("next"));
    this.position = make("span", { class: "soft" });
    this.picture.tools.append(make("div", { class: "stepper" }, this.previous, this.position, this.next));
    const labelling = make("div", { class: "labelling" }, this.words, this.recent, this.undo);
    this.readOnly = make("p", { class: "soft", text: say("review.read_only") });
    this.labelling = labelling;
    this.parts = make(
      "div",
      { class: "review" },
      make("section", { class: "panel review-picture", "aria-label": say("review.part") }, this.picture.element, this.strip.element, this.note),
      make("section", { class: "panel review-side", "aria-label": say("review.verdict") }, this.verdict.element, this.bar.element, this.facts, this.label.element, this.problem, labelling, this.readOnly, this.similar, this.#buildKeys()),
    );
    this.tabs = ["parts", "threshold"].map((name) => make("button", { click: () => this.#open(name), text: say(`review.${name}`) }));
    const head = make("div", { class: "review-head" }, make("h1", { class: "unseen", text: this.title }), make("div", { class: "group", role: "group", "aria-label": say("review.tabs") }, this.tabs), this.counts);
    this.element = make("div", { class: "view" }, head, this.filter.element, this.parts, this.threshold.element);
    this.#open("parts");
  }

  #buildKeys() {
    const rows = say("review.keys").split("\n").map((row) => row.split(": "));
    return make("details", { class: "keys" }, make("summary", { text: say("review.keyboard") }), make("dl", {}, rows.flatMap(([keys, what]) => [make("dt", {}, keys.split(" ").map((key) => make("kbd", { text: key }))), make("dd", { text: what })])));
  }

  render() {
    this.filter.render([...this.line.stations.keys()].sort(), this.classes.known);
    if (this.tab === "threshold") this.threshold.render();
    const { queue } = this;
    const { part, counts } = queue;
    setText(this.counts, counts ? countsText(counts) : "");
    setHidden(this.problem, !queue.problem && !this.problem.textContent);
    if (queue.problem) setText(this.problem, queue.problem);
    setText(this.note, this.#note());
    this.strip.render(queue.window, part?.id, ({ station }) => station);
    if (this.scrolled !== part?.id) this.strip.scrollTo((this.scrolled = part?.id));
    this.#renderPart(part);
    this.#renderRecent();
  }

  #note() {
    const { queue } = this;
    if (queue.like) return say(queue.pending ? "review.similar_pending" : "review.similar_note", { part: partName(queue.like), count: queue.pending });
    if (queue.loading) return say("loading");
    if (queue.finished && !queue.problem) return say(queue.parts.length ? "review.finished" : "review.empty");
    return "";
  }

  #renderPart(part) {
    for (const { element } of [this.verdict, this.bar, this.label]) setHidden(element, !part);
    for (const button of [...this.words, this.similar]) button.disabled = !part;
    setHidden(this.labelling, !may("operator"));
    setHidden(this.readOnly, may("operator"));
    setText(this.similar, this.queue.like ? say("review.back") : say("review.similar"));
    setText(this.position, this.queue.parts.length ? `${number(this.queue.at + 1)} / ${number(this.queue.parts.length)}${this.queue.more ? "+" : ""}` : "");
    this.picture.show(part?.station, part);
    setText(this.facts, part ? this.#factsOf(part) : "");
    if (!part) return;
    this.verdict.render(verdictOf(part));
    setHidden(this.bar.element, Boolean(part.not_found));
    this.bar.render(part);
    this.label.render(labelBadge(part.label));
    for (const button of this.words) setAttribute(button, "aria-pressed", String(button.classList.contains(`word-${part.label?.word}`)));
    this.#preload();
  }

  #factsOf(part) {
    const { why } = verdictOf(part);
    const distance = part.distance === undefined ? "" : say("review.distance", { distance: number(part.distance, 3) });
    return [partName(part), part.station, time(part.decided_at, this.line.now), why, part.bundle?.name, distance].filter(Boolean).join(" · ");
  }

  #renderRecent() {
    renderEach(
      this.recent,
      this.classes.recent.map((name, index) => ({ name, key: String(index + 1) })),
      ({ name }) => name,
      ({ name }) => {
        const key = make("kbd");
        return { key, element: make("li", {}, make("button", { click: () => this.#sayDefect(name) }, key, make("span", { text: name }))) };
      },
      (child, { key }) => setText(child.key, key),
    );
  }

  #preload() {
    for (const part of this.queue.upcoming(AHEAD)) {
      if (part.preloaded || !part.picture) continue;
      part.preloaded = true;
      load(pictureAddress(part.station, part.id, this.picture.width));
      if (part.map && this.picture.withMap) load(mapAddress(part.station, part.id));
    }
  }

  press(event) {
    const key = event.key.toLowerCase();
    if (this.tab !== "parts") return false;
    if (this.picture.press(key)) return true;
    if (key === "arrowright" || key === "arrowdown") this.queue.goTo(this.queue.at + 1);
    else if (key === "arrowleft" || key === "arrowup") this.queue.goTo(this.queue.at - 1);
    else if (key === "s") this.#toggleSimilar();
    else if (!may("operator")) return false;
    else if (key === "g") this.#say("good");
    else if (key === "d") this.#say("defect");
    else if (key === "u") this.#say("unsure");
    else if (key === "z") this.#undo();
    else if (/^[1-9]$/.test(key) && this.classes.recent[key - 1]) this.#sayDefect(this.classes.recent[key - 1]);
    else return false;
    return true;
  }

  close() {
    clearInterval(this.timer);
    this.labels.listeners.delete(this.listener);
    this.strip.close();
  }

  // A label of this person, or of another one.
  setLabel(station, id, label) {
    this.queue.setLabel(station, id, label);
    this.threshold.setLabel(station, id, label);
  }

  #open(tab) {
    this.tab = tab;
    setHidden(this.parts, tab !== "parts");
    setHidden(this.threshold.element, tab !== "threshold");
    this.tabs.forEach((button, index) => setAttribute(button, "aria-pressed", String((index === 0) === (tab === "parts"))));
    setHidden(this.filter.element, tab !== "parts");
    if (tab === "threshold") this.threshold.load(this.filter.query.station);
    this.render();
  }

  #read(query) {
    this.#show("");
    this.queue.load(query);
  }

  #readAgain() {
    if (this.tab !== "parts" || document.hidden) return;
    if (this.queue.pending) this.queue.loadSimilar();
    else this.queue.loadNew();
  }

  async #say(word) {
    const { part } = this.queue;
    if (!part) return;
    if (word !== "defect") {
      this.#send(part, word, null);
      return;
    }
    const name = await pickClass(this.classes);
    if (name !== null) this.#sayDefect(name, part);
  }

  #sayDefect(name, part = this.queue.part) {
    if (!part) return;
    if (name) this.classes.use(name);
    this.#send(part, "defect", name || null);
  }

  #send(part, word, defectClass) {
    this.#show("");
    const content = { station: part.station, id: part.id, word, ...(defectClass ? { class: defectClass } : {}) };
    this.labels.add(content, part.label ?? null);
    this.queue.goToUnlabelled();
  }

  #undo() {
    this.#show("");
    this.labels.undo((station, id) => this.queue.goToPart(id));
  }

  #toggleSimilar() {
    if (this.queue.like) this.queue.load();
    else this.queue.loadSimilar();
  }

  #show(text) {
    setText(this.problem, text);
    setHidden(this.problem, !text);
  }
}

const WORD_ICONS = { good: "good", defect: "bad", unsure: "unsure" };
const WORD_TONES = { good: "good", defect: "bad", unsure: "warn" };

export function labelBadge(label) {
  if (!label) return { tone: "off", icon: "wait", word: say("label.none") };
  const word = sayWord("label", label.word);
  const said = label.class ? say("label.with_class", { word, class: label.class }) : word;
  return { tone: WORD_TONES[label.word], icon: WORD_ICONS[label.word], word: label.by ? say("label.by", { said, by: label.by }) : said };
}

function countsText(counts) {
  return ["unlabelled", "good", "defect", "unsure"].map((word) => say(`review.count.${word}`, { count: counts[word] ?? 0 })).join(" · ");
}
