// The keyboard. The panel of the page lists the keys.

import { middle } from "./drawing.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function listenToKeyboard({ drawing, view, scene, closeArea, cancel, rename, save, chooseTool, showPlace }) {
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    const typing = event.target.matches("input, select");
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const act = event.ctrlKey || event.metaKey ? withControl(key, event.shiftKey, typing) : alone(key, event, typing);
    if (!act) return;
    event.preventDefault();
    act();
  });

  function withControl(key, shift, typing) {
    if (key === "s") return save;
    if (typing) return null;
    if (key === "z") return () => (shift ? drawing.redo() : drawing.undo());
    return key === "y" ? () => drawing.redo() : null;
  }

  function alone(key, event, typing) {
    if (typing || event.altKey) return null;
    const onStage = event.target === view.stage || event.target === document.body;
    const step = event.shiftKey ? 10 : 1;
    if (onStage && key in ARROWS) return () => move(ARROWS[key].map((value) => value * step));
    if (onStage && drawing.tool !== "select" && [" ", "Enter", "Backspace"].includes(key)) return () => draw(key);
    const turn = event.shiftKey ? -1 : 1;
    return {
      v: () => chooseTool("select"),
      l: () => chooseTool("look"),
      i: () => chooseTool("ignore"),
      a: () => chooseNextArea(turn),
      n: () => chooseNextPoint(turn),
      m: addPoint,
      r: rename,
      k: changeKind,
      Delete: () => drawing.deleteChosen(),
      Backspace: () => drawing.deleteChosen(),
      Escape: cancel,
      "+": () => view.zoom(1.25),
      "=": () => view.zoom(1.25),
      "-": () => view.zoom(0.8),
      0: () => view.fit(),
      1: () => view.zoom(1 / view.scale),
    }[key];
  }

  function move([dx, dy]) {
    if (drawing.tool !== "select") {
      const [x, y] = scene.cursor ?? drawing.inside(view.centre);
      scene.cursor = drawing.inside([x + dx, y + dy]);
      showPlace(scene.cursor);
      view.show(scene.cursor);
      view.changed();
    } else if (drawing.chosen && drawing.point >= 0) {
      const [x, y] = drawing.chosen.polygon[drawing.point];
      drawing.change(() => drawing.movePoint([x + dx, y + dy]));
      view.show(drawing.chosen.polygon[drawing.point]);
    } else if (drawing.chosen) {
      drawing.change(() => drawing.moveArea(dx, dy));
    } else view.pan(-40 * Math.sign(dx), -40 * Math.sign(dy));
  }

  function draw(key) {
    if (key === "Enter") closeArea("keyboard");
    else if (key === "Backspace") drawing.undo();
    else {
      scene.cursor ??= drawing.inside(view.centre);
      drawing.addToDraft(scene.cursor);
    }
  }

  function chooseNextArea(turn) {
    const count = drawing.areas.length;
    if (!count || drawing.tool !== "select") return;
    drawing.choose(drawing.area < 0 ? (turn > 0 ? 0 : count - 1) : (drawing.area + turn + count) % count);
  }

  function chooseNextPoint(turn) {
    if (!drawing.chosen) return;
    const { length } = drawing.chosen.polygon;
    drawing.choose(drawing.area, drawing.point < 0 ? (turn > 0 ? 0 : length - 1) : (drawing.point + turn + length) % length);
    view.show(drawing.chosen.polygon[drawing.point]);
  }

  function addPoint() {
    if (!drawing.chosen || drawing.point < 0) return;
    const { polygon } = drawing.chosen;
    const following = polygon[(drawing.point + 1) % polygon.length];
    drawing.change(() => drawing.insertPoint(drawing.point, middle(polygon[drawing.point], following)));
  }

  function changeKind() {
    if (drawing.chosen) drawing.change(() => (drawing.chosen.kind = drawing.chosen.kind === "look" ? "ignore" : "look"));
  }
}
