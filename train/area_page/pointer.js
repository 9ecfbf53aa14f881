// Mouse, pen and fingers on the stage.

import { middle } from "./drawing.js";

const SLOP = { mouse: 4, touch: 10 }; // pixels of the screen that a click may move
const USUAL_SLOP = 6;
const NEAR = 4; // a second click so near to the last point adds none

export function listenToPointer({ drawing, view, scene, closeArea, showPlace }) {
  const { stage } = view;
  const pointers = new Map(); // those that are down, with their place on the stage
  let lastType = "mouse";
  let gesture = null; // {start, target, act: null|"pan"|"point"}, of the first pointer

  const placeOf = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
  const pixelAt = (place) => drawing.inside(view.toPicture(place));

  stage.addEventListener("pointerdown", (event) => {
    if (event.button > 1) return;
    event.preventDefault();
    stage.focus({ preventScroll: true });
    stage.setPointerCapture(event.pointerId);
    const place = placeOf(event);
    lastType = event.pointerType;
    pointers.set(event.pointerId, place);
    if (pointers.size > 1) {
      // The second finger makes it a pinch: what the first began ends here.
      if (gesture?.act === "point") drawing.commit();
      gesture = null;
      return;
    }
    gesture = { start: place, target: event.target.dataset, act: null };
    if (event.button === 1) gesture.act = "pan";
  });

  stage.addEventListener("pointermove", (event) => {
    const place = placeOf(event);
    showPlace(view.has(place) ? pixelAt(place) : null);
    if (drawing.tool !== "select" && event.pointerType !== "touch") scene.cursor = pixelAt(place);
    const before = pointers.get(event.pointerId);
    if (before) {
      pointers.set(event.pointerId, place);
      if (pointers.size === 2) pinch(event.pointerId, before, place);
      else if (gesture) drag(event, before, place);
    }
    view.changed();
  });

  function drag(event, before, place) {
    if (gesture.act === null) {
      if (distance(place, gesture.start) <= (SLOP[event.pointerType] ?? USUAL_SLOP)) return;
      gesture.act = grabPoint() ? "point" : "pan";
      stage.classList.add("drags");
      before = gesture.start;
    }
    if (gesture.act === "point") drawing.movePoint(view.toPicture(place));
    else view.pan(place[0] - before[0], place[1] - before[1]);
  }

  // Begins to drag the point under the pointer, or a new one between two others; returns whether there is one.
  function grabPoint() {
    const { point, middle: between } = gesture.target;
    if (point === undefined && between === undefined) return false;
    drawing.begin();
    if (point !== undefined) drawing.choose(drawing.area, Number(point));
    else drawing.insertPoint(Number(between), view.toPicture(gesture.start));
    return true;
  }

  function pinch(moved, before, place) {
    const [, other] = [...pointers].find(([id]) => id !== moved);
    const factor = Math.max(distance(place, other), 1) / Math.max(distance(before, other), 1);
    view.zoom(factor, middle(before, other));
    view.pan((place[0] - before[0]) / 2, (place[1] - before[1]) / 2);
  }

  const end = (event) => {
    const place = pointers.get(event.pointerId);
    pointers.delete(event.pointerId);
    stage.classList.remove("drags");
    if (!gesture || !place) return;
    const { act, target } = gesture;
    gesture = null;
    if (act === "point") drawing.commit();
    else if (act === null && event.type === "pointerup") click(event, target, place);
  };
  stage.addEventListener("pointerup", end);
  stage.addEventListener("pointercancel", end);
  stage.addEventListener("pointerleave", () => showPlace(null));

  function click(event, target, place) {
    if (drawing.tool !== "select") {
      const last = drawing.draft.at(-1);
      if (target.close !== undefined) closeArea(event.pointerType);
      else if (!last || distance(view.toStage(last), place) > NEAR) drawing.addToDraft(view.toPicture(place));
    } else if (target.point !== undefined) drawing.choose(drawing.area, Number(target.point));
    else if (target.middle !== undefined) {
      drawing.change(() => drawing.insertPoint(Number(target.middle), view.toPicture(place)));
    } else drawing.choose(target.area === undefined ? -1 : Number(target.area));
  }

  stage.addEventListener("dblclick", (event) => {
    if (drawing.tool !== "select") closeArea(lastType);
  });
  stage.addEventListener("contextmenu", (event) => event.preventDefault());
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    const turned = Math.min(Math.max(event.deltaY * lines, -200), 200);
    view.zoom(Math.exp(-turned * (event.ctrlKey ? 0.01 : 0.002)), placeOf(event));
  }, { passive: false });
}
