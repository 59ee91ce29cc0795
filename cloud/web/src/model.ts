// The shapes of the HTTP API. Every time is µs UTC.

export type Priority = "low" | "medium" | "high" | "critical";

/** From the most to the least urgent. */
export const priorities: readonly Priority[] = ["critical", "high", "medium", "low"];

export interface Input {
  series: number;
  name: string;
  device: string;
  unit: string;
  value: number | null;
  quality: string;
  time_us: number;
}

export interface Alarm {
  id: string;
  gateway: string;
  site: string;
  rule: string;
  asset: string;
  device: string;
  priority: Priority;
  summary: string;
  active: boolean;
  acknowledged: boolean;
  raised_us: number;
  cleared_us: number | null;
  decided_us: number;
  acknowledged_us: number | null;
  acknowledged_by: string;
  comment: string;
  inputs: Input[] | null;
}

export interface Transition {
  seq: number;
  at_us: number;
  action: "raised" | "cleared" | "acknowledged";
  by: string;
  comment: string;
}

export interface AlarmDetail extends Alarm {
  history: Transition[] | null;
}

export interface Sample {
  t: number;
  v: number | null;
  q: string;
  text?: string;
}

export interface Series {
  id: number;
  gateway: string;
  device: string;
  name: string;
  unit: string;
  asset: string;
  kind: "gauge" | "counter" | "state";
  latest: Sample | null;
}

export interface Latest extends Sample {
  series: number;
}

export interface Epoch {
  epoch: string | number;
  stream: string;
  expected: number | null;
  received: number;
  lost: number;
  missing?: number;
  parked?: number;
  duplicates: number;
}

export interface Gateway {
  id: string;
  site: string;
  zone: string;
  last_record_us: number | null;
  epochs: Epoch[] | null;
}

/** The alarm states of ISA-18.2 that the console tells apart. */
export type State = "unacknowledged" | "acknowledged" | "returned" | "normal";

export function stateOf(a: Alarm): State {
  if (a.active) {
    return a.acknowledged ? "acknowledged" : "unacknowledged";
  }
  return a.acknowledged ? "normal" : "returned";
}

export function isGood(quality: string): boolean {
  return quality === "good" || quality.startsWith("good ");
}

/** Whether a sample's value can be drawn: uncertain can, bad can't. */
export function isUsable(s: Sample): boolean {
  return s.v !== null && !s.q.startsWith("bad");
}
