import type { Alarm, AlarmListBody } from "@busbar/client";
import { computed, signal } from "@preact/signals";
import { api } from "../api";
import { now } from "../clock";
import { type Priority, quiet, stateOf } from "../model";
import type { Snapshot } from "../stream";
import { type Filter, filters, fits } from "./filters";
import { byUrgency, latestFirst, rank } from "./order";

const keepClosed = 5000;

const known = new Map<string, Alarm>();
const version = signal(0);
let changing: ReturnType<typeof setTimeout> | undefined;

/** Which alarms the list shows: those of any state, or of the open ones those that a filter lets through. */
export const scope = signal<"open" | "all">("open");
export const filter = signal<Filter>("open");

export const loaded = signal(false);

/** Where the alarms of any state go on that aren't loaded yet; null: they are all here. */
const older = signal<string | null>(null);

/** Counts the pages of alarms of any state that have been asked for. */
export const asked = signal(0);

/** Whether there are alarms that showOlder would add. */
export const hasOlder = computed(() => scope.value === "all" && older.value !== null);

/** The newest alarm that was raised while this page was open. */
export const newest = signal<Alarm | undefined>(undefined);

/** The alarm as it is now, for who doesn't follow its changes. */
export function presently(id: string): Alarm | undefined {
  return known.get(id);
}

export function alarmOf(id: string): Alarm | undefined {
  version.value;
  return known.get(id);
}

/** Whether an alarm asks for attention, or is the last one of a condition that is shelved or out of service. */
export function isOpen(a: Alarm): boolean {
  return stateOf(a) !== "normal" || Boolean(a.handling);
}

// There may be very many, so they are gone through once for all that is said of the open ones.
const open = computed(() => {
  version.value;
  const at = now.peek();
  const list: Alarm[] = [];
  const counts = filters.map(() => 0);
  const unacknowledged: Record<Priority, number> = { critical: 0, high: 0, medium: 0, low: 0 };
  for (const a of known.values()) {
    if (!isOpen(a)) {
      continue;
    }
    list.push(a);
    for (let i = 0; i < filters.length; i++) {
      if (fits(a, filters[i] as Filter, at)) {
        (counts[i] as number)++;
      }
    }
    if (!a.acknowledged && !quiet(a)) {
      unacknowledged[a.priority]++;
    }
  }
  return { list: byUrgency(list), counts, unacknowledged };
});

/** How many open alarms each filter lets through. */
export const counted = computed(() => Object.fromEntries(filters.map((f, i) => [f, open.value.counts[i]])) as Record<Filter, number>);

/** What changes whenever an open alarm of an asset does. */
export function markOf(asset: string): string {
  return open.value.list.flatMap((a) => (a.asset === asset ? [a.id, stateOf(a)] : [])).join();
}

/** What the list shows now: open by urgency, or all by time, newest first. */
export const listed = computed(() => {
  version.value;
  if (scope.value === "all") {
    return latestFirst([...known.values()]);
  }
  const chosen = filter.value;
  const at = now.peek();
  const list = chosen === "open" ? open.value.list : open.value.list.filter((a) => fits(a, chosen, at));
  // Of what people keep quiet, what has been so for longest is what somebody has forgotten.
  return chosen === "shelved" || chosen === "out-of-service" ? [...list].sort((a, b) => (a.handling?.since_us ?? 0) - (b.handling?.since_us ?? 0)) : list;
});

export const unacknowledged = computed(() => open.value.unacknowledged);

export function highest(alarms: Iterable<Alarm>): Priority | undefined {
  let best: Priority | undefined;
  for (const a of alarms) {
    if (best === undefined || rank[a.priority] < rank[best]) {
      best = a.priority;
    }
  }
  return best;
}

/** The server's state now, which replaces everything when shown. */
export async function snapshot(): Promise<Snapshot> {
  const [unfinished, all] = await Promise.all([api.openAlarms(), scope.value === "all" ? api.alarms(null) : undefined]);
  const show = () => {
    known.clear();
    older.value = all?.next ?? null;
    for (const a of [...(all?.alarms ?? []), ...unfinished.alarms]) {
      known.set(a.id, a);
    }
    loaded.value = true;
    version.value++;
  };
  return { seq: Math.min(unfinished.seq, all?.seq ?? unfinished.seq), show };
}

/** Takes in a transition from the stream. A burst is shown as one change. */
export function apply(a: Alarm): void {
  if (!known.has(a.id) && stateOf(a) === "unacknowledged" && !quiet(a)) {
    newest.value = a;
  }
  known.set(a.id, a);
  changing ??= setTimeout(() => {
    changing = undefined;
    if (known.size > keepClosed && scope.value === "open") {
      for (const [id, old] of known) {
        if (!isOpen(old)) {
          known.delete(id);
        }
      }
    }
    version.value++;
  }, 30);
}

export async function showAll(): Promise<void> {
  scope.value = "all";
  add(await api.alarms(null));
}

/** Adds the next alarms behind those that have been loaded, unless the list is shown anew meanwhile. */
export async function showOlder(): Promise<void> {
  const cursor = older.value;
  const page = await api.alarms(cursor);
  if (older.value === cursor) {
    add(page);
  }
}

function add({ alarms, next }: AlarmListBody): void {
  older.value = next;
  asked.value++;
  for (const a of alarms ?? []) {
    // What is known already is as new as the stream, so newer than this answer.
    if (!known.has(a.id)) {
      known.set(a.id, a);
    }
  }
  version.value++;
}

/** Takes in the server's answer to what somebody did with an alarm, unless the stream has brought something newer meanwhile. */
export async function did(id: string, deed: () => Promise<Alarm>): Promise<void> {
  const before = known.get(id);
  const after = await deed();
  if (known.get(id) === before) {
    apply(after);
  }
}

export function acknowledge(id: string, by: string, comment: string): Promise<void> {
  return did(id, () => api.acknowledge(id, by, comment));
}
