// All stations as a table that can be sorted: bundle, precision, version, rejects, drift and health of each.

import { Badge } from "./badge.js";
import { conditionOf } from "./condition.js";
import { make, renderEach, setAttribute, setHidden, setText } from "./elements.js";
import { number, percent, score } from "./formats.js";
import { stationAddress } from "./route.js";
import { say, sayWord } from "./texts.js";

const DIGEST = 12;

// Each column: its name, the text of a row, by which value it is sorted, and whether the text needs attention.
const COLUMNS = [
  ["bundle", (row) => row.bundle, (row) => row.bundle],
  ["digest", (row) => row.digest?.slice(0, DIGEST), (row) => row.digest],
  ["precision", (row) => row.precision, (row) => row.precision],
  ["threshold", (row) => shown(row.threshold, score), (row) => row.threshold],
  ["version", (row) => row.version, (row) => row.version],
  ["rejects", ({ rejects }) => shown(rejects, ({ share, high }) => say("fleet.rejects_value", { share: percent(share), limit: percent(high) })), (row) => row.rejects?.share, (row) => row.rejects?.above],
  ["drift", ({ drift }) => shown(drift, ({ shift, limit }) => say("fleet.drift_value", { shift: number(shift, 2), limit: number(limit, 2) })), (row) => Math.abs(row.drift?.shift), (row) => row.drift?.beyond],
  ["health", healthOf, (row) => row.alarms.length, (row) => row.alarms.length > 0],
];

export class FleetTable {
  constructor(line) {
    this.line = line;
    this.sorted = { name: "station", down: false };
    this.heads = ["station", "state", ...COLUMNS.map(([name]) => name)].map((name) => this.#makeHead(name));
    this.rows = make("tbody");
    const title = say("fleet.title");
    const table = make("table", { class: "fleet" }, make("thead", {}, make("tr", {}, this.heads.map(({ element }) => element))), this.rows);
    this.element = make("section", { class: "panel" }, make("h2", { text: title }), make("div", { class: "table-box", tabindex: "0", role: "region", "aria-label": title }, table));
  }

  render(stations) {
    setHidden(this.element, !stations.length);
    for (const { element, name } of this.heads) setAttribute(element, "aria-sort", name === this.sorted.name ? (this.sorted.down ? "descending" : "ascending") : null);
    renderEach(this.rows, this.#inOrder(stations), ({ key }) => key, (station) => new FleetRow(station), (row, station) => row.render(station, this.line));
  }

  #makeHead(name) {
    const sort = () => {
      this.sorted = { name, down: this.sorted.name === name && !this.sorted.down };
      this.render([...this.line.stations.values()]);
    };
    return { name, element: make("th", { scope: "col" }, make("button", { class: "sort", click: sort, text: say(`fleet.${name}`) })) };
  }

  #inOrder(stations) {
    const { name, down } = this.sorted;
    const column = COLUMNS.find(([each]) => each === name);
    const valueOf = (station) => (name === "station" ? station.key : name === "state" ? conditionOf(station, this.line).word : column[2](station.row));
    // Stations whose value is unknown stay at the end; equal ones are in the order of their names.
    const compare = (one, other) => {
      const [a, b] = [valueOf(one), valueOf(other)].map((value) => (Number.isNaN(value) ? null : (value ?? null)));
      if (a === null || b === null) return (a === null) - (b === null) || byName(one, other);
      const found = typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
      return (down ? -found : found) || byName(one, other);
    };
    return [...stations].sort(compare);
  }
}

class FleetRow {
  constructor({ key }) {
    this.condition = new Badge();
    this.cells = COLUMNS.map(() => make("td"));
    this.element = make("tr", {}, make("th", { scope: "row" }, make("a", { href: stationAddress(key), text: key })), make("td", {}, this.condition.element), this.cells);
  }

  render(station, line) {
    this.condition.render(conditionOf(station, line));
    setAttribute(this.element, "class", station.stale ? "stale" : null);
    COLUMNS.forEach(([, text, , needsAttention], i) => {
      setText(this.cells[i], text(station.row) ?? say("fleet.unknown"));
      setAttribute(this.cells[i], "class", needsAttention?.(station.row) ? "noticeable" : null);
    });
  }
}

function healthOf({ alarms, state, digest }) {
  if (alarms.length) return alarms.map((word) => sayWord("alarm", word)).join(", ");
  return state && state !== "offline" && digest ? say("fleet.good") : null;
}

function shown(value, format) {
  return value === null || value === undefined ? null : format(value);
}

function byName(one, other) {
  return one.key.localeCompare(other.key, undefined, { numeric: true });
}
