// The order of alarms.
import type { Alarm } from "@busbar/client";
import { priorities, type Priority, quiet } from "../model";

/** How urgent a priority is: 0 is the most urgent. */
export const rank = Object.fromEntries(priorities.map((p, i) => [p, i])) as Record<Priority, number>;

/** What comes first: what nobody has acknowledged, by priority, and what is kept quiet last. */
function urgencyOf(a: Alarm): number {
  return (quiet(a) ? 8 : 0) + (a.acknowledged ? 4 : 0) + rank[a.priority];
}

/** Puts the latest first. */
export function later(a: Alarm, b: Alarm): number {
  return b.raised_us - a.raised_us || (a.id < b.id ? -1 : 1);
}

/** Alarms by urgency, and of the same urgency the latest first. */
export function byUrgency(alarms: Iterable<Alarm>): Alarm[] {
  const by: Alarm[][] = Array.from({ length: 16 }, () => []);
  for (const a of alarms) {
    by[urgencyOf(a)]?.push(a);
  }
  return by.flatMap(latestFirst);
}

const few = 1000;
const digit = 65_536;

/** Sorts many alarms by the digits of their times, which takes less than comparing them with each other. */
function latestFirst(alarms: Alarm[]): Alarm[] {
  const n = alarms.length;
  if (n < few) {
    return alarms.sort(later);
  }
  const last = alarms.reduce((t, a) => Math.max(t, a.raised_us), 0);
  const before = Float64Array.from(alarms, (a) => last - a.raised_us);
  const span = before.reduce((t, d) => Math.max(t, d), 0);
  let from = Uint32Array.from(alarms, (_, i) => i);
  let to = new Uint32Array(n);
  const digits = new Uint16Array(n);
  for (let unit = 1; unit <= span; unit *= digit) {
    const next = new Uint32Array(digit + 1);
    for (let i = 0; i < n; i++) {
      const rest = Math.floor((before[from[i] ?? 0] ?? 0) / unit);
      const d = rest - Math.floor(rest / digit) * digit;
      digits[i] = d;
      next[d + 1] = (next[d + 1] ?? 0) + 1;
    }
    for (let d = 1; d <= digit; d++) {
      next[d] = (next[d] ?? 0) + (next[d - 1] ?? 0);
    }
    for (let i = 0; i < n; i++) {
      const d = digits[i] ?? 0;
      const at = next[d] ?? 0;
      to[at] = from[i] ?? 0;
      next[d] = at + 1;
    }
    [from, to] = [to, from];
  }
  return Array.from(from, (i) => alarms[i] as Alarm);
}
