import type { Latest, Sample, Series } from "@busbar/client";
import { effect, signal } from "@preact/signals";
import { api, reasonOf } from "../api";
import { locale } from "../language";
import { generation } from "../stream";

/** Every series, by asset, device and name; undefined before the first load. */
export const series = signal<readonly Series[] | undefined>(undefined);

/** Why the last load failed, or empty. */
export const failure = signal("");

/** Counts changes of the latest values. */
export const tick = signal(0);

let latest = new Map<number, Sample>();
// The values that the stream brought since the last connect: newer than any
// snapshot asked for in it.
let streamed = new Map<number, Sample>();
let known = new Set<number>();
let wanted = false;
let reloadable = true;

export function latestOf(id: number): Sample | undefined {
  return latest.get(id);
}

/** Loads the series now and again at every connect. */
export function want(): void {
  if (!wanted) {
    wanted = true;
    effect(() => {
      if (generation.value > 0) {
        streamed = new Map();
        void load();
      }
    });
  }
}

async function load(): Promise<void> {
  try {
    const all = await api.series();
    const order = new Intl.Collator(locale, { numeric: true });
    all.sort((a, b) => order.compare(a.asset, b.asset) || order.compare(a.device, b.device) || order.compare(a.name, b.name));
    latest = new Map(streamed);
    for (const s of all) {
      if (s.latest && !latest.has(s.id)) {
        latest.set(s.id, s.latest);
      }
    }
    known = new Set(all.map((s) => s.id));
    series.value = all;
    failure.value = "";
    tick.value++;
  } catch (error) {
    failure.value = reasonOf(error);
  }
}

export function apply(values: Latest[]): void {
  let unknown = false;
  for (const value of values) {
    latest.set(value.series, value);
    streamed.set(value.series, value);
    unknown ||= !known.has(value.series);
  }
  tick.value++;
  if (unknown && wanted && reloadable) {
    reloadable = false;
    setTimeout(() => {
      reloadable = true;
    }, 5000);
    void load();
  }
}
