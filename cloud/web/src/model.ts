// The shapes of the HTTP API. Every time is µs UTC.

export type Priority = "low" | "medium" | "high" | "critical";

/** Who asks, and what they may. */
export interface Session {
  /** Whether people sign in here at all. */
  sign_in: boolean;
  name: string;
  role: "viewer" | "operator" | "engineer" | "admin";
  /** null: all. */
  zones: string[] | null;
  /** Where signing out goes on, for who has signed in by a provider. */
  sign_out_at?: string;
}

export interface SignInMethods {
  password: boolean;
  /** The OpenID Connect provider, if there is one. */
  oidc?: { name: string; reachable: boolean };
}

/** From the most to the least urgent. */
export const priorities: readonly Priority[] = ["critical", "high", "medium", "low"];

export interface Input {
  series: number;
  name: string;
  device: string;
  unit: string;
  value: number | null;
  /** What the value is called, if it has a name. */
  state?: string;
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
  /** What isn't known of an alarm's rule is empty. */
  rule_version: string;
  method: string;
  group: string;
  /** The alarm of the group that came first, which may be this one. */
  first_up: string;
  active: boolean;
  acknowledged: boolean;
  raised_us: number;
  /** 0 if the gateway doesn't say. */
  confirmed_us: number;
  cleared_us: number | null;
  decided_us: number;
  acknowledged_us: number | null;
  acknowledged_by: string;
  comment: string;
  inputs: Input[] | null;
  /** Whether samples from before and after can be asked for. */
  captured: boolean;
}

/** What was measured around the raising of an alarm. */
export interface Capture {
  from_us: number;
  to_us: number;
  signals: CapturedSignal[] | null;
}

export interface CapturedSignal extends Names {
  series: number;
  device: string;
  name: string;
  unit: string;
  /** Empty until births have named the signal. */
  kind: "gauge" | "counter" | "state" | "";
  samples: Sample[] | null;
  truncated: boolean;
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

/** What a signal's values are called, by value, or their bits by number. */
export interface Names {
  states?: Record<string, string>;
  flags?: Record<string, string>;
}

/** A decrease of a counter; modulus is 0 after a reset. */
export interface CounterChange {
  kind: "counter-rolled-over" | "counter-reset";
  before: number;
  before_us: number;
  after: number;
  after_us: number;
  modulus: number;
}

export interface Series extends Names {
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

/** What a gateway sent of a stream, in all its epochs. */
export interface Total {
  stream: string;
  received: number;
  lost: number;
  missing: number;
  parked: number;
  duplicates: number;
}

export interface Gateway {
  id: string;
  site: string;
  zone: string;
  last_record_us: number | null;
  totals: Total[] | null;
}

/** What became of the samples that were expected; see the API's description. */
export interface Tally {
  expected: number;
  received: number;
  suppressed: number;
  not_acquired: number;
  lost: number;
  on_the_way: number;
  stored: number;
  late: number;
  reasons: { reason: string; count: number }[] | null;
  states: Partial<Record<QuarterState, number>>;
  quarters: string;
}

export interface DeviceTally extends Tally {
  gateway: string;
  device: string;
}

export interface Completeness {
  from_us: number;
  to_us: number;
  quarter_hours: number;
  complete: boolean;
  summary: Tally;
  devices: DeviceTally[] | null;
}

export type QuarterState = "complete" | "late" | "incomplete" | "open" | "unknown" | "inconsistent" | "not-configured";

/** A time in which the way of a gateway's stream to the log was down or throttled. */
export interface Outage {
  stream: "events" | "telemetry" | "backfill";
  state: "down" | "throttled";
  from_us: number;
  to_us: number | null;
  cause: string;
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
