// All stations at a glance.

import { AlarmList } from "./alarm_list.js";
import { Badge } from "./badge.js";
import { alarmsOf, conditionOf, verdictOf } from "./condition.js";
import { make, renderEach, setAttribute, setHidden, setText } from "./elements.js";
import { FleetTable } from "./fleet_table.js";
import { ago } from "./formats.js";
import { RejectChart } from "./reject_chart.js";
import { stationAddress } from "./route.js";
import { ScoreTrend } from "./score_chart.js";
import { say } from "./texts.js";

export class StationsView {
  constructor(line) {
    this.line = line;
    this.title = say("stations.title");
    this.summary = make("p", { class: "summary" });
    this.alarms = new AlarmList(say("stations.attention"));
    this.cards = make("div", { class: "cards" });
    this.fleet = new FleetTable(line);
    this.none = make("div", { class: "panel", hidden: true }, make("h2", { text: say("stations.none") }), make("p", { text: say("stations.none_detail") }));
    this.element = make("div", { class: "view" }, make("h1", { class: "unseen", text: this.title }), this.summary, this.none, this.alarms.element, this.cards, this.fleet.element);
  }

  render() {
    const stations = [...this.line.stations.values()].sort((one, other) => one.key.localeCompare(other.key, undefined, { numeric: true }));
    setHidden(this.none, stations.length > 0 || !this.line.loaded);
    setText(this.summary, this.line.loaded ? this.#summarise(stations) : say("loading"));
    this.alarms.render(stations.flatMap((station) => worstAlarm(station)));
    renderEach(
      this.cards,
      stations,
      (station) => station.key,
      (station) => new StationCard(station),
      (card, station) => card.render(station, this.line, siteShown(stations)),
    );
    this.fleet.render(stations);
  }

  #summarise(stations) {
    if (!stations.length) return "";
    const running = stations.filter((station) => conditionOf(station, this.line).runs).length;
    const alarmed = stations.filter((station) => alarmsOf(station).length).length;
    const said = [say("stations.running", { count: running })];
    if (running < stations.length) said.push(say("stations.not_running", { count: stations.length - running }));
    if (alarmed) said.push(say("stations.alarms", { count: alarmed }));
    return said.join(" · ");
  }
}

// The worst alarm of a station, with the number of the others.
function worstAlarm({ key, station, ...rest }) {
  const [worst, ...others] = alarmsOf({ key, station, ...rest });
  if (!worst) return [];
  const title = others.length ? `${worst.title} (${say("alarm.more", { count: others.length })})` : worst.title;
  return [{ ...worst, title, key, station, address: stationAddress(key) }];
}

// Whether the stations are of more than one line: only then their names need it.
function siteShown(stations) {
  return new Set(stations.map(({ site, line }) => `${site}/${line}`)).size > 1;
}

class StationCard {
  constructor({ key, site, line, station }) {
    this.condition = new Badge("medium");
    this.detail = make("span", { class: "soft detail" });
    this.rejects = new RejectChart();
    this.trend = new ScoreTrend();
    this.verdict = new Badge();
    this.part = make("span", { class: "soft detail" });
    this.place = make("span", { class: "soft", text: `${site} / ${line}` });
    this.element = make(
      "a",
      { class: "panel card", href: stationAddress(key) },
      make("div", { class: "card-head" }, make("h2", { text: station }), this.place),
      this.condition.element,
      this.detail,
      this.rejects.element,
      this.trend.element,
      make("div", { class: "card-last" }, this.verdict.element, this.part),
    );
  }

  render(station, line, withPlace) {
    const condition = conditionOf(station, line);
    setHidden(this.place, !withPlace);
    setAttribute(this.element, "class", `panel card edge-${condition.tone}${station.stale ? " stale" : ""}`);
    this.condition.render(condition);
    setText(this.detail, condition.detail);
    this.rejects.render(station.shift);
    this.trend.render(station.parts);
    const last = station.parts[0];
    setHidden(this.verdict.element, !last);
    if (last) this.verdict.render(verdictOf(last));
    setText(this.part, last ? ago(line.secondsSince(last.decided_at)) : say("station.no_part"));
  }
}
