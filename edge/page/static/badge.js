// An icon and a word in one tone: how the page says a condition or a verdict.

import { make, setAttribute, setText } from "./elements.js";
import { icon, setIcon } from "./icons.js";

export class Badge {
  constructor(size = "") {
    this.icon = icon("wait");
    this.word = make("span");
    this.element = make("span", { class: "badge" }, this.icon, this.word);
    this.size = size;
  }

  render({ tone, icon: name, word }) {
    setAttribute(this.element, "class", `badge ${this.size} tone-${tone}`);
    setIcon(this.icon, name);
    setText(this.word, word);
  }
}
