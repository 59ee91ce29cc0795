// What of the open alarms the list shows.
import type { Alarm } from "@busbar/client";
import { quiet } from "../model";

export const filters = ["open", "active", "unacknowledged", "shelved", "suppressed", "out-of-service", "chattering", "fleeting", "standing"] as const;
export type Filter = (typeof filters)[number];

const hourUs = 3_600_000_000;
const fleetingUs = 10_000_000;

/** Whether an alarm was lately raised three times within a minute. */
export function chatters(a: Alarm, at: number): boolean {
  return a.chattered_us > 0 && at - a.chattered_us < hourUs;
}

/** Whether an alarm was over before anybody could act upon it. */
export function fleets(a: Alarm): boolean {
  return a.cleared_us !== null && a.cleared_us - a.raised_us <= fleetingUs;
}

/** Whether an alarm has been active for more than a day. */
export function stands(a: Alarm, at: number): boolean {
  return a.active && at - a.raised_us > 24 * hourUs;
}

/** Whether a filter lets an open alarm through at a time. */
export function fits(a: Alarm, filter: Filter, at: number): boolean {
  switch (filter) {
    case "open":
      return true;
    case "active":
      return a.active && !quiet(a);
    case "unacknowledged":
      return !a.acknowledged && !quiet(a);
    case "shelved":
    case "out-of-service":
      return a.handling?.state === filter;
    case "suppressed":
      return Boolean(a.suppressed_by);
    case "chattering":
      return chatters(a, at);
    case "fleeting":
      return fleets(a);
    case "standing":
      return stands(a, at);
  }
}
