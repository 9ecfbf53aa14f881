// The audit log: who did what, and when.

import { make, setHidden, setText } from "./elements.js";
import { time } from "./formats.js";
import { ask } from "./requests.js";
import { say, sayWord } from "./texts.js";

const MOST = 500;

export class LogView {
  constructor(line) {
    this.line = line;
    this.title = say("menu.log");
    this.entries = [];
    this.words = make("input", { id: "log-filter", type: "search", autocomplete: "off", input: () => this.#show() });
    this.save = make("button", { click: () => this.#download(), text: say("log.download") });
    this.rows = make("tbody");
    this.none = make("p", { class: "soft", text: say("log.none"), hidden: true });
    this.problem = make("p", { class: "problem", role: "alert" });
    const heads = ["at", "person", "action", "details"].map((name) => make("th", { scope: "col", text: say(`log.${name}`) }));
    this.element = make(
      "div",
      { class: "view" },
      make("h1", { text: this.title }),
      make("div", { class: "filters" }, make("div", { class: "filter" }, make("label", { for: "log-filter", text: say("log.filter") }), this.words), this.save),
      this.problem,
      make("div", { class: "panel table-box", tabindex: "0", role: "region", "aria-label": this.title }, make("table", {}, make("thead", {}, make("tr", {}, heads)), this.rows), this.none),
    );
    this.#read();
  }

  async #read() {
    try {
      this.entries = (await ask(`audit?limit=${MOST}`)).entries;
      this.#show();
    } catch (error) {
      setText(this.problem, error.message);
    }
  }

  #show() {
    const wanted = this.words.value.trim().toLowerCase();
    const shown = this.entries.map(describe).filter(({ text }) => text.toLowerCase().includes(wanted));
    setHidden(this.none, shown.length > 0);
    this.rows.replaceChildren(...shown.map(({ at, cells }) => make("tr", {}, make("td", { class: "moment", text: time(at, this.line.now) }), cells.map((text) => make("td", { text })))));
  }

  #download() {
    const text = this.entries.map((entry) => JSON.stringify(entry)).join("\n");
    const href = URL.createObjectURL(new Blob([text], { type: "application/x-ndjson" }));
    make("a", { href, download: "audit.jsonl" }).click();
    setTimeout(() => URL.revokeObjectURL(href), 1000);
  }
}

function describe({ at, person, action, ...rest }) {
  const details = listed(rest).join(", ");
  const cells = [person ?? "", sayWord("log.actions", action), details];
  return { at, cells, text: cells.join(" ") };
}

// Each detail with its name; those of an object follow one another.
function listed(values) {
  return Object.entries(values).flatMap(([name, value]) => {
    if (value === null || value === "") return [];
    if (Array.isArray(value) || typeof value !== "object") return [`${name}: ${value}`];
    return listed(value);
  });
}
