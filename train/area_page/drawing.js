// The areas, the one that is being drawn, what is chosen, and the history of changes.

export class Drawing {
  // `changed` is called after every change of the areas, the choice or the tool.
  constructor(changed) {
    this.changed = changed;
    this.size = [0, 0];
    this.areas = []; // {kind, name, polygon: [[x, y], ...]}
    this.draft = []; // points of the area that is being drawn
    this.draftKind = "look";
    this.tool = "select"; // or look, ignore
    this.area = -1; // index of the chosen area
    this.point = -1; // index of its chosen point
    this.past = [];
    this.future = [];
    this.before = null;
    this.saved = "[]";
  }

  load({ size, areas }) {
    Object.assign(this, { size, areas, saved: JSON.stringify(areas) });
    this.changed();
  }

  get dirty() {
    return this.draft.length > 0 || JSON.stringify(this.areas) !== this.saved;
  }

  get chosen() {
    return this.areas[this.area];
  }

  // A gesture such as a drag is one step of the history: begin, any number of changes, commit.
  begin() {
    this.commit();
    this.before = this.snapshot();
  }

  commit() {
    if (this.before === null) return;
    if (this.before !== this.snapshot()) {
      this.past.push(this.before);
      this.future = [];
    }
    this.before = null;
    this.changed();
  }

  change(edit) {
    this.begin();
    edit();
    this.commit();
  }

  undo() {
    this.step(this.past, this.future);
  }

  redo() {
    this.step(this.future, this.past);
  }

  step(from, to) {
    this.commit();
    if (!from.length) return;
    to.push(this.snapshot());
    Object.assign(this, JSON.parse(from.pop()));
    if (this.draft.length) this.tool = this.draftKind;
    this.choose(this.area < this.areas.length ? this.area : -1);
  }

  snapshot() {
    const { areas, draft, draftKind } = this;
    return JSON.stringify(draft.length ? { areas, draft, draftKind } : { areas, draft });
  }

  choose(area, point = -1) {
    this.area = area;
    this.point = point;
    this.changed();
  }

  chooseTool(tool) {
    this.change(() => {
      if (tool === "select") this.draft = [];
      else this.draftKind = tool;
      this.tool = tool;
    });
    if (tool !== "select") this.choose(-1);
  }

  // Whole pixels inside the picture.
  inside([x, y]) {
    const limit = (value, size) => Math.min(Math.max(Math.floor(value), 0), size - 1);
    return [limit(x, this.size[0]), limit(y, this.size[1])];
  }

  addToDraft(place) {
    const point = this.inside(place);
    const last = this.draft.at(-1);
    if (!last || !same(last, point)) this.change(() => this.draft.push(point));
  }

  // Returns whether the draft has become an area.
  closeDraft() {
    if (this.draft.length < 3) return false;
    this.change(() => {
      const used = new Set(this.areas.map((area) => area.name));
      let number = 1;
      while (used.has(`${this.draftKind}-${number}`)) number++;
      this.areas.push({ kind: this.draftKind, name: `${this.draftKind}-${number}`, polygon: this.draft });
      this.draft = [];
      this.tool = "select";
    });
    this.choose(this.areas.length - 1);
    return true;
  }

  // Puts a point behind the one of that index.
  insertPoint(index, place) {
    this.chosen.polygon.splice(index + 1, 0, this.inside(place));
    this.choose(this.area, index + 1);
  }

  movePoint(place) {
    this.chosen.polygon[this.point] = this.inside(place);
    this.changed();
  }

  // Moves the chosen area, as far as all of it stays inside the picture.
  moveArea(dx, dy) {
    const shift = (axis, wanted) => {
      const values = this.chosen.polygon.map((point) => point[axis]);
      return Math.min(Math.max(wanted, -Math.min(...values)), this.size[axis] - 1 - Math.max(...values));
    };
    const [x, y] = [shift(0, dx), shift(1, dy)];
    this.chosen.polygon = this.chosen.polygon.map((point) => [point[0] + x, point[1] + y]);
    this.changed();
  }

  // Deletes the chosen point, or the chosen area where no point is chosen or three are left.
  deleteChosen() {
    if (!this.chosen) return;
    if (this.point >= 0 && this.chosen.polygon.length > 3) {
      this.change(() => {
        this.chosen.polygon.splice(this.point, 1);
        this.point %= this.chosen.polygon.length;
      });
    } else if (this.point < 0) {
      this.deleteArea(this.area);
    }
  }

  deleteArea(index) {
    this.change(() => {
      this.areas.splice(index, 1);
      this.area = this.point = -1;
    });
  }
}

export function same(a, b) {
  return a[0] === b[0] && a[1] === b[1];
}

export function middle([ax, ay], [bx, by]) {
  return [(ax + bx) / 2, (ay + by) / 2];
}
