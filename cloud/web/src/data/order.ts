// The order of alarms.
import type { Alarm } from "@busbar/client";
import { priorities, type Priority, quiet } from "../model";

/** How urgent a priority is: 0 is the most urgent. */
export const rank = Object.fromEntries(priorities.map((p, i) => [p, i])) as Record<Priority, number>;

/** What comes first: what nobody has acknowledged, by priority, and what is kept quiet last. */
function urgencyOf(a: Alarm): number {
  return (quiet(a) ? 8 : 0) + (a.acknowledged ? 4 : 0) + rank[a.priority];
}

/** Alarms by urgency, and of the same urgency the latest first. */
export function byUrgency(alarms: readonly Alarm[]): Alarm[] {
  return sorted(alarms, urgencyOf);
}

/** Alarms by when they were raised, the latest first. */
export function latestFirst(alarms: readonly Alarm[]): Alarm[] {
  return sorted(alarms, () => 0);
}

const digit = 2048;

/**
 * Sorts by a class from 0 to 255, and in a class the latest first; what is equal stays in its
 * order. It goes by the digits of the times, which takes less than comparing very many
 * alarms with each other, and by counted loops, which take less than iterators.
 */
function sorted(alarms: readonly Alarm[], classOf: (a: Alarm) => number): Alarm[] {
  const n = alarms.length;
  const classes = new Uint8Array(n);
  const rest = new Float64Array(n); // of the time before the last alarm, the digits it isn't sorted by yet
  let order = new Uint32Array(n);
  let last = 0;
  let span = 0;
  for (let i = 0; i < n; i++) {
    const a = alarms[i] as Alarm;
    classes[i] = classOf(a);
    rest[i] = a.raised_us;
    last = Math.max(last, a.raised_us);
  }
  for (let i = 0; i < n; i++) {
    const before = last - (rest[i] as number);
    rest[i] = before;
    order[i] = i;
    span = Math.max(span, before);
  }
  const keys = new Uint16Array(n);
  for (; span > 0; span = Math.floor(span / digit)) {
    for (let i = 0; i < n; i++) {
      const all = rest[i] as number;
      const higher = Math.floor(all / digit);
      keys[i] = all - higher * digit;
      rest[i] = higher;
    }
    order = distribute(order, keys);
  }
  order = distribute(order, classes);
  const list: Alarm[] = [];
  for (let i = 0; i < n; i++) {
    list.push(alarms[order[i] as number] as Alarm);
  }
  return list;
}

/** The order by key, and of the same key as it was. */
function distribute(order: Uint32Array<ArrayBuffer>, keys: Uint8Array | Uint16Array): Uint32Array<ArrayBuffer> {
  const n = order.length;
  const next = new Uint32Array(digit + 1);
  for (let i = 0; i < n; i++) {
    const after = (keys[i] as number) + 1;
    next[after] = (next[after] as number) + 1;
  }
  for (let key = 1; key < digit; key++) {
    next[key] = (next[key] as number) + (next[key - 1] as number);
  }
  const by = new Uint32Array(n);
  for (let j = 0; j < n; j++) {
    const i = order[j] as number;
    const key = keys[i] as number;
    const at = next[key] as number;
    by[at] = i;
    next[key] = at + 1;
  }
  return by;
}
