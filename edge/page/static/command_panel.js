// The commands that this person may send to a station.

import { CommandReplies } from "./command_replies.js";
import { make, setAttribute, setHidden } from "./elements.js";
import { score } from "./formats.js";
import { icon } from "./icons.js";
import { ask, stationPath } from "./requests.js";
import { may, session } from "./session.js";
import { say } from "./texts.js";

const ICONS = { pause: "pause", resume: "run", snapshot: "camera", trigger: "trigger" };

export class CommandPanel {
  // Calls `showImage(id)` with the id of a picture that a snapshot has brought.
  constructor(showImage) {
    this.replies = new CommandReplies(showImage);
    this.element = make("section", { class: "panel commands", "aria-label": say("command.title") });
    this.role = undefined;
  }

  render(station) {
    this.station = station;
    this.replies.key = station.key;
    if (this.role !== session.role) this.#build();
    if (!may("operator")) return;
    const paused = station.status?.state === "paused";
    setHidden(this.pause, paused);
    setHidden(this.resume, !paused);
    this.#renderRecipes(station.health?.recipe);
    if (!may("engineer")) return;
    setHidden(this.endShadow, !station.health?.shadow);
    setAttribute(this.threshold.input, "placeholder", this.#threshold);
  }

  #build() {
    this.role = session.role;
    if (!may("operator")) {
      this.element.replaceChildren(make("p", { class: "soft", text: say("command.log_in") }));
      return;
    }
    const button = (name, act) => make("button", { click: act, class: "large" }, icon(ICONS[name]), make("span", { text: say(`command.${name}`) }));
    const send = (command) => button(command, () => this.replies.send({ command }));
    this.pause = button("pause", () => this.replies.confirm({ command: "pause" }));
    this.resume = send("resume");
    const row = make("div", { class: "button-row" }, this.pause, this.resume, send("snapshot"), send("trigger"));
    this.element.replaceChildren(row, this.#buildRecipe(), ...(may("engineer") ? [this.#buildEngineer()] : []), this.replies.element);
  }

  #buildRecipe() {
    this.others = undefined;
    this.recipes = make("select", { id: "recipe-field" });
    const label = make("label", { for: "recipe-field", text: say("command.recipe_label") });
    this.recipe = make("form", { class: "field" }, label, this.recipes, make("button", { text: say("command.change_over") }));
    this.recipe.addEventListener("submit", (event) => {
      event.preventDefault();
      const name = this.recipes.value;
      if (name) this.replies.confirm({ command: "recipe", name }, { name, before: this.station.health.recipe.active });
    });
    return this.recipe;
  }

  // Offers the recipes that are not in force. The list is left alone while it is the same, because somebody may be choosing.
  #renderRecipes(recipe) {
    const others = (recipe?.names ?? []).filter((name) => name !== recipe.active);
    setHidden(this.recipe, !others.length);
    if (others.join("\n") === this.others) return;
    this.others = others.join("\n");
    this.recipes.replaceChildren(...others.map((name) => make("option", { value: name, text: name })));
  }

  #buildEngineer() {
    this.threshold = field("threshold", { inputmode: "decimal" }, "set", (text) => this.#setThreshold(text));
    this.threshold.element.append(
      other("restore", () => this.replies.confirm({ command: "threshold", value: null }, { before: this.#threshold }, "threshold_null")),
    );
    this.shadow = field("shadow", { inputmode: "numeric", value: "2000" }, "begin", (text) => this.#beginShadow(text));
    this.endShadow = other("end", () => this.replies.confirm({ command: "shadow", parts: 0 }, {}, "shadow_end"));
    this.shadow.element.append(this.endShadow);
    const resend = field("resend", { inputmode: "numeric" }, "resend", (text) => this.#resend(text));
    const fields = [this.threshold.element, this.shadow.element, this.#buildBundle(), resend.element];
    const box = make("details", {}, make("summary", { text: say("command.engineer") }), ...fields);
    box.addEventListener("toggle", () => box.open && this.#readBundles());
    return box;
  }

  #buildBundle() {
    this.bundles = make("select", { id: "bundle-field" });
    this.load = make("button", { text: say("command.load") });
    const form = make("form", { class: "field" }, make("label", { for: "bundle-field", text: say("command.bundle_label") }), this.bundles, this.load);
    form.append(other("roll_back", () => this.replies.confirm({ command: "bundle", name: null }, { name: this.station.bundle?.name ?? "–" }, "roll_back")));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const name = this.bundles.value;
      if (name) this.replies.confirm({ command: "bundle", name }, { name });
    });
    return form;
  }

  async #readBundles() {
    const { bundles } = await ask(`stations/${stationPath(this.station.key)}/bundles`).catch(() => ({ bundles: [] }));
    this.bundles.replaceChildren(...bundles.filter((bundle) => !bundle.in_use).map(({ name }) => make("option", { value: name, text: name })));
    if (!this.bundles.options.length) this.bundles.append(make("option", { value: "", text: say("command.no_bundles") }));
    this.load.disabled = !this.bundles.value;
  }

  get #threshold() {
    const { threshold } = this.station;
    return threshold === null || threshold === undefined ? "–" : score(threshold);
  }

  #setThreshold(text) {
    const value = readNumber(text);
    if (Number.isFinite(value)) this.replies.confirm({ command: "threshold", value }, { value: score(value), before: this.#threshold });
    else this.#needNumber();
  }

  #beginShadow(text) {
    const parts = readNumber(text);
    if (Number.isInteger(parts)) this.replies.confirm({ command: "shadow", parts }, { parts });
    else this.#needNumber();
  }

  #resend(text) {
    const from = readNumber(text);
    if (Number.isInteger(from)) this.replies.confirm({ command: "resend", from_sequence: from }, { from: String(from) });
    else this.#needNumber();
  }

  #needNumber() {
    this.replies.show(say("command.need_number"), "bad");
  }
}

// A field with its label and button; `act` gets the text when the form is sent.
function field(name, properties, action, act) {
  const id = `${name}-field`;
  const input = make("input", { id, type: "text", autocomplete: "off", ...properties });
  const element = make("form", { class: "field" }, make("label", { for: id, text: say(`command.${name}_label`) }), input, make("button", { text: say(`command.${action}`) }));
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    act(input.value);
  });
  return { element, input };
}

function other(name, click) {
  return make("button", { type: "button", click, text: say(`command.${name}`) });
}

// A person may write a comma where a language does.
function readNumber(text) {
  const written = text.trim().replace(",", ".");
  return written === "" ? NaN : Number(written);
}
