// The figures of a station: how quick it is, what it has lost, which bundle inspects, and its stages.

import { make, renderEach, setAttribute, setText } from "./elements.js";
import { bytes, duration, milliseconds, number, score } from "./formats.js";
import { icon, setIcon } from "./icons.js";
import { say, sayWord } from "./texts.js";

const STAGE_ICONS = { working: "good", idle: "pause", failed: "bad", stuck: "warn" };
const STAGE_TONES = { working: "good", idle: "off", failed: "bad", stuck: "bad" };

export class FigureTable {
  constructor() {
    this.list = make("dl");
    this.stages = make("ul", { class: "stages" });
    this.element = make("section", { class: "panel figures" }, make("h2", { text: say("station.figures") }), this.stages, this.list);
  }

  render(station) {
    renderEach(this.list, figuresOf(station), ([name]) => name, makeFigure, updateFigure);
    const stages = Object.entries(station.health?.stages ?? {});
    renderEach(this.stages, stages, ([name]) => name, makeStage, updateStage);
  }
}

// Returns [name, text, noticeable] of each figure that is known.
function figuresOf({ status, health, shift, bundle, threshold, precision }) {
  const rows = [];
  const add = (name, known, text, noticeable = false) => known !== null && known !== undefined && rows.push([name, text(known), noticeable]);
  add("latency", health?.latency_ms, ({ p50, p95 }) => say("figure.latency_value", { p50: milliseconds(p50), p95: milliseconds(p95) }));
  add("pace", health?.fps, (fps) => say("unit.per_second", { value: number(fps, 1) }));
  add("dropped", health?.frames.dropped, (count) => number(count), health?.frames.dropped > 0);
  add("waiting", health?.outbox.entries, (count) => number(count), health?.outbox.entries > 100);
  add("inspected", shift?.inspected, (count) => number(count));
  add("threshold", threshold, score);
  add("recipe", health?.recipe?.active ?? status?.recipe, (name) => name);
  add("bundle", bundle?.name, (name) => name);
  add("precision", precision, (name) => name);
  add("engine", health?.engine, (name) => name);
  add("uptime", health?.uptime_s, duration);
  add("heat", health?.temperature_c, (value) => say("unit.celsius", { value: number(value) }));
  add("disk", health?.disk_free_bytes, bytes);
  add("version", status?.version, (version) => version);
  return rows;
}

function makeFigure([name]) {
  const value = make("dd");
  return { element: make("div", {}, make("dt", { text: say(`figure.${name}`) }), value), value };
}

function updateFigure({ value }, [, text, noticeable]) {
  setText(value, text);
  setAttribute(value, "class", noticeable ? "noticeable" : null);
}

function makeStage([name]) {
  const mark = icon("wait");
  const state = make("span");
  return { element: make("li", {}, mark, make("span", {}, make("b", { text: sayWord("stage", name) }), " ", state)), mark, state };
}

function updateStage({ element, mark, state }, [, stage]) {
  setAttribute(element, "class", `tone-${STAGE_TONES[stage.state] ?? "off"}`);
  setAttribute(element, "title", stage.reason);
  setIcon(mark, STAGE_ICONS[stage.state] ?? "unsure");
  setText(state, stage.reason ? `${sayWord("stage_state", stage.state)}: ${stage.reason}` : sayWord("stage_state", stage.state));
}
