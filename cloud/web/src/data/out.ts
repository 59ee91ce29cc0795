// Which service points are out, in the outages that go on. While that isn't known, of none.
import type { GridOut } from "@busbar/client";
import { effect, signal } from "@preact/signals";
import { api } from "../api";
import type { Scene } from "../map/scene";
import { generation } from "../stream";
import { asking } from "./asking";
import { open } from "./outages";

export const out = signal<GridOut | undefined>(undefined);

/** Outages of zones that aren't seen are out of the list, and so change nothing in it. */
const everyMs = 15_000;

/** Asks at every connect and every change of an outage, and every so often, until the answer is called. */
export function watchOut(): () => void {
  const loop = asking(async () => {
    try {
      const now = await api.gridOut();
      const before = out.peek();
      if (before?.points !== now.points || before.version !== now.version || before.as_of_us !== now.as_of_us) {
        out.value = now;
      }
    } catch (error) {
      out.value = undefined;
      throw error;
    }
  }, everyMs);
  const stop = effect(() => {
    generation.value;
    open.value;
    loop.soon();
  });
  return () => {
    stop();
    loop.stop();
  };
}

/** Whether what is said goes with a map. */
export function isOf(said: GridOut | undefined, now: Scene): said is GridOut {
  return said !== undefined && said.version === now.map.version && said.as_of_us === now.map.as_of_us;
}
