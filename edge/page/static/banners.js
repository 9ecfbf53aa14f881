// Says at once when the picture on the screen is old, and how old.

import { make, renderEach, setText } from "./elements.js";
import { duration, time } from "./formats.js";
import { icon } from "./icons.js";
import { say } from "./texts.js";

export class Banners {
  constructor(element, line, stream, labels) {
    Object.assign(this, { element, line, stream, labels });
  }

  render() {
    const { line, stream } = this;
    const at = (moment) => (line.loaded ? time(line.now - (performance.now() - moment), line.now) : "–");
    const texts = [];
    if (stream.lostAt !== null) {
      const lost = Math.round((performance.now() - stream.lostAt) / 1000);
      texts.push(["server", say("banner.server", { duration: duration(lost), time: at(stream.lostAt) })]);
    } else if (!line.broker) texts.push(["broker", say("banner.broker", { time: at(line.heardAt) })]);
    const count = this.labels.pending;
    if (count && this.labels.delayed) texts.push(["pending", say("banner.pending", { count })]);
    document.body.classList.toggle("old", stream.lostAt !== null || !line.broker);
    renderEach(this.element, texts, ([key]) => key, makeBanner, ({ text }, [, said]) => setText(text, said));
    this.#announce(texts);
  }

  // A screen reader says a banner once, and not again each second as its age grows.
  #announce(texts) {
    const keys = texts.map(([key]) => key).join();
    if (keys === this.announced) return;
    this.announced = keys;
    document.getElementById("announcements").textContent = texts.map(([, said]) => said).join(" ");
  }
}

function makeBanner() {
  const text = make("span");
  return { element: make("p", { class: "banner" }, icon("warn"), text), text };
}
