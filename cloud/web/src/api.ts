import { nowUs, serverSays } from "./clock";
import { t } from "./messages";
import type { Alarm, AlarmDetail, Capture, Completeness, CounterChange, Gateway, Outage, Sample, Series, Session, SignInMethods } from "./model";

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

/** A page of a list; next is null on the last one. */
export type Page<K extends string, T> = { [key in K]: T[] | null } & { next: string | null };

const pageSize = "1000";

/** The page of a list that cursor leads to, or the first. */
function page<A extends { next: string | null }>(path: string, query: Record<string, string>, cursor: string | null): Promise<A> {
  return call<A>(`${path}?${new URLSearchParams({ ...query, limit: pageSize, ...(cursor === null ? {} : { cursor }) })}`);
}

/** Every page of a list. */
async function pages<A extends { next: string | null }>(path: string, query: Record<string, string> = {}): Promise<A[]> {
  const all: A[] = [];
  let cursor: string | null = null;
  do {
    const one: A = await page<A>(path, query, cursor);
    all.push(one);
    cursor = one.next ?? null;
  } while (cursor !== null);
  return all;
}

/** All entries of a list. */
async function whole<K extends string, T>(list: K, path: string, query: Record<string, string> = {}): Promise<T[]> {
  return (await pages<Page<K, T>>(path, query)).flatMap((one) => one[list] ?? []);
}

export type AlarmPage = Page<"alarms", Alarm> & { seq: number };

export const api = {
  /** Every open alarm, and the oldest position in the stream that they are of. */
  openAlarms: async () => {
    const all = await pages<AlarmPage>("/alarms", { state: "open" });
    return { seq: Math.min(...all.map((one) => one.seq)), alarms: all.flatMap((one) => one.alarms ?? []) };
  },
  /** Alarms of any state, newest first. */
  alarms: (cursor: string | null) => page<AlarmPage>("/alarms", { state: "all" }, cursor),
  session: () => call<Session>("/session"),
  methods: async () => (await (await send("/session/methods", {})).json()) as SignInMethods,
  signIn: (name: string, password: string) => send("/session", { method: "POST", headers: json, body: JSON.stringify({ name, password }) }),
  signOut: () => send("/session", { method: "DELETE" }),
  alarm: (id: string) => call<AlarmDetail>(`/alarms/${encodeURIComponent(id)}`),
  capture: (id: string) => call<Capture>(`/alarms/${encodeURIComponent(id)}/capture`),
  acknowledge: (id: string, by: string, comment: string) =>
    call<Alarm>(`/alarms/${encodeURIComponent(id)}/acknowledge`, {
      method: "POST",
      headers: json,
      body: JSON.stringify({ by, comment }),
    }),
  series: () => whole<"series", Series>("series", "/series"),
  /** The samples in a span of time that may reach into the future, of the last day of it. */
  samples: (id: number, fromUs: number, toUs: number) => {
    const to = Math.ceil(Math.min(toUs, nowUs() + aheadUs));
    const from = Math.floor(Math.min(Math.max(fromUs, to - longestUs), to));
    return call<{ series: Series; samples: Sample[] | null }>(`/series/${id}/samples?from_us=${from}&to_us=${to}`);
  },
  /** Where a counter rolled over or was reset, newest first. */
  counterChanges: (id: number, fromUs: number, toUs: number) =>
    whole<"changes", CounterChange>("changes", "/counter-changes", { series: `${id}`, from_us: `${Math.floor(fromUs)}`, to_us: `${Math.ceil(toUs)}` }),
  /** A local day YYYY-MM-DD; an empty gateway stands for all. */
  day: async (day: string, gateway: string): Promise<Completeness> => {
    const time_zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const all = await pages<Completeness & { next: string | null }>("/completeness", { day, time_zone, gateway });
    return { ...(all.at(-1) as Completeness), devices: all.flatMap((one) => one.devices ?? []) };
  },
  quarter: (gateway: string, device: string, fromUs: number) =>
    call<Completeness>(`/completeness?${new URLSearchParams({ gateway, device, from_us: `${fromUs}`, to_us: `${fromUs + quarterUs}` })}`),
  outages: (gateway: string, fromUs: number, toUs: number) =>
    whole<"outages", Outage>("outages", `/gateways/${encodeURIComponent(gateway)}/links`, { from_us: `${fromUs}`, to_us: `${toUs}` }),
  gateways: () => whole<"gateways", Gateway>("gateways", "/gateways"),
};
