// What a station's messages mean for the person in front of it: its condition in one word, and its alarms.

import { bytes, duration, number, percent } from "./formats.js";
import { hasText, say, sayWord } from "./texts.js";

// Returns {tone, icon, word, detail}: whether the line runs, and since when or why not; `runs` where it inspects.
export function conditionOf(station, line) {
  const { status, health } = station;
  if (!status) return { tone: "off", icon: "unsure", word: say("condition.unknown"), detail: say("condition.unknown_detail") };
  const since = say("since", { duration: duration(Math.max(0, line.secondsSince(status.at))) });
  const detail = status.reason ?? since;
  switch (status.state) {
    case "offline":
      return { tone: "bad", icon: "off", word: say("condition.offline"), detail };
    case "paused":
      return { tone: "warn", icon: "pause", word: say("condition.paused"), detail };
    case "starting":
    case "stopping":
      return { tone: "off", icon: "wait", word: say(`condition.${status.state}`), detail };
  }
  if (station.stale) return { tone: "off", icon: "wait", word: say("condition.stale"), detail: heard(station, line) };
  const broken = brokenStages(health);
  if (broken.length) return { tone: "bad", icon: "bad", word: say("condition.broken"), detail: say(`alarm.${broken[0][1].state}`, stageValues(broken[0])) };
  if (health?.shadow) {
    const { parts, wanted } = health.shadow;
    return { runs: true, tone: "info", icon: "shadow", word: say("condition.shadow"), detail: say("condition.shadow_detail", { parts, wanted }) };
  }
  const pace = health ? say("condition.pace", { fps: number(health.fps, health.fps < 10 ? 1 : 0) }) : since;
  if (status.state === "degraded") return { runs: true, tone: "warn", icon: "warn", word: say("condition.online"), detail: say("condition.degraded_detail", { pace }) };
  return { runs: true, tone: "run", icon: "run", word: sayWord("condition", status.state), detail: pace };
}

function brokenStages(health) {
  return Object.entries(health?.stages ?? {}).filter(([, { state }]) => state === "failed" || state === "stuck");
}

function stageValues([name, { seconds }]) {
  return { stage: sayWord("stage", name), duration: duration(seconds) };
}

function heard({ health }, line) {
  return health ? say("condition.heard", { duration: duration(Math.max(0, line.secondsSince(health.at))) }) : "";
}

// Returns the alarms, worst first: {key, tone, title, remedy}.
export function alarmsOf(station) {
  const { status, health, stale } = station;
  if (status?.state === "offline") return [alarm("offline", "bad", status.reason)];
  if (!health || stale) return stale && status ? [alarm("stale", "warn")] : [];
  const found = [];
  for (const [name, stage] of brokenStages(health)) {
    const title = say(`alarm.${stage.state}`, stageValues([name, stage]));
    found.push({ key: `stage-${name}`, tone: "bad", title: joined(title, stage.reason), remedy: say(`remedy.stage_${name}`) });
  }
  for (const warning of health.warnings) found.push(warningAlarm(warning, station));
  for (const [key, problem] of [["outbox", health.outbox.problem], ["evidence", health.evidence?.problem]]) {
    if (problem) found.push({ key, tone: "warn", title: say(`alarm.${key}`), remedy: problem });
  }
  if (!health.mqtt.connected) found.push(alarm("mqtt", "warn"));
  if (station.shift?.missed > 0) {
    found.push({ key: "missed", tone: "warn", title: say("alarm.missed", { count: station.shift.missed }), remedy: say("remedy.missed") });
  }
  return withoutRepeats(found.sort((one, other) => (one.tone === "bad" ? 0 : 1) - (other.tone === "bad" ? 0 : 1)));
}

// Alarms with the same remedy are one: the person has one thing to do.
function withoutRepeats(alarms) {
  const kept = new Map();
  for (const found of alarms) {
    const same = kept.get(found.remedy);
    if (same && found.remedy) same.title = say("alarm.joined", { one: same.title, other: found.title });
    else kept.set(found.remedy || found.key, found);
  }
  return [...kept.values()];
}

// The remedy that the station names belongs to the warnings about scores and changed pictures.
function warningAlarm(warning, { health }) {
  const ofCause = ["many_rejects", "score_drift", "light_changed", "focus_changed", "position_changed"].includes(warning);
  const own = hasText(`remedy.${warning}`) ? say(`remedy.${warning}`) : "";
  return {
    key: warning,
    tone: ["frozen", "dark", "many_rejects"].includes(warning) ? "bad" : "warn",
    title: joined(sayWord("alarm", warning), figures(warning, health)),
    remedy: (ofCause && health.remedy) || own,
  };
}

function figures(warning, { rejects, picture, disk_free_bytes: free, temperature_c: heat }) {
  const changes = picture?.changes;
  if (warning === "many_rejects" && rejects) {
    return say("alarm.many_rejects_detail", { share: percent(rejects.share), usual: percent(rejects.usual) });
  }
  if (warning === "light_changed" && changes) return say(changes.light < 0 ? "alarm.darker" : "alarm.brighter", { change: percent(Math.abs(changes.light)) });
  if (warning === "disk" && free !== null) return say("alarm.disk_detail", { free: bytes(free) });
  if (warning === "throttled" && heat !== null) return say("alarm.heat_detail", { heat: number(heat) });
  return "";
}

function alarm(key, tone, detail = "") {
  return { key, tone, title: joined(say(`alarm.${key}`), detail), remedy: say(`remedy.${key}`) };
}

function joined(title, detail) {
  return detail ? `${title}: ${detail}` : title;
}

// Returns {tone, icon, word, why} of a part.
export function verdictOf(part) {
  const why = part.wrong_views?.length
    ? say("verdict.wrong_views", { views: part.wrong_views.join(", ") })
    : part.not_found
      ? sayWord("not_found", part.not_found)
      : part.rejected && part.area_name
        ? say("verdict.in_area", { area: part.area_name })
        : "";
  if (!part.rejected) return { tone: "good", icon: "good", word: say("verdict.accepted"), why };
  if (part.shadow) return { tone: "info", icon: "shadow", word: say("verdict.shadow"), why };
  return { tone: "bad", icon: "bad", word: say(part.not_found ? "verdict.not_found" : "verdict.rejected"), why };
}

// What to call a part: the id that came with it, or its number.
export function partName(part) {
  return part.part_id ?? say("part", { number: String(part.sequence) });
}
