// Asks before something is done that stops or changes the line.

import { make } from "./elements.js";
import { say } from "./texts.js";

// Returns whether the person agrees. The safe answer has the focus.
export function agrees(text, action) {
  const no = make("button", { value: "no", autofocus: true, text: say("cancel") });
  const yes = make("button", { value: "yes", class: "primary", text: action });
  const dialog = make("dialog", { "aria-labelledby": "question" }, make("p", { id: "question", text }), make("form", { method: "dialog" }, no, yes));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) =>
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    }),
  );
}
