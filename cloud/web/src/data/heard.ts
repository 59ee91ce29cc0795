// Of which service points something is heard. While that isn't known, of none.
import type { GridHeard } from "@busbar/client";
import { signal } from "@preact/signals";
import { api } from "../api";
import type { Scene } from "../map/scene";
import { generation, link } from "../stream";

const everyMs = 30_000;

export const heard = signal<GridHeard | undefined>(undefined);

async function load(): Promise<void> {
  try {
    heard.value = await api.gridHeard();
  } catch {
    heard.value = undefined;
  }
}

/** Asks again and again, until the answer is called. */
export function watchHeard(): () => void {
  void load();
  const timer = setInterval(() => {
    if (link.value.state === "live" && generation.value > 0) {
      void load();
    }
  }, everyMs);
  return () => clearInterval(timer);
}

export type Hearing = "heard" | "silent" | "unmeasured" | "unasked";

const byLetter: Record<string, Hearing> = { h: "heard", s: "silent", u: "unmeasured" };

/** What is heard of the service points, by their places in the map's list. An answer about another map says nothing. */
export function hearings(now: Scene, said: GridHeard | undefined): (point: number) => Hearing {
  const letters = said && said.version === now.map.version && said.as_of_us === now.map.as_of_us ? said.points : "";
  return (point) => byLetter[letters[point] ?? ""] ?? "unasked";
}
