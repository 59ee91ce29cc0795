import type { Alarm, AlarmListBody } from "@busbar/client";
import { computed, signal } from "@preact/signals";
import { api } from "../api";
import { priorities, type Priority, stateOf } from "../model";
import type { Snapshot } from "../stream";

const keepClosed = 5000;

const known = new Map<string, Alarm>();
const version = signal(0);
let changing: ReturnType<typeof setTimeout> | undefined;

/** Which alarms the list shows. */
export const scope = signal<"open" | "all">("open");

export const loaded = signal(false);

/** Where the alarms of any state go on that aren't loaded yet; null: they are all here. */
const older = signal<string | null>(null);

/** Counts the pages of alarms of any state that have been asked for. */
export const asked = signal(0);

/** Whether there are alarms that showOlder would add. */
export const hasOlder = computed(() => scope.value === "all" && older.value !== null);

/** The newest alarm that was raised while this page was open. */
export const newest = signal<Alarm | undefined>(undefined);

export function alarmOf(id: string): Alarm | undefined {
  version.value;
  return known.get(id);
}

const rank = Object.fromEntries(priorities.map((p, i) => [p, i])) as Record<Priority, number>;

function urgency(a: Alarm, b: Alarm): number {
  return (
    Number(a.acknowledged) - Number(b.acknowledged) ||
    rank[a.priority] - rank[b.priority] ||
    b.raised_us - a.raised_us ||
    (a.id < b.id ? -1 : 1)
  );
}

export function isOpen(a: Alarm): boolean {
  return stateOf(a) !== "normal";
}

const open = computed(() => {
  version.value;
  return [...known.values()].filter(isOpen).sort(urgency);
});

/** What the list shows now: open by urgency, or all by time, newest first. */
export const listed = computed(() => {
  version.value;
  return scope.value === "open" ? open.value : [...known.values()].sort((a, b) => b.raised_us - a.raised_us || urgency(a, b));
});

export const unacknowledged = computed(() => {
  const counts: Record<Priority, number> = { critical: 0, high: 0, medium: 0, low: 0 };
  for (const a of open.value) {
    if (!a.acknowledged) {
      counts[a.priority]++;
    }
  }
  return counts;
});

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
  const [now, all] = await Promise.all([api.openAlarms(), scope.value === "all" ? api.alarms(null) : undefined]);
  const show = () => {
    known.clear();
    older.value = all?.next ?? null;
    for (const a of [...(all?.alarms ?? []), ...now.alarms]) {
      known.set(a.id, a);
    }
    loaded.value = true;
    version.value++;
  };
  return { seq: Math.min(now.seq, all?.seq ?? now.seq), show };
}

/** Takes in a transition from the stream. A burst is shown as one change. */
export function apply(a: Alarm): void {
  if (!known.has(a.id) && stateOf(a) === "unacknowledged") {
    newest.value = a;
  }
  known.set(a.id, a);
  if (known.size > keepClosed && scope.value === "open") {
    for (const [id, old] of known) {
      if (!isOpen(old)) {
        known.delete(id);
      }
    }
  }
  changing ??= setTimeout(() => {
    changing = undefined;
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

/**
 * Acknowledges on the server. The answer is shown at once unless the stream
 * has brought something newer meanwhile.
 */
export async function acknowledge(id: string, by: string, comment: string): Promise<void> {
  const before = known.get(id);
  const after = await api.acknowledge(id, by, comment);
  if (known.get(id) === before) {
    apply(after);
  }
}
