import type { Gateway, Series } from "@busbar/client";
import { effect, signal } from "@preact/signals";
import { api, reasonOf } from "../api";
import { generation, link } from "../stream";

const everyMs = 10_000;

export const gateways = signal<readonly Gateway[] | undefined>(undefined);

/** Why the last load failed, or empty. */
export const failure = signal("");

async function load(): Promise<void> {
  try {
    gateways.value = await api.gateways();
    failure.value = "";
  } catch (error) {
    failure.value = reasonOf(error);
  }
}

export function watchGateways(): void {
  effect(() => {
    if (generation.value > 0) {
      void load();
    }
  });
  setInterval(() => {
    if (link.value.state === "live") {
      void load();
    }
  }, everyMs);
}

/** What it tells of itself by a name; of several the one begun last. */
export function ownOf(g: Gateway, name: string): Series | undefined {
  return g.own?.findLast((s) => s.name === name);
}

/** What was received of all streams, and what wasn't. */
export function sumOf(g: Gateway): { received: number; lost: number; missing: number; parked: number; duplicates: number; conflicts: number } {
  const sum = { received: 0, lost: 0, missing: 0, parked: 0, duplicates: 0, conflicts: 0 };
  for (const total of g.totals ?? []) {
    for (const what of ["received", "lost", "missing", "parked", "duplicates", "conflicts"] as const) {
      sum[what] += total[what] ?? 0;
    }
  }
  return sum;
}

/** Whether a person should look at it. */
export function isAbnormal(g: Gateway): boolean {
  const sum = sumOf(g);
  return g.state === "silent" || g.supply_failed_us !== null || sum.lost + sum.missing + sum.parked + sum.conflicts > 0;
}
