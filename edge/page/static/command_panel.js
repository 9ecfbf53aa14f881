// The commands that this person may send to a station, and what the station replied.

import { make, setAttribute, setHidden, setText } from "./elements.js";
import { score } from "./formats.js";
import { icon } from "./icons.js";
import { agrees } from "./question.js";
import { ask, stationPath } from "./requests.js";
import { may, session } from "./session.js";
import { say, sayWord } from "./texts.js";

const REPLIES = 5; // replies that stay in sight

export class CommandPanel {
  // Calls `showImage(id)` with the id of a picture that a snapshot has brought.
  constructor(showImage) {
    this.showImage = showImage;
    this.element = make("section", { class: "panel commands", "aria-label": say("command.title") });
    this.replies = make("ol", { class: "replies", role: "log" });
    this.role = undefined;
  }

  render(station) {
    this.station = station;
    if (this.role !== session.role) this.#build();
    if (!may("operator")) return;
    const paused = station.status?.state === "paused";
    setHidden(this.pause, paused);
    setHidden(this.resume, !paused);
    if (may("engineer")) {
      setHidden(this.endShadow, !station.health?.shadow);
      const { threshold } = station;
      if (threshold !== null) setAttribute(this.threshold.input, "placeholder", score(threshold));
    }
  }

  #build() {
    this.role = session.role;
    if (!may("operator")) {
      this.element.replaceChildren(make("p", { class: "soft", text: say("command.log_in") }));
      return;
    }
    const button = (name, act) => make("button", { click: act, class: "large" }, icon(ICONS[name]), make("span", { text: say(`command.${name}`) }));
    this.pause = button("pause", () => this.#confirm("pause", {}, {}));
    this.resume = button("resume", () => this.send({ command: "resume" }));
    const row = make("div", { class: "button-row" }, this.pause, this.resume);
    row.append(button("snapshot", () => this.send({ command: "snapshot" })), button("trigger", () => this.send({ command: "trigger" })));
    this.element.replaceChildren(row, ...(may("engineer") ? [this.#buildEngineer()] : []), this.replies);
  }

  #buildEngineer() {
    this.threshold = field("threshold", { inputmode: "decimal" }, (text) => this.#setThreshold(text), "set");
    this.threshold.element.append(make("button", { type: "button", click: () => this.#restoreThreshold(), text: say("command.restore") }));
    this.shadow = field("shadow", { inputmode: "numeric", value: "2000" }, (text) => this.#beginShadow(text), "begin");
    this.endShadow = make("button", { type: "button", click: () => this.#confirm("shadow", { parts: 0 }, {}, "shadow_end"), text: say("command.end") });
    this.shadow.element.append(this.endShadow);
    this.resend = field("resend", { inputmode: "numeric" }, (text) => this.#resend(text), "resend");
    const box = make("details", {}, make("summary", { text: say("command.engineer") }), this.threshold.element, this.shadow.element, this.#buildBundle(), this.resend.element);
    box.addEventListener("toggle", () => box.open && this.#readBundles());
    return box;
  }

  #buildBundle() {
    this.bundles = make("select", { id: "bundle-field" });
    this.load = make("button", { class: "primary", text: say("command.load") });
    const form = make("form", { class: "field" }, make("label", { for: "bundle-field", text: say("command.bundle_label") }), this.bundles, this.load);
    form.append(make("button", { type: "button", click: () => this.#rollBack(), text: say("command.roll_back") }));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const name = this.bundles.value;
      if (name) this.#confirm("bundle", { name }, { name });
    });
    return form;
  }

  async #readBundles() {
    const { bundles } = await ask(`stations/${stationPath(this.station.key)}/bundles`).catch(() => ({ bundles: [] }));
    this.bundles.replaceChildren(...bundles.filter((bundle) => !bundle.in_use).map((bundle) => make("option", { value: bundle.name, text: bundle.name })));
    if (!this.bundles.options.length) this.bundles.append(make("option", { value: "", text: say("command.no_bundles") }));
    this.load.disabled = !this.bundles.value;
  }

  #setThreshold(text) {
    const value = readNumber(text);
    if (Number.isNaN(value)) this.#reply(say("command.need_number"), "bad");
    else this.#confirm("threshold", { value }, { value: score(value), before: this.#before });
  }

  #restoreThreshold() {
    this.#confirm("threshold", { value: null }, { before: this.#before }, "threshold_null");
  }

  get #before() {
    return this.station.threshold === null ? "–" : score(this.station.threshold);
  }

  #beginShadow(text) {
    const parts = readNumber(text);
    if (!Number.isInteger(parts)) this.#reply(say("command.need_number"), "bad");
    else this.#confirm("shadow", { parts }, { parts });
  }

  #resend(text) {
    const from = readNumber(text);
    if (!Number.isInteger(from)) this.#reply(say("command.need_number"), "bad");
    else this.#confirm("resend", { from_sequence: from }, { from: String(from) });
  }

  #rollBack() {
    this.#confirm("bundle", { name: null }, { name: this.station.bundle?.name ?? "–" }, "roll_back");
  }

  async #confirm(command, fields, values, question = command) {
    const action = say(`command.${command}`);
    if (await agrees(say(`confirm.${question}`, { station: this.station.key, ...values }), action)) await this.send({ command, ...fields });
  }

  // Sends a command and shows the reply, also a refusal.
  async send(content) {
    const name = say(`command.${content.command}`);
    const item = this.#reply(say("command.sending", { command: name }), "off");
    try {
      const { reply } = await ask(`stations/${stationPath(this.station.key)}/command`, content);
      const text = reply.done ? say("command.done", { command: name }) : say("command.refused", { command: name });
      const detail = reply.done ? outcome(content, reply) : (reply.reason ?? sayWord("refusal", reply.refusal));
      this.#reply(detail ? `${text}: ${detail}` : text, reply.done ? "good" : "bad", item);
      if (reply.image) this.showImage(reply.image.split("/").at(-1));
    } catch (error) {
      this.#reply(`${say("command.failed", { command: name })}: ${error.message}`, "bad", item);
    }
  }

  // Shows a line about a command, in the place of an earlier one.
  #reply(text, tone, item = null) {
    const made = make("li", { class: `tone-${tone}` }, icon(tone === "off" ? "wait" : tone), make("span", { text }));
    if (item?.isConnected) item.replaceWith(made);
    else this.replies.prepend(made);
    while (this.replies.children.length > REPLIES) this.replies.lastElementChild.remove();
    return made;
  }
}

const ICONS = { pause: "pause", resume: "run", snapshot: "camera", trigger: "trigger" };

// A field with its label and button; `act` gets the text when the form is sent.
function field(name, properties, act, action) {
  const id = `${name}-field`;
  const input = make("input", { id, type: "text", autocomplete: "off", ...properties });
  const element = make("form", { class: "field" }, make("label", { for: id, text: say(`command.${name}_label`) }), input, make("button", { text: say(`command.${action}`) }));
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    act(input.value);
  });
  return { element, input };
}

// A person may write a comma where a language does.
function readNumber(text) {
  const written = text.trim().replace(",", ".");
  return written === "" ? NaN : Number(written);
}

function outcome({ command }, { threshold, bundle, shadow, resend }) {
  if (threshold) return say("command.threshold_done", { before: score(threshold.before), after: score(threshold.after) });
  if (bundle) return say("command.bundle_done", { before: bundle.before.name, after: bundle.after.name });
  if (resend) return say("command.resend_done", { first: String(resend.first), last: String(resend.last) });
  if (command === "shadow") return shadow ? say("command.shadow_done", { wanted: shadow.wanted }) : say("command.shadow_ended");
  return command === "trigger" ? say("command.trigger_done") : "";
}
