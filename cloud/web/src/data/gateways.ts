import type { Gateway } from "@busbar/client";
import { effect, signal } from "@preact/signals";
import { api } from "../api";
import { generation, link } from "../stream";

const everyMs = 10_000;

export const gateways = signal<readonly Gateway[] | undefined>(undefined);

async function load(): Promise<void> {
  try {
    gateways.value = await api.gateways();
  } catch {
    // The connection state tells of a server that can't be reached.
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
