// Puts the page together: tools, list, saving, and what the person is told.

import { Drawing } from "./drawing.js";
import { listenToKeyboard } from "./keyboard.js";
import { AreaList } from "./list.js";
import { listenToPointer } from "./pointer.js";
import { ask } from "./requests.js";
import { Scene } from "./scene.js";
import { View } from "./view.js";

const element = (id) => document.getElementById(id);
const CHECK_AFTER = 150; // ms without a change

let file = { version: "", file: "", picture: "" };
let redraw = 0;
let check = 0;
let checked = "";

const drawing = new Drawing(changed);
const view = new View(element("stage"), render);
const scene = new Scene(drawing, view);
const list = new AreaList(drawing);

// All changes within one frame are drawn once.
function render() {
  redraw ||= requestAnimationFrame(() => {
    redraw = 0;
    scene.render();
    element("zoom").textContent = `${Math.round(view.scale * 100)} %`;
  });
}

function changed() {
  for (const tool of ["select", "look", "ignore"]) {
    element(`tool-${tool}`).setAttribute("aria-pressed", drawing.tool === tool);
  }
  element("undo").disabled = !drawing.past.length;
  element("redo").disabled = !drawing.future.length;
  const draws = drawing.tool !== "select";
  element("draft-buttons").hidden = !draws;
  element("delete-point").hidden = draws || !(drawing.point >= 0 && drawing.chosen?.polygon.length > 3);
  if (!draws) scene.cursor = null;
  element("close-area").disabled = drawing.draft.length < 3;
  element("advice").textContent = advice();
  element("empty").hidden = drawing.areas.length > 0;
  document.title = `${drawing.dirty ? "• " : ""}${file.picture} – regions`;
  const saved = !drawing.dirty && file.version !== "";
  element("save").textContent = saved ? "Saved" : "Save";
  element("save").disabled = saved;
  list.render();
  render();
  if (JSON.stringify(drawing.areas) !== checked) {
    clearTimeout(check);
    check = setTimeout(findProblems, CHECK_AFTER);
  }
}

function advice() {
  const { tool, draft, chosen, point } = drawing;
  if (tool !== "select") {
    if (draft.length > 2) return "Click the first point, or press Enter, to close the area.";
    return tool === "look" ? "Click around what to look at." : "Click around what to ignore.";
  }
  if (chosen && point >= 0) return `Point ${point + 1} of ${chosen.polygon.length} at ${chosen.polygon[point].join(", ")}.`;
  if (chosen) return "Drag a point to move it; drag a small one to add a point.";
  return drawing.areas.length ? "Click an area to change it." : "";
}

async function findProblems() {
  const areas = JSON.stringify(drawing.areas);
  const answer = await ask("problems", { areas: drawing.areas }).catch(() => null);
  if (!answer?.ok || areas !== JSON.stringify(drawing.areas)) return;
  checked = areas;
  showProblems(answer.problems);
}

function showProblems(problems) {
  list.problems = problems;
  scene.wrong = new Set(problems.map((problem) => problem.area));
  if (!problems.length && element("status").className === "bad") say("");
  list.render();
  render();
}

function say(text, { bad = false, code = "", more = null } = {}) {
  const status = element("status");
  status.className = bad ? "bad" : "";
  status.replaceChildren(text);
  if (code) status.append(Object.assign(document.createElement("code"), { textContent: code }));
  if (more) status.append(" ", more);
  if (text) status.scrollIntoView({ block: "nearest" });
}

async function save() {
  if (document.activeElement.matches("input")) document.activeElement.blur();
  if (drawing.draft.length) {
    say("Close the area that you are drawing (Enter), or cancel it (Esc). Then save.", { bad: true });
    return;
  }
  await findProblems();
  if (list.problems.length) {
    say("Not saved yet: the list says what has to be changed.", { bad: true });
    return;
  }
  const areas = JSON.stringify(drawing.areas);
  const send = (replace) => ask("save", { areas: JSON.parse(areas), version: file.version, replace });
  try {
    let answer = await send(false);
    if (answer.changed) {
      if (!(await agrees(`${answer.error} Save yours over it? To see the other one instead, cancel and reload this page.`))) return;
      answer = await send(true);
    }
    if (answer.problems) showProblems(answer.problems);
    if (!answer.ok) {
      say(answer.error, { bad: true });
      return;
    }
    file.version = answer.version;
    drawing.saved = areas;
    changed();
    const time = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    say(`Saved at ${time} to ${answer.file}. Next:`, { code: answer.command });
  } catch {
    say("Not saved: the program in the terminal has ended. Keep your drawing with", { bad: true, more: download(areas) });
  }
}

// JSON is YAML: what is downloaded is a file that the programs read.
function download(areas) {
  const of = (kind) => JSON.parse(areas).filter((area) => area.kind === kind).map(({ name, polygon }) => ({ name, polygon }));
  const text = JSON.stringify({ size: drawing.size, look: of("look"), ignore: of("ignore") });
  const href = URL.createObjectURL(new Blob([text], { type: "application/octet-stream" }));
  return Object.assign(document.createElement("a"), { href, download: "regions.yaml", textContent: "this file" });
}

function agrees(text) {
  const dialog = element("question");
  element("question-text").textContent = text;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

function closeArea(how) {
  if (!drawing.closeDraft()) {
    say("An area needs at least 3 points.", { bad: true });
    return;
  }
  say("");
  // On a tablet the keyboard on the screen would hide the picture.
  if (how !== "touch") list.rename(drawing.area);
}

function cancel() {
  if (drawing.tool !== "select") drawing.chooseTool("select");
  else drawing.choose(drawing.point >= 0 ? drawing.area : -1);
}

function chooseTool(tool) {
  drawing.chooseTool(tool);
  view.stage.focus();
}

function showPlace(pixel) {
  element("place").textContent = pixel ? `${pixel[0]}, ${pixel[1]}` : "";
}

const parts = {
  drawing, view, scene, closeArea, cancel, save, chooseTool, showPlace,
  rename: () => drawing.chosen && list.rename(drawing.area),
};
listenToPointer(parts);
listenToKeyboard(parts);
const onClick = (id, act) => element(id).addEventListener("click", act);
for (const tool of ["select", "look", "ignore"]) onClick(`tool-${tool}`, () => chooseTool(tool));
onClick("undo", () => drawing.undo());
onClick("redo", () => drawing.redo());
onClick("zoom-in", () => view.zoom(1.25));
onClick("zoom-out", () => view.zoom(0.8));
onClick("zoom-full", () => view.zoom(1 / view.scale));
onClick("fit", () => view.fit());
onClick("save", save);
onClick("delete-point", () => drawing.deleteChosen());
onClick("close-area", () => closeArea(matchMedia("(pointer: coarse)").matches ? "touch" : "mouse"));
onClick("cancel-area", cancel);
addEventListener("beforeunload", (event) => {
  if (drawing.dirty) event.preventDefault();
});
element("keys").open = innerHeight > 640 && !matchMedia("(pointer: coarse)").matches;

try {
  const answer = await ask("drawing");
  if (answer.ok) {
    file = answer;
    element("title").textContent = file.picture.split("/").at(-1);
    element("facts").textContent = `${file.size[0]} × ${file.size[1]} pixels. Areas are saved to ${file.file}.`;
    view.size = file.size;
    element("picture").src = "picture";
    view.fit();
    drawing.load(file);
  } else stop(answer.error);
} catch {
  stop("The program in the terminal has ended. Start it again, and open the link that it shows.");
}

function stop(why) {
  document.querySelector("header").inert = view.stage.inert = true;
  element("empty").hidden = true;
  say(why, { bad: true });
}
