// Which part of the picture the stage shows: a scale, and where the picture's corner lies on the stage.

const LARGEST = 40;
const MARGIN = 16;

export class View {
  constructor(stage, changed) {
    this.stage = stage;
    this.changed = changed;
    this.size = [1, 1];
    this.scale = 1;
    this.left = 0;
    this.top = 0;
    this.fitted = true;
    new ResizeObserver(() => (this.fitted ? this.fit() : this.changed())).observe(stage);
  }

  get width() {
    return this.stage.clientWidth;
  }

  get height() {
    return this.stage.clientHeight;
  }

  get fitScale() {
    const across = (this.width - 2 * MARGIN) / this.size[0];
    const down = (this.height - 2 * MARGIN) / this.size[1];
    return Math.max(Math.min(across, down, LARGEST), 0.001);
  }

  fit() {
    this.scale = this.fitScale;
    this.left = (this.width - this.size[0] * this.scale) / 2;
    this.top = (this.height - this.size[1] * this.scale) / 2;
    this.fitted = true;
    this.changed();
  }

  // Scales about a place on the stage, which stays where it is.
  zoom(factor, [x, y] = [this.width / 2, this.height / 2]) {
    const smallest = Math.min(this.fitScale / 2, 1);
    const scale = Math.min(Math.max(this.scale * factor, smallest), LARGEST);
    this.left = x - ((x - this.left) * scale) / this.scale;
    this.top = y - ((y - this.top) * scale) / this.scale;
    this.scale = scale;
    this.pan(0, 0);
  }

  // Some of the picture always stays on the stage.
  pan(dx, dy) {
    const limit = (corner, length, room) => Math.min(Math.max(corner, 60 - length), room - 60);
    this.left = limit(this.left + dx, this.size[0] * this.scale, this.width);
    this.top = limit(this.top + dy, this.size[1] * this.scale, this.height);
    this.fitted = false;
    this.changed();
  }

  // A pixel is a square; its point is drawn in the middle.
  toStage([x, y]) {
    return [this.left + (x + 0.5) * this.scale, this.top + (y + 0.5) * this.scale];
  }

  toPicture([x, y]) {
    return [(x - this.left) / this.scale, (y - this.top) / this.scale];
  }

  has(place) {
    return this.toPicture(place).every((value, axis) => value >= 0 && value < this.size[axis]);
  }

  get centre() {
    return this.toPicture([this.width / 2, this.height / 2]);
  }

  show(point) {
    const [x, y] = this.toStage(point);
    const past = (value, room) => (value < 20 ? 20 - value : value > room - 20 ? room - 20 - value : 0);
    const [dx, dy] = [past(x, this.width), past(y, this.height)];
    if (dx || dy) this.pan(dx, dy);
  }
}
