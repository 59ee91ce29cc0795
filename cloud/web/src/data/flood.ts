// Whether more alarms ask for attention than people can attend to, as the server sees it.
import type { FloodState } from "@busbar/client";
import { effect, signal } from "@preact/signals";
import { api } from "../api";
import { link } from "../stream";
import { newest } from "./alarms";

/** The floods that go on: that of all that is seen, or else those of zones. */
export const floods = signal<readonly FloodState[]>([]);

const everyMs = 10_000;
const soonMs = 500;

let timer: ReturnType<typeof setTimeout> | undefined;
let asking = false;

async function look(): Promise<void> {
  if (asking) {
    return;
  }
  asking = true;
  try {
    const { whole, zones } = await api.flood();
    floods.value = whole.flood ? [whole] : (zones ?? []).filter((z) => z.flood !== null);
  } catch {
    // What is shown stays until the server answers; the connection's state tells of it.
  } finally {
    asking = false;
    schedule(everyMs);
  }
}

function schedule(ms: number): void {
  clearTimeout(timer);
  timer = setTimeout(() => void look(), ms);
}

/** Asks now and then, and soon after each new alarm. */
export function watchFlood(): void {
  effect(() => {
    if (link.value.state === "live" && (newest.value, true)) {
      schedule(soonMs);
    }
  });
}
