// The picture of a part, with its map in register over it and its regions as rectangles.

import { make, makeSvg, renderEach, setAttribute, setHidden, setText } from "./elements.js";
import { partName, verdictOf } from "./condition.js";
import { score } from "./formats.js";
import { mapAddress, pictureAddress } from "./requests.js";
import { say } from "./texts.js";

const PAUSE = 350; // ms between two pictures, so that a quick line costs no more than three a second
const WIDTHS = [320, 640, 960, 1280, 1920];
const ENLARGED = 3;

export class PartPicture {
  constructor() {
    this.picture = make("img", { class: "layer", alt: "", draggable: "false" });
    this.map = make("img", { class: "layer map", alt: "" });
    this.regions = makeSvg("svg", { class: "layer regions", preserveAspectRatio: "none" });
    this.stack = make("div", { class: "stack", hidden: true }, this.picture, this.map, this.regions);
    this.message = make("p", { class: "no-picture" });
    this.mapButton = toggle("map", () => this.toggleMap());
    this.regionsButton = toggle("regions", () => this.toggleRegions());
    this.largeButton = toggle("large", () => this.toggleLarge());
    this.tools = make("div", { class: "picture-tools" }, this.mapButton, this.regionsButton, this.largeButton);
    this.stage = make("div", { class: "stage" }, this.stack, this.message);
    this.element = make("div", { class: "part-picture" }, this.stage, this.tools);
    this.withMap = true;
    this.withRegions = true;
    this.large = false;
    this.shown = ""; // address of the picture in the stack
    this.wanted = null; // {station, part} that shall be shown
    this.busy = false;
    this.#renderTools();
  }

  // Shows a part. While a picture loads the one before stays, and of several that are asked for only the last is loaded.
  show(station, part) {
    this.wanted = { station, part };
    if (!part?.picture) this.#showNone(part);
    else if (!this.busy) this.#load();
    else if (this.part?.id === part.id) this.#renderOver(); // its map or its regions came later
  }

  toggleMap() {
    this.withMap = !this.withMap;
    this.#renderTools();
    this.#renderOver();
  }

  toggleRegions() {
    this.withRegions = !this.withRegions;
    this.#renderTools();
  }

  toggleLarge() {
    this.large = !this.large;
    this.#renderTools();
    this.#renderLarge();
  }

  // Handles M, R and E; returns whether the key was one of them.
  press(key) {
    const act = { m: () => this.toggleMap(), r: () => this.toggleRegions(), e: () => this.toggleLarge() }[key];
    act?.();
    return act !== undefined;
  }

  #showNone(part) {
    this.part = null;
    this.shown = "";
    setHidden(this.stack, true);
    setHidden(this.message, false);
    setText(this.message, say(part ? "picture.none" : "picture.none_yet"));
  }

  async #load() {
    const { station, part } = this.wanted;
    const address = pictureAddress(station, part.id, this.width);
    if (this.shown === address) {
      this.part = part;
      this.#renderOver();
      return;
    }
    this.busy = true;
    const loaded = await load(address);
    // Pressing through a queue is not slowed down; following a quick line is.
    if (this.wanted.part?.id === part.id) {
      if (loaded) this.#showLoaded(address, station, part);
      else {
        this.#showNone(part);
        setText(this.message, say("picture.failed"));
        this.shown = address; // not asked for again
      }
    }
    const next = () => {
      this.busy = false;
      const { part: wanted } = this.wanted;
      if (wanted?.picture && wanted.id !== part.id) this.#load();
    };
    if (this.wanted.part?.id !== part.id) next();
    else setTimeout(next, this.pause ?? PAUSE);
  }

  #showLoaded(address, station, part) {
    Object.assign(this, { shown: address, part, station });
    this.picture.src = address; // in the browser's cache
    this.stack.style.setProperty("--ratio", part.frame.width / part.frame.height);
    this.stack.dataset.part = part.id;
    setAttribute(this.picture, "alt", say("picture.alt", { part: partName(part), verdict: verdictOf(part).word }));
    setHidden(this.stack, false);
    setHidden(this.message, true);
    this.#renderOver();
    this.#renderLarge();
  }

  #renderOver() {
    const { part, station } = this;
    if (!part) return;
    const address = part.map && this.withMap ? mapAddress(station, part.id) : null;
    if (this.map.getAttribute("src") !== address) setAttribute(this.map, "src", address);
    setHidden(this.map, address === null);
    setAttribute(this.regions, "viewBox", `0 0 ${part.frame.width} ${part.frame.height}`);
    const regions = (part.regions ?? []).map((region, index) => ({ ...region, index }));
    renderEach(this.regions, regions, (region) => `${region.index} ${region.bbox}`, makeRegion, updateRegion);
  }

  // Enlarges around the worst region, or around the middle where there is none.
  #renderLarge() {
    const worst = this.part?.regions?.[0];
    const { width, height } = this.part?.frame ?? { width: 1, height: 1 };
    const [x, y] = worst ? worst.centroid : [width / 2, height / 2];
    this.stack.style.transformOrigin = `${(100 * x) / width}% ${(100 * y) / height}%`;
    this.stack.style.transform = this.large ? `scale(${ENLARGED})` : "";
  }

  #renderTools() {
    setAttribute(this.mapButton, "aria-pressed", String(this.withMap));
    setAttribute(this.regionsButton, "aria-pressed", String(this.withRegions));
    setAttribute(this.largeButton, "aria-pressed", String(this.large));
    this.regions.classList.toggle("off", !this.withRegions);
  }

  get width() {
    const wanted = (this.stage.clientWidth || 640) * devicePixelRatio * (this.large ? ENLARGED : 1);
    return WIDTHS.find((width) => width >= wanted) ?? WIDTHS.at(-1);
  }
}

function toggle(name, act) {
  return make("button", { click: act, title: say(`picture.${name}_help`), text: say(`picture.${name}`), "aria-pressed": "true" });
}

// Loads and decodes a picture; returns whether there is one.
export async function load(address) {
  const image = new Image();
  image.src = address;
  return image.decode().then(
    () => true,
    () => false,
  );
}

function makeRegion() {
  const title = makeSvg("title");
  const casing = makeSvg("rect", { class: "casing" });
  const line = makeSvg("rect", { class: "line" });
  return { element: makeSvg("g", {}, title, casing, line), title, rects: [casing, line] };
}

function updateRegion({ title, rects }, { bbox: [x, y, width, height], peak, area_name: area }) {
  for (const rect of rects) {
    setAttribute(rect, "x", x);
    setAttribute(rect, "y", y);
    setAttribute(rect, "width", width);
    setAttribute(rect, "height", height);
  }
  setText(title, say("picture.region", { area: area ?? "–", peak: score(peak) }));
}
