// Chooses the class of a defect: type to find or to add one, or press the number of one that was used last.

import { make, setAttribute } from "./elements.js";
import { ask } from "./requests.js";
import { say } from "./texts.js";

const RECENT = 9;
const STORE = "classes";

export class ClassNames {
  constructor() {
    this.known = [];
    this.recent = read();
  }

  async load() {
    const { classes } = await ask("review/classes").catch(() => ({ classes: [] }));
    this.known = classes;
    if (!this.recent.length) this.recent = classes.slice(0, RECENT);
  }

  use(name) {
    this.recent = [name, ...this.recent.filter((other) => other !== name)].slice(0, RECENT);
    if (!this.known.includes(name)) this.known.push(name);
    try {
      localStorage.setItem(STORE, JSON.stringify(this.recent));
    } catch {
      // remembered until the page is closed
    }
  }
}

function read() {
  try {
    const names = JSON.parse(localStorage.getItem(STORE) ?? "[]");
    return Array.isArray(names) ? names.filter((name) => typeof name === "string") : [];
  } catch {
    return [];
  }
}

// Returns the chosen class, "" for none, or null if the person cancels.
export function pickClass(names) {
  const list = make("ul", { id: "class-list", class: "class-list", role: "listbox" });
  const input = make("input", { id: "class-field", autocomplete: "off", autocapitalize: "none", spellcheck: "false", maxlength: "64", role: "combobox", "aria-controls": "class-list", "aria-expanded": "true" });
  const cancel = make("button", { click: () => dialog.close("cancel"), text: say("cancel") });
  const dialog = make("dialog", { class: "class-picker", "aria-label": say("class.title") }, make("label", { for: "class-field", text: say("class.label") }), input, list, make("div", { class: "dialog-end" }, cancel));
  let options = [];
  let at = 0;
  let chosen = null;

  const choose = (option) => {
    chosen = option.name;
    dialog.close("chosen");
  };
  const highlight = (to) => {
    at = Math.min(Math.max(to, 0), options.length - 1);
    options.forEach(({ element }, index) => setAttribute(element, "aria-selected", String(index === at)));
    setAttribute(input, "aria-activedescendant", options[at]?.element.id);
    options[at]?.element.scrollIntoView({ block: "nearest" });
  };
  const render = () => {
    const typed = input.value.trim();
    const found = matching(names, typed);
    options = found.map(({ name, text, key }, index) => {
      const element = make("li", { id: `class-${index}`, role: "option" }, key && make("kbd", { text: key }), make("span", { text }));
      const option = { name, element };
      element.addEventListener("click", () => choose(option));
      return option;
    });
    list.replaceChildren(...options.map(({ element }) => element));
    highlight(0);
  };
  input.addEventListener("input", render);
  dialog.addEventListener("keydown", (event) => {
    const digit = input.value === "" && /^[0-9]$/.test(event.key);
    if (event.key === "ArrowDown") highlight(at + 1);
    else if (event.key === "ArrowUp") highlight(at - 1);
    else if (event.key === "Enter" && event.target === input) choose(options[at]);
    else if (digit && event.key === "0") choose({ name: "" });
    else if (digit && names.recent[event.key - 1]) choose({ name: names.recent[event.key - 1] });
    else return;
    event.preventDefault();
  });
  document.body.append(dialog);
  render();
  dialog.showModal();
  input.focus();
  return new Promise((resolve) =>
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(chosen);
    }),
  );
}

// The classes that fit what was typed, the last used first; a new one; and none.
function matching({ recent, known }, typed) {
  const wanted = typed.toLowerCase();
  const fits = (name) => name.toLowerCase().includes(wanted);
  const others = known.filter((name) => !recent.includes(name)).sort((one, other) => one.localeCompare(other));
  const found = [
    ...recent.map((name, index) => ({ name, text: name, key: typed ? "" : String(index + 1) })),
    ...others.map((name) => ({ name, text: name, key: "" })),
  ].filter(({ name }) => fits(name));
  const exact = [...recent, ...known].some((name) => name.toLowerCase() === wanted);
  if (typed && !exact) found.push({ name: typed, text: say("class.new", { name: typed }), key: "" });
  if (!typed) found.push({ name: "", text: say("class.none"), key: "0" });
  return found;
}
