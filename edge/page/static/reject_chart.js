// The share of rejected parts in this shift, against its upper control limit.

import { make, setAttribute, setHidden, setText } from "./elements.js";
import { percent } from "./formats.js";
import { say } from "./texts.js";

const SMALLEST_SCALE = 0.02; // the chart shows at least 0 to 2 %

export class RejectChart {
  constructor() {
    this.name = make("span", { class: "soft share-name", text: say("shift.card") });
    this.share = make("span", { class: "share" });
    this.word = make("span", { class: "share-word" });
    this.band = make("div", { class: "band" });
    this.mark = make("div", { class: "mark" });
    this.chart = make("div", { class: "reject-chart", role: "img" }, this.band, this.mark);
    this.limits = make("span", { class: "soft" });
    this.counts = make("span", { class: "soft" });
    this.element = make(
      "div",
      { class: "rejects" },
      this.name,
      make("div", { class: "share-line" }, this.share, this.word),
      this.chart,
      make("div", { class: "share-line" }, this.limits, this.counts),
    );
  }

  render({ inspected, rejected, share, high }) {
    const known = share !== null && share !== undefined;
    const limited = known && high !== null;
    const side = !limited ? "" : share > high ? "above" : "within";
    setAttribute(this.element, "data-side", side);
    setText(this.share, known ? percent(share) : "–");
    setText(this.word, known ? (side ? say(`shift.${side}`) : "") : say("shift.none"));
    setText(this.counts, say("shift.counts", { rejected, inspected }));
    setText(this.limits, limited ? say("shift.limits", { high: percent(high) }) : "");
    setHidden(this.chart, !limited);
    if (!limited) return;
    const scale = Math.min(1, Math.max(SMALLEST_SCALE, 1.25 * high, 1.1 * share));
    const place = (value) => `${((100 * value) / scale).toFixed(2)}%`;
    this.band.style.width = place(high);
    this.mark.style.left = place(share);
    setAttribute(this.chart, "aria-label", say("shift.chart", { share: percent(share), high: percent(high) }));
  }
}
