// Numbers and times for people: rounded so that nothing is overstated.
import { units } from "./words.js";

const whole = new Intl.NumberFormat("en-US");
export const count = (value) => (value === null || value === undefined ? units.none : whole.format(value));

/** A share as a percentage; an interval's low end is rounded down and its high end up. */
export function percent(share, towards = Math.round) {
  if (share === null || share === undefined) return units.none;
  const value = share * 100;
  const digits = value !== 0 && Math.abs(value) < 0.1 ? 3 : value < 10 ? 2 : 1;
  const scaled = towards(Number((value * 10 ** digits).toFixed(6))) / 10 ** digits;
  return `${Number(scaled.toFixed(digits))} %`;
}

export const interval = (low, high) =>
  low === null || low === undefined ? units.none : units.to(percent(low, Math.floor), percent(high, Math.ceil));

/** A p-value, rounded up to two digits. */
export function pValue(p) {
  if (p === null || p === undefined) return units.none;
  if (p >= 1) return "1";
  const digits = Math.max(2, 1 - Math.floor(Math.log10(p)));
  return (Math.ceil(Number((p * 10 ** digits).toFixed(6))) / 10 ** digits).toFixed(digits);
}

/** A score, to four digits. */
export function score(value) {
  if (value === null || value === undefined) return units.none;
  return Math.abs(value) >= 1e5 || (value && Math.abs(value) < 1e-4) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

/** A time of this clock; with the day unless it is today. */
export function time(at) {
  if (!at) return units.none;
  const when = new Date(at);
  const today = new Date().toDateString() === when.toDateString();
  return today ? clock.format(when) : `${day.format(when)}, ${clock.format(when)}`;
}

/** How long something takes. */
export function span(seconds) {
  if (seconds < 90) return units.seconds(Math.max(1, Math.round(seconds)));
  if (seconds < 5400) return units.minutes(Math.round(seconds / 60));
  return units.hours((seconds / 3600).toFixed(1));
}

/** Bytes, in powers of 1000. */
export function bytes(value) {
  if (value === null || value === undefined) return units.none;
  const step = Math.min(4, Math.max(0, Math.floor(Math.log10(Math.max(1, value)) / 3)));
  return `${Number((value / 1000 ** step).toPrecision(3))} ${units.bytes[step]}`;
}

/** The time some hours ago, as the server reads it; empty for ever. */
export const since = (hours) => (hours ? new Date(Date.now() - hours * 3.6e6).toISOString() : "");
