// Alarms by what they have in common: their feeder, or else their site.
import type { Alarm } from "@busbar/client";
import { signal } from "@preact/signals";
import { quiet } from "../model";

export interface Group {
  title: string;
  alarms: Alarm[];
  unacknowledged: number;
  /** How many more are kept quiet, as another alarm stands for them or people have shelved them. */
  quiet: number;
  open: boolean;
}

export type Item = Alarm | Group;

export function isGroup(item: Item): item is Group {
  return "title" in item;
}

/** Groups that somebody has opened or closed. */
export const turned = signal<ReadonlyMap<string, boolean>>(new Map());

export function turn(group: string, open: boolean): void {
  turned.value = new Map(turned.value).set(group, open);
}

const fewEnough = 5;

export function groupOf(a: Alarm): string {
  return a.feeder || a.site || a.gateway;
}

/** Each group in the order of its first alarm, with the alarms that ask for attention below it while it is open. */
export function grouped(alarms: readonly Alarm[]): Item[] {
  const by = new Map<string, Group>();
  for (const a of alarms) {
    const name = groupOf(a);
    let of = by.get(name);
    if (!of) {
      of = { title: name, alarms: [], unacknowledged: 0, quiet: 0, open: false };
      by.set(name, of);
    }
    if (quiet(a)) {
      of.quiet++;
      continue;
    }
    of.alarms.push(a);
    if (!a.acknowledged) {
      of.unacknowledged++;
    }
  }
  const items: Item[] = [];
  for (const of of by.values()) {
    if (of.alarms.length === 0) {
      continue;
    }
    of.open = turned.value.get(of.title) ?? of.alarms.length <= fewEnough;
    items.push(of, ...(of.open ? of.alarms : []));
  }
  return items;
}
