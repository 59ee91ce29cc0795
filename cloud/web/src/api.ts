// What the console asks of the API.
import * as busbar from "@busbar/client";
import { pages, Refusal, type Alarm, type AlarmListBody, type Options, type Server } from "@busbar/client";
import { nowUs, serverSays } from "./clock";
import { t } from "./messages";

const timeoutMs = 10_000;

// The API answers for a day of samples at most. The newest may be stamped by a
// clock that is a little ahead.
const longestUs = 86_400_000_000;
const aheadUs = 60_000_000;

export const quarterUs = 900_000_000;

/** Why a call failed, for a person. */
export function reasonOf(error: unknown): string {
  return error instanceof Refusal ? error.message : t("link.unreachable");
}

let out: (() => void) | undefined;
let refused: Refusal | undefined;

/** Calls tell when the server doesn't know who asks any more; from then on nothing is asked. */
export function signedOut(tell: () => void): void {
  out = tell;
}

const server: Server = {
  fetch: async (input, init) => {
    const response = await fetch(input, init);
    serverSays(response.headers.get("Date"));
    return response;
  },
};

const soon = (): Options => ({ signal: AbortSignal.timeout(timeoutMs) });

async function call<T>(ask: (options: Options) => Promise<T>): Promise<T> {
  if (refused) {
    throw refused;
  }
  try {
    return await ask(soon());
  } catch (error) {
    if (error instanceof Refusal && error.status === 401) {
      refused = error;
      out?.();
    }
    throw error;
  }
}

const pageSize = 1000;

interface Paged {
  limit?: number | undefined;
  cursor?: string | undefined;
}

/** Every page of a list. */
async function every<P extends Paged, A extends { next: string | null }>(
  list: (server: Server, params: P, options: Options) => Promise<A>,
  params: NoInfer<P>,
): Promise<A[]> {
  const all: A[] = [];
  for await (const page of pages((at, of: P) => call((options) => list(at, of, options)), server, { ...params, limit: pageSize })) {
    all.push(page);
  }
  return all;
}

export const api = {
  /** Every open alarm, and the oldest position in the stream that they are of. */
  openAlarms: async (): Promise<{ seq: number; alarms: Alarm[] }> => {
    const all = await every(busbar.listAlarms, { state: "open" });
    return { seq: Math.min(...all.map((one) => one.seq)), alarms: all.flatMap((one) => one.alarms ?? []) };
  },
  /** Alarms of any state, newest first. */
  alarms: (cursor: string | null): Promise<AlarmListBody> =>
    call((options) => busbar.listAlarms(server, { state: "all", limit: pageSize, cursor: cursor ?? undefined }, options)),
  /** The stream from a position on. */
  stream: (after: number, signal: AbortSignal) => busbar.stream(server, { after }, { signal }),
  session: () => call((options) => busbar.getSession(server, options)),
  methods: () => busbar.getSignInMethods(server, soon()),
  signIn: (name: string, password: string) => busbar.signIn(server, { name, password }, soon()),
  /** Where the provider signs somebody in, who comes back to a page. */
  signInThere: (back: string) => busbar.beginOidc(server, { return: back }),
  signOut: () => busbar.signOut(server, soon()),
  alarm: (id: string) => call((options) => busbar.getAlarm(server, { id }, options)),
  capture: (id: string) => call((options) => busbar.getAlarmCapture(server, { id }, options)),
  acknowledge: (id: string, by: string, comment: string) => call((options) => busbar.acknowledgeAlarm(server, { id }, { by, comment }, options)),
  shelve: (id: string, by: string, reason: string, seconds: number) => call((options) => busbar.shelveAlarm(server, { id }, { by, reason, seconds }, options)),
  unshelve: (id: string, by: string, reason: string) => call((options) => busbar.unshelveAlarm(server, { id }, { by, reason }, options)),
  takeOutOfService: (id: string, by: string, reason: string) => call((options) => busbar.takeAlarmOutOfService(server, { id }, { by, reason }, options)),
  returnToService: (id: string, by: string, reason: string) => call((options) => busbar.returnAlarmToService(server, { id }, { by, reason }, options)),
  shelves: () => call((options) => busbar.listShelves(server, options)),
  flood: () => call((options) => busbar.getAlarmFlood(server, options)),
  performance: (from_us: number, to_us: number) => call((options) => busbar.getAlarmPerformance(server, { from_us, to_us }, options)),
  series: async () => (await every(busbar.listSeries, {})).flatMap((page) => page.series ?? []),
  /** The samples in a span of time that may reach into the future, of the last day of it. */
  samples: (id: number, fromUs: number, toUs: number) => {
    const to_us = Math.ceil(Math.min(toUs, nowUs() + aheadUs));
    const from_us = Math.floor(Math.min(Math.max(fromUs, to_us - longestUs), to_us));
    return call((options) => busbar.listSamples(server, { id, from_us, to_us }, options));
  },
  /** Where a counter rolled over or was reset, newest first. */
  counterChanges: async (series: number, fromUs: number, toUs: number) =>
    (await every(busbar.listCounterChanges, { series, from_us: Math.floor(fromUs), to_us: Math.ceil(toUs) })).flatMap((page) => page.changes ?? []),
  /** A local day YYYY-MM-DD; an empty gateway stands for all. */
  day: async (day: string, gateway: string) => {
    const time_zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const all = await every(busbar.getCompleteness, { day, time_zone, gateway });
    return { ...(all.at(-1) as busbar.CompletenessAnswerBody), devices: all.flatMap((one) => one.devices ?? []) };
  },
  quarter: (gateway: string, device: string, fromUs: number) =>
    call((options) => busbar.getCompleteness(server, { gateway, device, from_us: fromUs, to_us: fromUs + quarterUs }, options)),
  outages: async (id: string, from_us: number, to_us: number) => (await every(busbar.listLinkOutages, { id, from_us, to_us })).flatMap((page) => page.outages ?? []),
  gridMap: () => busbar.getGridMap(server, {}, { signal: AbortSignal.timeout(6 * timeoutMs) }),
  gridHeard: () => call((options) => busbar.getGridHeard(server, options)),
  gridOut: () => call((options) => busbar.getGridOut(server, options)),
  feeding: (id: string) => call((options) => busbar.getOneLineFeeding(server, { id }, options)),
  oneLine: (id: string) => call((options) => busbar.getOneLine(server, { id }, options)),
  health: (id: string) => call((options) => busbar.getAssetHealth(server, { id }, options)),
  asset: (id: string) => call((options) => busbar.getAsset(server, { id }, options)),
  openOutages: async () => (await every(busbar.listOutages, { state: "open" })).flatMap((page) => page.outages ?? []),
  outage: (id: string) => call((options) => busbar.getOutage(server, { id }, options)),
  outagesOf: async (feeder: string) => (await call((options) => busbar.listOutages(server, { state: "all", feeder, limit: 50 }, options))).outages ?? [],
  outageEvidence: async (id: string) => (await call((options) => busbar.listOutageEvidence(server, { id, limit: 50 }, options))).evidence ?? [],
  outageCodes: () => call((options) => busbar.listOutageCodes(server, options)),
  act: (id: string, step: busbar.OutageStepBody) => call((options) => busbar.actOnOutage(server, { id }, step, options)),
  crews: async () => (await call((options) => busbar.listCrews(server, options))).crews ?? [],
  calls: async (outage: string) => (await call((options) => busbar.listCalls(server, { outage, limit: 50 }, options))).calls ?? [],
  takeCall: (body: busbar.CallTakingBody) => call((options) => busbar.addCall(server, body, options)),
  saveCrew: (id: string, body: busbar.CrewSavingBody) => call((options) => busbar.putCrew(server, { id }, body, options)),
  switching: async () => (await every(busbar.listSwitching, {})).flatMap((page) => page.switching ?? []),
  operate: (asset: string, body: busbar.OperatingBody) => call((options) => busbar.putSwitching(server, { asset }, body, options)),
  reported: async () => (await every(busbar.listReportedOutages, { state: "open" })).flatMap((page) => page.reported_outages ?? []),
  planned: async () => (await every(busbar.listPlannedOutages, { state: "open" })).flatMap((page) => page.planned_outages ?? []),
  /** What a plan would be, without keeping it. */
  tryPlan: (plan: busbar.Plan) => call((options) => busbar.addPlannedOutage(server, { dry_run: true }, plan, options)),
  plan: (plan: busbar.Plan) => call((options) => busbar.addPlannedOutage(server, {}, plan, options)),
  replan: (id: string, body: busbar.ReplanningBody) => call((options) => busbar.putPlannedOutage(server, { id }, body, options)),
  cancelPlan: (id: string, body: busbar.CancellingBody) => call((options) => busbar.cancelPlannedOutage(server, { id }, body, options)),
  estimateRecord: () => call((options) => busbar.getEstimateRecord(server, { by: "author" }, options)),
  timeline: (id: string, cursor: string | null) => call((options) => busbar.listAssetTimeline(server, { id, limit: 50, cursor: cursor ?? undefined }, options)),
  /** The first assets with a text in their id or name. */
  findAssets: async (text: string, kind: busbar.ListAssetsParams["kind"]) => (await call((options) => busbar.listAssets(server, { text, kind, limit: 20 }, options))).assets ?? [],
  commands: async (gateway: string) => (await call((options) => busbar.listCommands(server, { gateway, limit: 20 }, options))).commands ?? [],
  rollouts: async () => (await call((options) => busbar.listRollouts(server, options))).rollouts ?? [],
  gateways: async () => (await every(busbar.listGateways, {})).flatMap((page) => page.gateways ?? []),
};
