// The picture and the areas as they are drawn on the stage.

import { middle } from "./drawing.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
const TOUCHED = matchMedia("(pointer: coarse)").matches ? 22 : 11;

function shape(tag, attributes, text = "") {
  const element = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

export class Scene {
  constructor(drawing, view) {
    this.drawing = drawing;
    this.view = view;
    this.picture = document.getElementById("picture");
    this.shapes = document.getElementById("shapes");
    this.stage = view.stage;
    this.cursor = null; // where the cross is, in pixels of the picture
    this.wrong = new Set(); // indices of areas that cannot be saved
  }

  render() {
    const { drawing, view } = this;
    this.picture.style.transform = `translate(${view.left}px, ${view.top}px) scale(${view.scale})`;
    this.picture.classList.toggle("enlarged", view.scale >= 3);
    this.stage.classList.toggle("draws", drawing.tool !== "select");
    this.stage.classList.toggle("moves", drawing.tool === "select");
    const order = drawing.areas.map((area, index) => index).sort((a, b) => (a === drawing.area) - (b === drawing.area));
    this.shapes.replaceChildren(
      ...order.flatMap((index) => this.area(index)),
      ...drawing.areas.map((area) => this.label(area)),
      ...(drawing.chosen ? this.handles(drawing.chosen) : []),
      ...(drawing.tool === "select" ? [] : this.draft()),
    );
  }

  points(polygon) {
    return polygon.map((point) => this.view.toStage(point).map((value) => value.toFixed(1)).join()).join(" ");
  }

  area(index) {
    const { kind, polygon } = this.drawing.areas[index];
    const points = this.points(polygon);
    const classes = ["area", kind];
    if (index === this.drawing.area) classes.push("chosen");
    if (this.wrong.has(index)) classes.push("wrong");
    return [
      shape("polygon", { class: "casing", points }),
      shape("polygon", { class: classes.join(" "), points, "data-area": index }),
    ];
  }

  label({ name, polygon }) {
    const highest = polygon.reduce((best, point) => (point[1] < best[1] ? point : best));
    const [x, y] = this.view.toStage(highest);
    return shape("text", { class: "label", x: x + 6, y: Math.max(y - 9, 14) }, name);
  }

  handles({ kind, polygon }) {
    const found = [];
    const circle = (place, classes, radius, data) => {
      const [cx, cy] = this.view.toStage(place);
      found.push(shape("circle", { class: "touch", cx, cy, r: TOUCHED, ...data }));
      found.push(shape("circle", { class: `handle ${kind} ${classes}`, cx, cy, r: radius, ...data }));
    };
    polygon.forEach((point, index) => {
      const following = polygon[(index + 1) % polygon.length];
      const length = Math.hypot(following[0] - point[0], following[1] - point[1]) * this.view.scale;
      if (length > 3 * TOUCHED) circle(middle(point, following), "middle", 4, { "data-middle": index });
    });
    const numbered = this.wrong.has(this.drawing.area); // what is wrong with it names points by number
    polygon.forEach((point, index) => {
      circle(point, index === this.drawing.point ? "chosen" : "", 6, { "data-point": index });
      const [x, y] = this.view.toStage(point);
      if (numbered) found.push(shape("text", { class: "label number", x: x + 9, y: y + 16 }, index + 1));
    });
    return found;
  }

  draft() {
    const { draft, draftKind: kind } = this.drawing;
    const found = [];
    if (draft.length) {
      const line = this.cursor ? [...draft, this.cursor] : draft;
      found.push(shape("polygon", { class: `area draft ${kind}`, points: this.points(draft) }));
      found.push(shape("polyline", { class: "casing", points: this.points(line) }));
      found.push(shape("polyline", { class: `rubber ${kind}`, points: this.points(line) }));
      draft.forEach((point, index) => {
        const [cx, cy] = this.view.toStage(point);
        const first = index === 0 && draft.length > 2;
        const data = first ? { "data-close": "" } : {};
        if (first) found.push(shape("circle", { class: "touch", cx, cy, r: TOUCHED, ...data }));
        found.push(shape("circle", { class: `handle ${kind}`, cx, cy, r: first ? 8 : 5, ...data }));
      });
    }
    if (this.cursor) {
      const [x, y] = this.view.toStage(this.cursor);
      found.push(shape("path", { class: "cross", d: `M${x - 14} ${y}h28M${x} ${y - 14}v28` }));
    }
    return found;
  }
}
