// How the network is operated where it isn't as its model says, what is planned, and what other systems report.
import type { Planned, ReportedOutage, Switching } from "@busbar/client";
import { signal } from "@preact/signals";
import { api } from "../api";
import { generation, link } from "../stream";

const everyMs = 5000;

/** By asset; undefined: it isn't known. */
export const switching = signal<ReadonlyMap<string, Switching> | undefined>(undefined);

/** What is planned and not over; undefined: it isn't known. */
export const planned = signal<readonly Planned[] | undefined>(undefined);

/** Outages that other systems report; undefined: they aren't known. */
export const reported = signal<readonly ReportedOutage[] | undefined>(undefined);

let asked = 0;

/** Asks for all of it anew. */
export async function loadSwitching(): Promise<void> {
  const mine = ++asked;
  const [operated, plans, others] = await Promise.all([
    api.switching().catch(() => undefined),
    api.planned().catch(() => undefined),
    api.reported().catch(() => undefined),
  ]);
  if (mine === asked) {
    switching.value = operated && new Map(operated.map((s) => [s.asset, s]));
    planned.value = plans;
    reported.value = others;
  }
}

let watchers = 0;
let timer: ReturnType<typeof setInterval> | undefined;

/** Asks again and again, until the answer is called. However many watch, it is asked for once. */
export function watchSwitching(): () => void {
  void loadSwitching();
  if (watchers++ === 0) {
    timer = setInterval(() => {
      if (link.value.state === "live" && generation.value > 0) {
        void loadSwitching();
      }
    }, everyMs);
  }
  return () => {
    if (--watchers === 0) {
      clearInterval(timer);
    }
  };
}

/** Whether it isn't as in normal operation, which is where its line is to be looked at. */
export function isAbnormal(s: Switching): boolean {
  return s.cut || (s.position !== "normal" && s.normal !== "" && s.position !== s.normal);
}
