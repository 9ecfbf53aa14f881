// Teaching: makes the next bundle from what people have said about parts, and puts it on trial.

import { Badge } from "./badge.js";
import { CommandReplies } from "./command_replies.js";
import { make, renderEach, setHidden, setText } from "./elements.js";
import { number, score, time } from "./formats.js";
import { ask, pictureAddress, stationPath } from "./requests.js";
import { say, sayWord } from "./texts.js";

const KINDS = ["threshold", "memory"];
const COUNT_AFTER = 500; // ms without a label
const SHOWN = 8; // pictures of parts that are judged otherwise

export class TeachingView {
  constructor(line, key) {
    Object.assign(this, { line, key, title: say("menu.teaching"), jobs: [], bundles: [] });
    this.station = make("select", { id: "teaching-station", change: () => this.#choose(this.station.value) });
    this.labelled = make("p", { class: "summary" });
    this.export = make("a", { class: "button", download: "", hidden: true, text: say("teaching.export") });
    this.whyNot = make("p", { class: "note" });
    this.problem = make("p", { class: "problem", role: "alert" });
    this.replies = new CommandReplies();
    this.buttons = KINDS.map((what) => make("button", { class: "large", click: () => this.#teach(what), text: say(`teaching.start_${what}`) }));
    const cards = KINDS.map((what, index) => make("div", { class: "panel choice" }, make("h2", { text: say(`teaching.${what}`) }), make("p", { text: say(`teaching.about_${what}`) }), this.buttons[index]));
    this.jobList = make("ol", { class: "jobs", "aria-label": say("teaching.jobs") });
    this.bundleList = make("ol", { class: "bundles" });
    this.noBundles = make("p", { class: "soft", text: say("teaching.no_bundles") });
    this.rollBack = make("button", { click: () => this.#rollBack(), text: say("command.roll_back") });
    this.element = make(
      "div",
      { class: "view" },
      make("h1", { text: this.title }),
      make("div", { class: "filter" }, make("label", { for: "teaching-station", text: say("filter.station") }), this.station),
      make("p", { class: "soft", text: say("teaching.explanation") }),
      make("div", { class: "review-head" }, this.labelled, this.export),
      this.whyNot,
      this.problem,
      make("div", { class: "choices" }, cards),
      this.replies.element,
      this.jobList,
      make("section", { class: "panel" }, make("div", { class: "bundle-head" }, make("h2", { text: say("teaching.bundles") }), this.rollBack), this.noBundles, this.bundleList),
    );
  }

  render() {
    const keys = [...this.line.stations.keys()].sort();
    if (keys.join() !== this.keys) {
      this.keys = keys.join();
      this.station.replaceChildren(...keys.map((value) => make("option", { value, text: value })));
      if (keys.length) this.#choose(keys.includes(this.key) ? this.key : keys[0]);
    }
    const bundle = this.line.stations.get(this.key)?.bundle;
    if (bundle && this.inUse && bundle.digest !== this.inUse) this.#readBundles(); // it was changed, here or elsewhere
  }

  #choose(key) {
    this.key = this.station.value = this.replies.key = key;
    this.#read();
    this.#readBundles();
  }

  async #read() {
    const { key } = this;
    await this.#try(async () => {
      const answer = await ask(`teaching?${new URLSearchParams({ station: key })}`);
      if (key !== this.key) return;
      this.jobs = answer.jobs;
      this.export.href = `api/labels/export?${new URLSearchParams({ station: key })}`;
      setHidden(this.export, answer.labelled.good + answer.labelled.defect === 0);
      setText(this.labelled, say("teaching.labelled", { good: answer.labelled.good, defect: answer.labelled.defect, unsure: answer.labelled.unsure }));
      setText(this.whyNot, answer.possible ? "" : (answer.why_not ?? ""));
      this.possible = answer.possible;
      this.#renderJobs();
    });
  }

  async #readBundles() {
    const { key } = this;
    this.inUse = this.line.stations.get(key)?.bundle?.digest;
    await this.#try(async () => {
      const { bundles } = await ask(`stations/${stationPath(key)}/bundles`);
      if (key !== this.key) return;
      setHidden(this.noBundles, bundles.length > 0);
      renderEach(this.bundleList, bundles, (bundle) => `${bundle.name} ${bundle.digest} ${bundle.in_use}`, (bundle) => this.#makeBundle(bundle), () => {});
    });
  }

  async #try(act) {
    setText(this.problem, "");
    try {
      await act();
    } catch (error) {
      setText(this.problem, error.message);
    }
  }

  async #teach(what) {
    await this.#try(async () => this.showJob((await ask("teaching", { station: this.key, what })).job));
  }

  // A job that has begun, gone on, or ended; the stream of events brings it too.
  showJob(job) {
    if (job.station !== this.key) return;
    const known = this.jobs.findIndex(({ id }) => id === job.id);
    if (known < 0) this.jobs.unshift(job);
    else if (this.jobs[known].state === "running") this.jobs[known] = job; // an answer may arrive after the event of the end
    if (job.state !== "running") this.#readBundles();
    this.#renderJobs();
  }

  // A label was stored: the counts follow, once for many labels.
  setLabel(station) {
    if (station !== this.key) return;
    clearTimeout(this.reading);
    this.reading = setTimeout(() => this.#read(), COUNT_AFTER);
  }

  close() {
    clearTimeout(this.reading);
  }

  #renderJobs() {
    const running = this.jobs.some(({ state }) => state === "running");
    for (const button of this.buttons) button.disabled = !this.possible || running;
    renderEach(this.jobList, this.jobs, ({ id }) => id, () => new JobPanel((name) => this.#load(name)), (panel, job) => panel.render(job, this.line));
  }

  #load(name) {
    this.replies.confirm({ command: "bundle", name }, { name });
    this.replies.element.scrollIntoView({ block: "nearest" });
  }

  #rollBack() {
    const name = this.line.stations.get(this.key)?.bundle?.name ?? "–";
    this.replies.confirm({ command: "bundle", name: null }, { name }, "roll_back");
  }

  #makeBundle({ name, parent, made_at: at, promise, in_use: used }) {
    const facts = [at && time(at, this.line.now), parent && say("teaching.parent", { name: parent.name })].filter(Boolean).join(" · ");
    const load = used ? make("strong", { class: "tone-good", text: say("teaching.in_use") }) : make("button", { click: () => this.#load(name), text: say("command.load") });
    const said = promise?.length ? make("ul", { class: "promise" }, promise.map((text) => make("li", { text }))) : null;
    return { element: make("li", {}, make("div", { class: "bundle-head" }, make("div", {}, make("strong", { text: name }), make("p", { class: "soft", text: facts })), load), said) };
  }
}

const STATES = {
  running: { tone: "info", icon: "wait" },
  done: { tone: "good", icon: "good" },
  failed: { tone: "bad", icon: "bad" },
};

// One run of teaching: its progress, then its result in words.
class JobPanel {
  constructor(load) {
    this.load = load;
    this.badge = new Badge("medium");
    this.facts = make("span", { class: "soft" });
    this.lines = make("ol", { class: "job-lines", role: "log" });
    this.box = make("details", {}, make("summary", { text: say("teaching.lines") }), this.lines);
    this.result = make("div", { class: "job-result" });
    this.element = make("li", { class: "panel" }, make("div", { class: "bundle-head" }, this.badge.element, this.facts), this.box, this.result);
  }

  render({ station, what, by, at, state, lines, bundle, result }, line) {
    this.badge.render({ ...(STATES[state] ?? STATES.running), word: say(`teaching.state_${state}`, { what: sayWord("teaching", what) }) });
    setText(this.facts, [by, time(at, line.now)].filter(Boolean).join(" · "));
    renderEach(this.lines, lines.map((text, index) => ({ text, index })), ({ index }) => index, () => ({ element: make("li") }), ({ element }, { text }) => setText(element, text));
    if (this.state === state) return;
    this.state = state;
    this.box.open = state !== "done"; // its result then says the same in words
    this.result.replaceChildren(...(result ? resultOf(result, station) : []));
    if (state === "done" && bundle) this.result.append(make("button", { class: "primary large", click: () => this.load(bundle), text: say("teaching.load", { name: bundle }) }));
  }
}

function resultOf({ threshold, prototypes, changes, contradictions, promise }, station) {
  const said = [];
  if (threshold) said.push(say("teaching.threshold_change", { before: score(threshold.before), after: score(threshold.after) }));
  if (prototypes && prototypes.before !== prototypes.after) said.push(say("teaching.memory_change", prototypes));
  const found = [make("ul", { class: "promise" }, [...said, ...(promise ?? [])].map((text) => make("li", { text })))];
  if (changes) {
    found.push(make("h3", { text: say("teaching.changes", { count: changes.parts }) }));
    for (const name of ["now_accepted", "now_rejected"]) found.push(...partsOf(say(`teaching.${name}`, { count: changes[name].length }), changes[name].map((id) => ({ id })), station));
  }
  if (contradictions?.length) found.push(...partsOf(say("teaching.contradictions", { count: contradictions.length }), contradictions, station));
  return found;
}

function partsOf(title, parts, station) {
  const pictures = parts.slice(0, SHOWN).map(({ id, why }) => make("li", {}, picture(station, id), why && make("span", { text: why })));
  return [make("p", { class: "summary", text: title }), make("ul", { class: "mistakes" }, pictures)];
}

// The picture of a part; nothing where it is no longer stored.
function picture(station, id) {
  return make("img", { src: pictureAddress(station, id, 160), alt: id, loading: "lazy", error: (event) => (event.target.hidden = true) });
}
