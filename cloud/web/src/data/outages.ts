// The outages that go on, and the one that is looked at.
import type { Crew, Outage, OutageStepBody } from "@busbar/client";
import { computed, effect, signal } from "@preact/signals";
import { api, reasonOf } from "../api";
import { now } from "../clock";
import { alarmOf } from "./alarms";
import { generation, link } from "../stream";

const known = new Map<string, Outage>();
const version = signal(0);
let changing: ReturnType<typeof setTimeout> | undefined;

/** How long changes are gathered until they are shown; with many outages every pane takes longer to be drawn. */
const soonMs = 30;
const many = 50;
const restMs = 250;

/** Whether the outages have been loaded; until then nothing is known of any. */
export const loaded = signal(false);

/** Why the last load failed, or empty. */
export const failure = signal("");

/** The outage that every pane of the desk shows; empty: none. */
export const selected = signal("");

export const crews = signal<readonly Crew[] | undefined>(undefined);

export type Standing = "unsure" | "confirmed" | "worked" | "back";

const standings: Partial<Record<Outage["state"], Standing>> = {
  suspected: "unsure",
  probable: "unsure",
  confirmed: "confirmed",
  assigned: "worked",
  "en-route": "worked",
  "on-site": "worked",
  repaired: "worked",
};

/** What is to be told apart at a glance. */
export function standingOf(o: Outage): Standing {
  return standings[o.state] ?? "back";
}

/** Who has acknowledged its alarm, which is no change of the outage itself; undefined: nobody. */
export function acknowledgedBy(o: Outage): string | undefined {
  const alarm = alarmOf(o.alarm);
  if (alarm) {
    return alarm.acknowledged ? alarm.acknowledged_by : undefined;
  }
  return o.acknowledged ? o.acknowledged_by : undefined;
}

export function isOver(o: Outage): boolean {
  return o.state === "completed" || o.state === "dismissed" || o.state === "merged";
}

const urgency: readonly Standing[] = ["confirmed", "unsure", "worked", "back"];

/** Those that go on: what nobody works at first, then by customers. */
export const open = computed(() => {
  version.value;
  return [...known.values()]
    .filter((o) => !isOver(o))
    .sort(
      (a, b) =>
        urgency.indexOf(standingOf(a)) - urgency.indexOf(standingOf(b)) || b.customers_out - a.customers_out || b.found_us - a.found_us || (a.id < b.id ? -1 : 1),
    );
});

export const customersOut = computed(() => open.value.reduce((sum, o) => sum + o.customers_out, 0));

/** A storm: more than ten outages found within ten minutes, until fewer than five are. */
let storming = false;
export const storm = computed(() => {
  const since = now.value - 600_000_000;
  const recent = open.value.filter((o) => o.found_us > since).length;
  storming = recent > 10 || (storming && recent >= 5);
  return storming;
});

export function outageOf(id: string): Outage | undefined {
  version.value;
  return known.get(id);
}

/** Takes in an outage, unless it is older than what is known of it. A burst is shown as one change. */
export function apply(o: Outage): void {
  const before = known.get(o.id);
  if (before && before.revision >= o.revision) {
    return;
  }
  known.set(o.id, o);
  changing ??= setTimeout(
    () => {
      changing = undefined;
      version.value++;
    },
    known.size < many ? soonMs : restMs,
  );
  if ((before?.crew ?? "") !== o.crew || (o.crew !== "" && before?.state !== o.state)) {
    void loadCrews();
  }
}

async function load(): Promise<void> {
  try {
    const list = await api.openOutages();
    const fresh = new Map(list.map((o) => [o.id, o]));
    for (const [id, o] of known) {
      if (!fresh.has(id) && id !== selected.peek()) {
        known.delete(id);
      } else if (o.revision > (fresh.get(id)?.revision ?? 0)) {
        fresh.set(id, o);
      }
    }
    for (const [id, o] of fresh) {
      known.set(id, o);
    }
    loaded.value = true;
    failure.value = "";
    version.value++;
  } catch (error) {
    failure.value = reasonOf(error);
  }
}

export async function loadCrews(): Promise<void> {
  try {
    crews.value = await api.crews();
  } catch {
    // They stay as they were; the outages tell of a server that can't be reached.
  }
}

/** Loads them at every connect, crews every half minute as well. */
export function watch(): void {
  effect(() => {
    if (generation.value > 0) {
      void load();
      void loadCrews();
    }
  });
  setInterval(() => {
    if (link.value.state === "live") {
      void loadCrews();
    }
  }, 30_000);
}

/** Takes a step with an outage as it is seen. It rejects with a Refusal that says why not. */
export async function act(o: Outage, step: OutageStepBody): Promise<void> {
  apply(await api.act(o.id, { ...step, revision: o.revision }));
}
