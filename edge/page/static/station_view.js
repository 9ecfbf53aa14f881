// One station large: its condition, its last parts, and the commands.

import { AlarmList } from "./alarm_list.js";
import { Badge } from "./badge.js";
import { CommandPanel } from "./command_panel.js";
import { alarmsOf, conditionOf, partName, verdictOf } from "./condition.js";
import { make, setAttribute, setHidden, setText } from "./elements.js";
import { FigureTable } from "./figure_table.js";
import { ago, minute, time } from "./formats.js";
import { icon } from "./icons.js";
import { PartPicture } from "./part_picture.js";
import { PartStrip } from "./part_strip.js";
import { RejectChart } from "./reject_chart.js";
import { ScoreBar, ScoreTrend } from "./score_chart.js";
import { say } from "./texts.js";

export class StationView {
  constructor(line, key) {
    Object.assign(this, { line, key, title: key.split("/").at(-1) });
    this.held = null; // the part that the person has chosen
    this.onlyRejects = false;
    this.condition = new Badge("huge");
    this.detail = make("span", { class: "soft" });
    this.alarms = new AlarmList(say("alarm.label"));
    this.picture = new PartPicture();
    this.strip = new PartStrip(say("strip.title"), (part) => this.#hold(part));
    this.last = new PartPanel(say("station.last_part"), say("station.no_part"));
    this.reject = new PartPanel(say("station.last_reject"), say("station.no_reject"), (part) => this.#hold(part));
    this.rejects = new RejectChart();
    this.shiftTitle = make("h2");
    this.trend = new ScoreTrend();
    this.figures = new FigureTable();
    this.commands = new CommandPanel((id) => this.#showSnapshot(id));
    this.#build();
  }

  #build() {
    this.caption = make("div", { class: "caption" });
    this.captionVerdict = new Badge("medium");
    this.captionText = make("span");
    this.captionState = make("span", { class: "soft" });
    this.follow = make("button", { click: () => this.#release(), title: say("picture.follow_help"), text: say("picture.follow") });
    this.caption.append(this.captionVerdict.element, this.captionText, this.captionState, this.follow);
    this.all = make("button", { click: () => this.#filter(false), text: say("strip.all") });
    this.only = make("button", { click: () => this.#filter(true), text: say("strip.rejected") });
    this.picture.tools.append(make("a", { class: "button", href: `#/review/${this.key.split("/").map(encodeURIComponent).join("/")}`, text: say("station.review") }));
    this.picture.tools.append(make("div", { class: "group", role: "group", "aria-label": say("strip.title") }, this.all, this.only));
    this.gone = make("p", { class: "panel", text: say("station.gone", { name: this.key }), hidden: true });
    this.body = make(
      "div",
      { class: "station" },
      make(
        "section",
        { class: "station-picture panel", "aria-label": say("strip.title") },
        this.caption,
        this.picture.element,
        this.strip.element,
      ),
      make(
        "div",
        { class: "station-side" },
        make("section", { class: "panel pair" }, this.last.element, this.reject.element),
        make("section", { class: "panel" }, this.shiftTitle, this.rejects.element, this.trend.element),
        this.commands.element,
        this.figures.element,
      ),
    );
    const back = make("a", { class: "back", href: "#/", title: say("station.back"), "aria-label": say("station.back") }, icon("previous"));
    const head = make("div", { class: "station-head" }, back, make("h1", { text: this.title }), this.condition.element, this.detail);
    this.element = make("div", { class: "view" }, head, this.alarms.element, this.gone, this.body);
    this.#filter(false);
  }

  render() {
    const station = this.line.stations.get(this.key);
    setHidden(this.gone, station !== undefined || !this.line.loaded);
    setHidden(this.body, !station);
    if (!station) return;
    const condition = conditionOf(station, this.line);
    this.condition.render(condition);
    setText(this.detail, condition.detail);
    this.alarms.render(alarmsOf(station));
    this.last.render(station.parts[0], this.line);
    this.reject.render(station.rejects[0], this.line);
    setText(this.shiftTitle, say("shift.title", { since: station.shift?.since ? minute(station.shift.since) : "–" }));
    this.rejects.render(station.shift);
    this.trend.render(station.parts);
    this.commands.render(station);
    this.figures.render(station);
    this.#renderPicture(station);
  }

  #renderPicture(station) {
    const newest = station.parts.find((part) => part.picture) ?? station.rejects.find((part) => part.picture);
    const held = this.held && ([...station.parts, ...station.rejects].find((part) => part.id === this.held.id) ?? this.held);
    const shown = held ?? newest;
    this.picture.show(this.key, shown);
    setHidden(this.caption, !shown);
    if (shown) {
      this.captionVerdict.render(verdictOf(shown));
      setText(this.captionText, `${partName(shown)} · ${time(shown.decided_at, this.line.now)}`);
      setText(this.captionState, say(held ? "picture.held" : "picture.following"));
      setHidden(this.follow, !held);
    }
    this.strip.render(this.onlyRejects ? station.rejects : station.parts, shown?.id, () => this.key);
  }

  press(event) {
    const key = event.key.toLowerCase();
    if (this.picture.press(key)) return true;
    if (key === "escape") this.#release();
    else if (key === "arrowleft" || key === "arrowright") this.#step(key === "arrowleft" ? -1 : 1);
    else return false;
    return true;
  }

  close() {
    this.strip.close();
  }

  #hold(part) {
    this.held = part;
    this.render();
  }

  #release() {
    this.held = null;
    this.render();
  }

  #filter(onlyRejects) {
    this.onlyRejects = onlyRejects;
    setAttribute(this.all, "aria-pressed", String(!onlyRejects));
    setAttribute(this.only, "aria-pressed", String(onlyRejects));
    this.render();
  }

  // The next older or newer part of the strip.
  #step(by) {
    const station = this.line.stations.get(this.key);
    const parts = this.onlyRejects ? station?.rejects : station?.parts;
    if (!parts?.length) return;
    const at = parts.findIndex((part) => part.id === this.held?.id);
    this.#hold(parts[Math.min(Math.max(at + by, 0), parts.length - 1)]);
    this.strip.scrollTo(this.held.id);
  }

  #showSnapshot(id) {
    const station = this.line.stations.get(this.key);
    const like = station?.parts[0];
    const frame = like?.frame ?? { width: 4, height: 3 };
    this.#hold({ ...like, id, part_id: say("picture.snapshot"), frame, picture: true, map: false, regions: [], rejected: false, shadow: false, decided_at: this.line.now, score: 0, threshold: 0 });
  }
}

// The verdict on a part in words, with its score. It never flashes: only words and a bar change.
class PartPanel {
  constructor(title, none, show = null) {
    this.none = none;
    this.verdict = new Badge("huge");
    this.text = make("p", { class: "soft" });
    this.why = make("p", { class: "why" });
    this.bar = new ScoreBar();
    this.button = show && make("button", { click: () => show(this.part), text: say("station.show_part") });
    this.element = make("div", { class: "part-panel" }, make("h2", { text: title }), this.verdict.element, this.why, this.text, this.bar.element, this.button);
  }

  render(part, line) {
    this.part = part;
    for (const element of [this.verdict.element, this.bar.element, this.button]) if (element) setHidden(element, !part);
    setHidden(this.why, true);
    if (!part) {
      setText(this.text, this.none);
      return;
    }
    const verdict = verdictOf(part);
    this.verdict.render(verdict);
    setText(this.why, verdict.why);
    setHidden(this.why, !verdict.why);
    setText(this.text, `${partName(part)} · ${ago(line.secondsSince(part.decided_at))}`);
    setHidden(this.bar.element, Boolean(part.not_found));
    this.bar.render(part);
  }
}
