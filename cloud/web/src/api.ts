import { nowUs, serverSays } from "./clock";
import { t } from "./messages";
import type { Alarm, AlarmDetail, Capture, Completeness, CounterChange, Gateway, Outage, Sample, Series, Session } from "./model";

const timeoutMs = 10_000;

// The API answers for a day of samples at most. The newest may be stamped by a
// clock that is a little ahead.
const longestUs = 86_400_000_000;
const aheadUs = 60_000_000;

export const quarterUs = 900_000_000;

/** An answer that isn't a success; message is what the server says about it. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** Why a call failed, for a person. */
export function reasonOf(error: unknown): string {
  return error instanceof Refusal ? error.message : t("link.unreachable");
}

interface Problem {
  title?: string;
  detail?: string;
  errors?: { message?: string; location?: string }[];
}

let out: (() => void) | undefined;
let refused: Refusal | undefined;

/** Calls tell when the server doesn't know who asks any more; from then on nothing is asked. */
export function signedOut(tell: () => void): void {
  out = tell;
}

async function call<T>(path: string, init: RequestInit = {}): Promise<T> {
  if (refused) {
    throw refused;
  }
  try {
    return (await (await send(path, init)).json()) as T;
  } catch (error) {
    if (error instanceof Refusal && error.status === 401) {
      refused = error;
      out?.();
    }
    throw error;
  }
}

async function send(path: string, init: RequestInit): Promise<Response> {
  const response = await fetch(`/api/v1${path}`, { ...init, signal: AbortSignal.timeout(timeoutMs) });
  serverSays(response.headers.get("Date"));
  if (!response.ok) {
    throw new Refusal(response.status, await reason(response));
  }
  return response;
}

const json = { "Content-Type": "application/json" };

async function reason(response: Response): Promise<string> {
  const fallback = `${response.status} ${response.statusText}`.trim();
  try {
    const problem = (await response.json()) as Problem;
    const fields = (problem.errors ?? []).map((e) => [e.location, e.message].filter(Boolean).join(": "));
    return [problem.detail ?? problem.title ?? fallback, ...fields].join("; ");
  } catch {
    return fallback;
  }
}

export const api = {
  session: () => call<Session>("/session"),
  signIn: (name: string, password: string) => send("/session", { method: "POST", headers: json, body: JSON.stringify({ name, password }) }),
  signOut: () => send("/session", { method: "DELETE" }),
  alarms: (state: "open" | "all") => call<{ seq: number; alarms: Alarm[] | null }>(`/alarms?state=${state}`),
  alarm: (id: string) => call<AlarmDetail>(`/alarms/${encodeURIComponent(id)}`),
  capture: (id: string) => call<Capture>(`/alarms/${encodeURIComponent(id)}/capture`),
  acknowledge: (id: string, by: string, comment: string) =>
    call<Alarm>(`/alarms/${encodeURIComponent(id)}/acknowledge`, {
      method: "POST",
      headers: json,
      body: JSON.stringify({ by, comment }),
    }),
  series: () => call<{ series: Series[] | null }>("/series"),
  /** The samples in a span of time that may reach into the future, of the last day of it. */
  samples: (id: number, fromUs: number, toUs: number) => {
    const to = Math.ceil(Math.min(toUs, nowUs() + aheadUs));
    const from = Math.floor(Math.min(Math.max(fromUs, to - longestUs), to));
    return call<{ series: Series; samples: Sample[] | null }>(`/series/${id}/samples?from_us=${from}&to_us=${to}`);
  },
  /** Where a counter rolled over or was reset, newest first. */
  counterChanges: (id: number, fromUs: number, toUs: number) =>
    call<{ changes: CounterChange[] | null }>(`/counter-changes?series=${id}&from_us=${Math.floor(fromUs)}&to_us=${Math.ceil(toUs)}`),
  /** A local day YYYY-MM-DD; an empty gateway stands for all. */
  day: (day: string, gateway: string) => {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    return call<Completeness>(`/completeness?${new URLSearchParams({ day, time_zone: zone, gateway })}`);
  },
  quarter: (gateway: string, device: string, fromUs: number) =>
    call<Completeness>(`/completeness?${new URLSearchParams({ gateway, device, from_us: `${fromUs}`, to_us: `${fromUs + quarterUs}` })}`),
  outages: (gateway: string, fromUs: number, toUs: number) =>
    call<{ outages: Outage[] | null }>(`/gateways/${encodeURIComponent(gateway)}/links?from_us=${fromUs}&to_us=${toUs}`),
  gateways: () => call<{ gateways: Gateway[] | null }>("/gateways"),
};
