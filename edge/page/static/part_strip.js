// A row of parts to choose from. It keeps its order while a finger or a pointer is on it.

import { make, renderEach, setAttribute, setHidden, setText } from "./elements.js";
import { partName, verdictOf } from "./condition.js";
import { score } from "./formats.js";
import { icon, setIcon } from "./icons.js";
import { pictureAddress } from "./requests.js";
import { say, sayWord } from "./texts.js";

const EACH = 300; // ms between two small pictures
const LONGEST_NAME = 6;

// Serial numbers differ at their end.
function shortName({ part_id: id, sequence }) {
  if (id === null) return String(sequence);
  return id.length > LONGEST_NAME ? `…${id.slice(1 - LONGEST_NAME)}` : id;
}

export class PartStrip {
  // Calls `choose(part)` when a part is chosen.
  constructor(label, choose) {
    this.choose = choose;
    this.list = make("ol", { class: "strip", "aria-label": label });
    this.empty = make("p", { class: "soft", text: say("strip.empty") });
    this.element = make("div", { class: "strip-box" }, this.list, this.empty);
    this.held = false;
    const hold = (held) => () => (this.held = held);
    this.list.addEventListener("pointerenter", hold(true));
    this.list.addEventListener("pointerleave", hold(false));
    this.list.addEventListener("pointercancel", hold(false));
    this.seen = new IntersectionObserver((entries) => entries.forEach((entry) => (entry.target.visible = entry.isIntersecting)), { root: this.list });
    this.waiting = setInterval(() => this.#loadOne(), EACH);
  }

  render(parts, chosen, stationOf) {
    setHidden(this.empty, parts.length > 0);
    setHidden(this.list, parts.length === 0);
    if (!this.held) {
      renderEach(
        this.list,
        parts,
        (part) => part.id,
        (part) => this.#make(part),
        (child, part) => this.#update(child, part, stationOf(part)),
      );
    }
    for (const [id, { button }] of this.list.renderedChildren ?? []) setAttribute(button, "aria-current", id === chosen ? "true" : null);
  }

  scrollTo(id) {
    const { element } = this.list.renderedChildren?.get(id) ?? {};
    if (!element) return;
    // Only the row scrolls: the rest of the page stays where it is.
    const { left, right } = this.list.getBoundingClientRect();
    const box = element.getBoundingClientRect();
    if (box.left < left) this.list.scrollLeft -= left - box.left;
    else if (box.right > right) this.list.scrollLeft += box.right - right;
  }

  close() {
    clearInterval(this.waiting);
    this.seen.disconnect();
  }

  #make(part) {
    const image = make("img", { alt: "", draggable: "false", hidden: true });
    const mark = icon("wait");
    const name = make("span", { class: "strip-name" });
    const label = make("span", { class: "strip-label" });
    const value = make("span", { class: "strip-score" });
    const child = { image, mark, name, label, value };
    child.button = make("button", { click: () => this.choose(child.part) }, image, value, make("span", { class: "strip-text" }, mark, name), label);
    child.element = make("li", {}, child.button);
    child.part = part;
    this.seen.observe(child.element);
    return child;
  }

  #update(child, part, station) {
    Object.assign(child, { part, station });
    const { tone, icon: name, word } = verdictOf(part);
    setIcon(child.mark, name);
    setAttribute(child.button, "class", `tone-${tone}`);
    setText(child.value, part.not_found ? "" : score(part.score));
    setText(child.name, shortName(part));
    const label = typeof part.label === "string" ? part.label : part.label?.word;
    setText(child.label, label ? sayWord("label", label) : "");
    setHidden(child.label, !label);
    setAttribute(child.button, "aria-label", [partName(part), word, `${say("score.label")} ${score(part.score)}`, label ? sayWord("label", label) : ""].filter(Boolean).join(", "));
  }

  // Small pictures come one by one, and only of what can be seen.
  #loadOne() {
    for (const { element, image, value, part, station } of this.list.renderedChildren?.values() ?? []) {
      if (!element.visible || !part.picture || image.hasAttribute("src")) continue;
      image.addEventListener("load", () => (image.hidden = !(value.hidden = true)), { once: true });
      image.src = pictureAddress(station, part.id, 160);
      return;
    }
  }
}
