// Numbers, units and times as a person reads them.
import { locale } from "./language";
import { coded, t } from "./messages";
import type { Names } from "./model";

const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" });
const year = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", year: "numeric" });
const decimal = new Intl.NumberFormat(locale, { maximumFractionDigits: 3 });
const small = new Intl.NumberFormat(locale, { maximumSignificantDigits: 3 });

// UCUM codes that aren't what a person writes.
const units: Record<string, string> = { Cel: "°C", deg: "°", "kW.h": "kWh", "W.h": "Wh", "V.A": "VA", "kV.A": "kVA", "1": "" };

export function unitText(ucum: string): string {
  return units[ucum] ?? ucum;
}

export function numberText(v: number): string {
  return v !== 0 && Math.abs(v) < 0.001 ? small.format(v) : decimal.format(v);
}

/** Why a sample isn't good, as in "timeout, stale". */
export function whyText(why: string): string {
  return why
    .split(", ")
    .map((one) => coded("quality", one))
    .join(", ");
}

/** A quality, as in "bad (timeout)". */
export function qualityText(quality: string): string {
  const [, validity = quality, why] = /^(\w+) \((.+)\)$/.exec(quality) ?? [];
  return why === undefined ? coded("quality", validity) : t("quality.because", { validity: coded("quality", validity), why: whyText(why) });
}

export function percentText(v: number): string {
  return `${numberText(Math.round(v * 1000) / 10)}\u00a0%`;
}

/** How much of something there is: all or nothing of it is said of no less and no more. A dash of nothing. */
export function shareText(part: number, of: number): string {
  if (of <= 0) {
    return "–";
  }
  return percentText(part <= 0 ? 0 : part >= of ? 1 : Math.min(0.999, Math.max(0.001, part / of)));
}

/** What a value is called, or its bits; empty if it has no name. */
export function nameOf(v: number, names: Names): string {
  const name = names.states?.[v];
  if (name || !names.flags || !Number.isSafeInteger(v) || v < 0) {
    return name ?? "";
  }
  const set: string[] = [];
  // Not by shifting, which has 32 bits.
  for (let bit = 0, rest = v; rest > 0; bit++, rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) {
      set.push(names.flags[bit] ?? t("value.bit", { n: bit }));
    }
  }
  return set.join(", ");
}

/** A number beside its name, as in "running (2)". */
export function namedText(v: number, name: string): string {
  return name ? `${name} (${numberText(v)})` : numberText(v);
}

/** A value with its unit, or a dash. */
export function valueText(v: number | null, unit: string, text?: string, names: Names = {}): string {
  if (v === null) {
    return text || "–";
  }
  const name = nameOf(v, names);
  if (name) {
    return namedText(v, name);
  }
  const u = unitText(unit);
  return u === "" ? numberText(v) : `${numberText(v)}\u00a0${u}`;
}

export function clockText(us: number): string {
  return clock.format(us / 1000);
}

/** Local time; with the day, and the year, where they aren't the present ones. */
export function timeText(us: number, nowUs: number): string {
  const at = new Date(us / 1000);
  const today = new Date(nowUs / 1000);
  if (at.toDateString() === today.toDateString()) {
    return clock.format(at);
  }
  return `${(at.getFullYear() === today.getFullYear() ? day : year).format(at)} ${clock.format(at)}`;
}

const minutes = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const zoned = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short" });
const wholeDay = new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });

/** Hours and minutes, and with zone what the clocks are set to: on the day on which they change it tells two equal times apart. */
export function minuteText(us: number, zone = false): string {
  return (zone ? zoned : minutes).format(us / 1000);
}

/** The local day of a moment, YYYY-MM-DD. */
export function dayOf(us: number): string {
  const at = new Date(us / 1000);
  const two = (n: number) => String(n).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

/** The day some days later. */
export function dayAfter(day: string, days: number): string {
  const at = new Date(`${day}T00:00:00Z`);
  at.setUTCDate(at.getUTCDate() + days);
  return at.toISOString().slice(0, 10);
}

export function dayText(day: string): string {
  return wholeDay.format(new Date(`${day}T00:00:00Z`));
}

export function utcText(us: number): string {
  return new Date(us / 1000).toISOString().replace("T", " ").replace("Z", " UTC");
}

const sizes = (["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const).map((unit) => new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "short", maximumSignificantDigits: 3 }));

/** A number of bytes in the largest unit of which it has one. */
export function bytesText(n: number): string {
  const power = n < 1000 ? 0 : Math.min(sizes.length - 1, Math.floor(Math.log10(n) / 3));
  return sizes[power]?.format(n / 1000 ** power) ?? "";
}

const parts = [
  ["duration.day", 86_400],
  ["duration.hour", 3600],
  ["duration.minute", 60],
  ["duration.second", 1],
] as const;

/** A duration by its two largest units, as in "3h 12m". Never negative. */
export function durationText(us: number): string {
  let rest = Math.max(0, Math.floor(us / 1_000_000));
  const words: string[] = [];
  parts.forEach(([text, length], i) => {
    const n = Math.floor(rest / length);
    rest -= n * length;
    const smallest = i === parts.length - 1;
    if (words.length < 2 && (n > 0 || words.length > 0 || smallest)) {
      words.push(t(text, { n }));
    }
  });
  return words.join(" ");
}
