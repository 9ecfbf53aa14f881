// Scores against their threshold, which is always in the middle: the eye learns where it is.

import { make, makeSvg, setAttribute, setText } from "./elements.js";
import { score } from "./formats.js";
import { say } from "./texts.js";

// Share of the chart that a score fills: the threshold fills half, twice the threshold all.
function filled(part) {
  return part.threshold > 0 ? Math.min(Math.max(part.score / (2 * part.threshold), 0), 1) : 0;
}

// The score of one part as a bar.
export class ScoreBar {
  constructor() {
    this.fill = make("div", { class: "fill" });
    this.value = make("span", { class: "value" });
    this.threshold = make("span", { class: "soft" });
    this.bar = make("div", { class: "score-bar", role: "img" }, this.fill, make("div", { class: "threshold" }));
    this.element = make(
      "div",
      { class: "score" },
      make("div", { class: "share-line" }, make("span", {}, make("span", { class: "soft", text: `${say("score.label")} ` }), this.value), this.threshold),
      this.bar,
    );
  }

  render(part) {
    const values = { score: score(part.score), threshold: score(part.threshold) };
    setText(this.value, values.score);
    setText(this.threshold, say("score.threshold", values));
    setAttribute(this.fill, "class", part.rejected ? "fill above" : "fill");
    this.fill.style.width = `${100 * filled(part)}%`;
    setAttribute(this.bar, "aria-label", say("score.bar", values));
  }
}

const SLOTS = 24;
const HIGH = 40; // height of the chart, in its own units
const STEP = 10;

// The scores of the last parts, the newest on the right.
export class ScoreTrend {
  constructor() {
    this.below = makeSvg("path", { class: "below" });
    this.above = makeSvg("path", { class: "above" });
    this.element = makeSvg(
      "svg",
      { class: "score-trend", viewBox: `0 0 ${SLOTS * STEP} ${HIGH}`, preserveAspectRatio: "none", role: "img" },
      this.below,
      this.above,
      makeSvg("rect", { class: "threshold", x: 0, y: HIGH / 2 - 0.5, width: SLOTS * STEP, height: 1 }),
    );
  }

  render(parts) {
    const shown = parts.slice(0, SLOTS);
    const draw = (rejected) =>
      shown
        .map((part, index) => {
          if (part.rejected !== rejected) return "";
          const height = part.not_found ? HIGH : Math.max(1, HIGH * filled(part)); // a part that is not found has no score
          return `M${(SLOTS - 1 - index) * STEP + 1} ${HIGH}v${-height.toFixed(1)}h${STEP - 2}v${height.toFixed(1)}z`;
        })
        .join("");
    setAttribute(this.below, "d", draw(false));
    setAttribute(this.above, "d", draw(true));
    setAttribute(this.element, "aria-label", say("score.trend", { count: shown.filter((part) => part.rejected).length }));
  }
}
