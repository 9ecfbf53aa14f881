// Which parts the review shows.

import { make } from "./elements.js";
import { say } from "./texts.js";

const WORDS = ["unlabelled", "labelled", "good", "defect", "unsure", "all"];
const KINDS = ["rejected", "borderline", "accepted", "all"];
const ORDERS = ["new", "borderline"];

export class ReviewFilter {
  // Calls `changed(query)` with what the server is asked for.
  constructor(station, changed) {
    this.changed = () => changed(this.query);
    this.station = select("station", [["", say("filter.every_station")]], this.changed);
    this.word = select("word", WORDS.map((word) => [word, say(`filter.words.${word}`)]), this.changed);
    this.only = select("only", KINDS.map((kind) => [kind, say(`filter.kinds.${kind}`)]), this.changed);
    this.order = select("order", ORDERS.map((order) => [order, say(`filter.orders.${order}`)]), this.changed);
    this.class = select("class", [["", say("filter.every_class")]], this.changed);
    this.area = input("area", { type: "text", maxlength: "64" }, this.changed);
    this.since = input("since", { type: "datetime-local" }, this.changed);
    this.until = input("until", { type: "datetime-local" }, this.changed);
    this.least = input("score_min", { type: "number", step: "any", min: "0" }, this.changed);
    this.most = input("score_max", { type: "number", step: "any", min: "0" }, this.changed);
    this.wanted = station;
    const more = [this.order, this.class, this.area, this.since, this.until, this.least, this.most];
    this.element = make(
      "form",
      { class: "filters" },
      [this.station, this.word, this.only].map(({ element }) => element),
      make("details", { class: "more-filters" }, make("summary", { text: say("filter.more") }), make("div", { class: "filters" }, more.map(({ element }) => element))),
    );
    this.element.addEventListener("submit", (event) => event.preventDefault());
  }

  // Lists the stations and classes that are known by now.
  render(stations, classes) {
    offer(this.station.field, [["", say("filter.every_station")], ...stations.map((key) => [key, key])], this.wanted);
    offer(this.class.field, [["", say("filter.every_class")], ...classes.map((name) => [name, name])]);
    if (this.station.field.value) this.wanted = null;
  }

  get query() {
    const moment = ({ field }) => (field.value ? new Date(field.value).toISOString() : "");
    const found = {
      station: this.wanted ?? this.station.field.value,
      word: this.word.field.value,
      only: this.only.field.value,
      order: this.order.field.value,
      class: this.class.field.value,
      area: this.area.field.value.trim(),
      since: moment(this.since),
      until: moment(this.until),
      score_min: this.least.field.value,
      score_max: this.most.field.value,
    };
    return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== ""));
  }
}

function labelled(name, field) {
  return { field, element: make("div", { class: "filter" }, make("label", { for: field.id, text: say(`filter.${name}`) }), field) };
}

function select(name, options, changed) {
  // After a choice with the mouse the keys belong to the parts again.
  const choose = () => {
    if (!field.matches(":focus-visible")) field.blur();
    changed();
  };
  const field = make("select", { id: `filter-${name}`, change: choose });
  offer(field, options);
  return labelled(name, field);
}

function input(name, properties, changed) {
  return labelled(name, make("input", { id: `filter-${name}`, autocomplete: "off", change: changed, ...properties }));
}

// Gives a field its options, and keeps what is chosen.
function offer(field, options, wanted = null) {
  const same = field.options.length === options.length && options.every(([value], index) => field.options[index].value === value);
  if (same) return;
  const chosen = wanted ?? field.value;
  field.replaceChildren(...options.map(([value, text]) => make("option", { value, text })));
  if (options.some(([value]) => value === chosen)) field.value = chosen;
}
