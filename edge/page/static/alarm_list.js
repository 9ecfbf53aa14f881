// Alarms with what to do about each.

import { make, renderEach, setAttribute, setHidden, setText } from "./elements.js";
import { icon } from "./icons.js";
import { say } from "./texts.js";

export class AlarmList {
  constructor(label) {
    this.element = make("ul", { class: "alarms", "aria-label": label });
  }

  // An alarm that has an `address` leads there, under the name of its `station`.
  render(alarms) {
    setHidden(this.element, alarms.length === 0);
    renderEach(this.element, alarms, (alarm) => alarm.key, makeAlarm, updateAlarm);
  }
}

function makeAlarm({ address, station }) {
  const title = make("strong");
  const remedy = make("span");
  const advice = make("span", { class: "remedy" }, make("b", { text: say("what_to_do") }), " ", remedy);
  return { element: make("li", {}, icon("warn"), make("div", {}, address && make("a", { href: address, text: station }), title, advice)), title, remedy, advice };
}

function updateAlarm({ element, title, remedy, advice }, alarm) {
  setAttribute(element, "class", `tone-${alarm.tone}`);
  setText(title, alarm.title);
  setText(remedy, alarm.remedy);
  setHidden(advice, !alarm.remedy);
}
