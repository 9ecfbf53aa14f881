// Numbers, times and durations in the language of the texts.

import { language, say } from "./texts.js";

const known = new Map();

function format(Kind, options) {
  const key = Kind.name + JSON.stringify(options);
  if (!known.has(key)) known.set(key, new Kind(language, options));
  return known.get(key);
}

export function number(value, digits = 0) {
  return format(Intl.NumberFormat, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
}

// A score or threshold. With four digits, a score near the threshold still differs from it.
export function score(value) {
  return format(Intl.NumberFormat, { maximumSignificantDigits: 4, minimumSignificantDigits: 4 }).format(value);
}

export function percent(share) {
  const digits = share > 0 && share < 0.01 ? 2 : 1;
  return format(Intl.NumberFormat, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits }).format(share);
}

export function milliseconds(value) {
  return say("unit.ms", { value: number(value, value < 10 ? 1 : 0) });
}

export function bytes(value) {
  return say("unit.gb", { value: number(value / 1e9, 1) });
}

// The time of day; with the date where the day is another one.
export function time(moment, now = new Date()) {
  const date = new Date(moment);
  const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
  const today = date.toDateString() === new Date(now).toDateString();
  return format(Intl.DateTimeFormat, today ? clock : { ...clock, month: "short", day: "numeric" }).format(date);
}

// The time of day without seconds.
export function minute(moment) {
  return format(Intl.DateTimeFormat, { hour: "2-digit", minute: "2-digit" }).format(new Date(moment));
}

export function duration(seconds) {
  const [value, unit] =
    seconds < 90 ? [seconds, "second"] : seconds < 5400 ? [seconds / 60, "minute"] : seconds < 172800 ? [seconds / 3600, "hour"] : [seconds / 86400, "day"];
  return format(Intl.NumberFormat, { style: "unit", unit, unitDisplay: "narrow", maximumFractionDigits: 0 }).format(value);
}

export function ago(seconds) {
  return say("ago", { duration: duration(Math.max(0, Math.round(seconds))) });
}
