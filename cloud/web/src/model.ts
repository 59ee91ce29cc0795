// What the answers of the API mean to an operator.
import type { Alarm, Sample, Series } from "@busbar/client";

export type Priority = Alarm["priority"];

/** From the most to the least urgent. */
export const priorities: readonly Priority[] = ["critical", "high", "medium", "low"];

/** What a signal's values are called, by value, or their bits by number. */
export type Names = Pick<Series, "states" | "flags">;

export type QuarterState = "complete" | "late" | "incomplete" | "open" | "unknown" | "inconsistent" | "not-configured";

/** The alarm states of ISA-18.2 that the console tells apart. */
export type State = "unacknowledged" | "acknowledged" | "returned" | "normal";

export function stateOf(a: Alarm): State {
  if (a.active) {
    return a.acknowledged ? "acknowledged" : "unacknowledged";
  }
  return a.acknowledged ? "normal" : "returned";
}

/** Whether people, or an alarm that stands for it, keep an alarm from being announced. */
export function quiet(a: Alarm): boolean {
  return Boolean(a.handling) || Boolean(a.suppressed_by); // those that were told of long ago have neither
}

export function isGood(quality: string): boolean {
  return quality === "good" || quality.startsWith("good ");
}

/** Whether a sample's value can be drawn: uncertain can, bad can't. */
export function isUsable(s: Sample): boolean {
  return s.v !== null && !s.q.startsWith("bad");
}
