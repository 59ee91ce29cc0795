// Which service points are out, of the outages that go on.
import type { Outage, Point } from "@busbar/client";
import { effect, signal } from "@preact/signals";
import { api } from "../api";
import { open } from "../data/outages";

export type OutagePoint = Pick<Point, "id" | "out">;

/** By outage; as many of each as an answer has. */
export const lostPoints = signal<ReadonlyMap<string, readonly OutagePoint[]>>(new Map());

const seen = new Map<string, number>();
const atOnce = 4;
const restMs = 2000;
let timer: ReturnType<typeof setTimeout> | undefined;
let asking = false;

function stale(): Outage[] {
  return open.peek().filter((o) => seen.get(o.id) !== o.points_out);
}

/** Asks for those whose number has changed, a few at a time. */
async function catchUp(): Promise<void> {
  timer = undefined;
  asking = true;
  const next = new Map(lostPoints.peek());
  await Promise.all(
    stale()
      .slice(0, atOnce)
      .map(async (o) => {
        seen.set(o.id, o.points_out);
        try {
          next.set(o.id, o.points_out === 0 ? [] : await api.outagePoints(o.id));
        } catch {
          // The outage itself is drawn; it is asked for again at its next change.
        }
      }),
  );
  lostPoints.value = next;
  asking = false;
  if (stale().length > 0) {
    timer ??= setTimeout(() => void catchUp(), restMs / 4);
  }
}

effect(() => {
  open.value;
  if (!asking && timer === undefined && stale().length > 0) {
    timer = setTimeout(() => void catchUp(), 100);
  }
});
