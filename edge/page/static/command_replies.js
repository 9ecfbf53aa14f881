// Sends commands to a station, after a question where they change the line, and shows every reply.

import { make } from "./elements.js";
import { score } from "./formats.js";
import { icon } from "./icons.js";
import { agrees } from "./question.js";
import { ask, stationPath } from "./requests.js";
import { say, sayWord } from "./texts.js";

const SHOWN = 5;

export class CommandReplies {
  // Calls `showImage(id)` with the id of a picture that a snapshot has brought.
  constructor(showImage = () => {}) {
    this.showImage = showImage;
    this.element = make("ol", { class: "replies", role: "log" });
    this.key = ""; // of the station
  }

  // Asks first. `question` names the text, `values` what it says.
  async confirm(content, values = {}, question = content.command) {
    const action = say(`agree.${question}`);
    if (!(await agrees(say(`confirm.${question}`, { station: this.key, ...values }), action))) return false;
    return this.send(content);
  }

  // Sends a command and shows the reply, also a refusal; returns whether it was carried out.
  async send(content) {
    const name = { command: say(`command.${content.command}`) };
    const item = this.show(say("command.sending", name), "off");
    try {
      const { reply } = await ask(`stations/${stationPath(this.key)}/command`, content);
      const text = say(reply.done ? "command.done" : "command.refused", name);
      const detail = reply.done ? outcome(content, reply) : (reply.reason ?? sayWord("refusal", reply.refusal));
      this.show(detail ? `${text}: ${detail}` : text, reply.done ? "good" : "bad", item);
      if (reply.image) this.showImage(reply.image.split("/").at(-1));
      return reply.done;
    } catch (error) {
      this.show(`${say("command.failed", name)}: ${error.message}`, "bad", item);
      return false;
    }
  }

  // Shows a line, in the place of an earlier one where there is one.
  show(text, tone, item = null) {
    const made = make("li", { class: `tone-${tone}` }, icon(tone === "off" ? "wait" : tone), make("span", { text }));
    if (item?.isConnected) item.replaceWith(made);
    else this.element.prepend(made);
    while (this.element.children.length > SHOWN) this.element.lastElementChild.remove();
    return made;
  }
}

function outcome({ command }, { threshold, bundle, recipe, shadow, resend }) {
  if (threshold) return say("command.threshold_done", { before: score(threshold.before), after: score(threshold.after) });
  if (bundle) return say("command.bundle_done", { before: bundle.before.name, after: bundle.after.name });
  if (recipe) return say("command.recipe_done", { before: recipe.before, after: recipe.after });
  if (resend) return say("command.resend_done", { first: String(resend.first), last: String(resend.last) });
  if (command === "shadow") return shadow ? say("command.shadow_done", { wanted: shadow.wanted }) : say("command.shadow_ended");
  return command === "trigger" ? say("command.trigger_done") : "";
}
