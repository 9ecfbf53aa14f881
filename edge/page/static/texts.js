// All visible texts, from texts.json. A plant translates that file; `language` in it decides how numbers and times look.

let texts = {};
let plural = new Intl.PluralRules("en");
let count = new Intl.NumberFormat("en");

export let language = "en";

export async function loadTexts() {
  texts = await (await fetch("static/texts.json")).json();
  language = texts.language;
  plural = new Intl.PluralRules(language);
  count = new Intl.NumberFormat(language);
  document.documentElement.lang = language;
}

// Returns a text with its {names} replaced. A text with plurals has one form for each category of `count`.
export function say(key, values = {}) {
  let text = find(key) ?? key;
  if (typeof text === "object") text = text[plural.select(values.count)] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    return typeof value === "number" ? count.format(value) : (value ?? whole);
  });
}

// Returns the text for a word of the contract, or the word itself: a newer station may say words unknown here.
export function sayWord(group, word) {
  const text = find(`${group}.${word}`);
  return typeof text === "string" ? text : String(word ?? "");
}

export function hasText(key) {
  return typeof find(key) === "string";
}

function find(key) {
  return key.split(".").reduce((found, name) => (found && Object.hasOwn(found, name) ? found[name] : undefined), texts);
}
