// Which service points are out, in the outages that go on. While that isn't known, of none.
import type { GridOut } from "@busbar/client";
import { effect, signal } from "@preact/signals";
import { api } from "../api";
import type { Scene } from "../map/scene";
import { generation } from "../stream";
import { open } from "./outages";

export const out = signal<GridOut | undefined>(undefined);

/** Changes that come together are asked for once, and in a storm no more often than this. */
const soonMs = 100;
const restMs = 1000;
const retryMs = 5000;

/** Asks at every connect and every change of an outage, until the answer is called. */
export function watchOut(): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let asking = false;
  let again = false;
  let over = false;
  let asked = -restMs;
  const wait = (ms: number) => {
    if (!over) {
      timer ??= setTimeout(() => void ask(), ms);
    }
  };
  const soon = () => {
    if (asking) {
      again = true;
    } else {
      wait(Math.max(soonMs, asked + restMs - performance.now()));
    }
  };
  const ask = async () => {
    timer = undefined;
    [asking, again, asked] = [true, false, performance.now()];
    let failed = false;
    try {
      const now = await api.gridOut();
      const before = out.peek();
      if (before?.points !== now.points || before.version !== now.version || before.as_of_us !== now.as_of_us) {
        out.value = now;
      }
    } catch {
      out.value = undefined;
      failed = true;
    }
    asking = false;
    if (failed) {
      wait(retryMs);
    } else if (again) {
      soon();
    }
  };
  const stop = effect(() => {
    generation.value;
    open.value;
    soon();
  });
  return () => {
    over = true;
    stop();
    clearTimeout(timer);
  };
}

/** Whether what is said goes with a map. */
export function isOf(said: GridOut | undefined, now: Scene): said is GridOut {
  return said !== undefined && said.version === now.map.version && said.as_of_us === now.map.as_of_us;
}
