import type { CompletenessAnswerBody as Completeness, LinkOutage as Outage } from "@busbar/client";
import { effect, signal } from "@preact/signals";
import { api, reasonOf } from "../api";
import { nowUs } from "../clock";
import { generation, link } from "../stream";

const everyMs = 60_000;

export interface Day {
  day: string;
  gateway: string; // empty: all
  report: Completeness;
  outages: readonly Outage[];
}

/** The day that is shown; undefined while the first one is loading. */
export const shown = signal<Day | undefined>(undefined);

/** Why the last load failed, or empty. */
export const failure = signal("");

/** The quarter-hour whose numbers are shown. */
export const chosen = signal<{ gateway: string; device: string; index: number } | undefined>(undefined);

let asked = 0;

async function load(day: string, gateway: string): Promise<void> {
  const mine = ++asked;
  try {
    const report = await api.day(day, gateway);
    const only = gateway || onlyGateway(report);
    const outages = only ? await api.outages(only, report.from_us, report.to_us) : [];
    if (mine === asked) {
      shown.value = { day, gateway, report, outages };
      failure.value = "";
    }
  } catch (error) {
    if (mine === asked) {
      failure.value = reasonOf(error);
    }
  }
}

/** The gateway of every device, empty if they have several. */
export function onlyGateway(report: Completeness): string {
  const devices = report.devices ?? [];
  const first = devices[0]?.gateway ?? "";
  return devices.every((d) => d.gateway === first) ? first : "";
}

/** Loads a day now, at every connect, and while it may change, until the returned function is called. */
export function watch(day: string, gateway: string): () => void {
  const stop = effect(() => {
    generation.value;
    void load(day, gateway);
  });
  const timer = setInterval(() => {
    const known = shown.peek();
    const settled = known?.day === day && known.report.complete && known.report.to_us < nowUs();
    if (link.peek().state === "live" && !settled) {
      void load(day, gateway);
    }
  }, everyMs);
  return () => {
    stop();
    clearInterval(timer);
    asked++;
  };
}
