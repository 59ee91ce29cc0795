// The tab's one live connection. Every connect, first or repeated, takes a
// snapshot and then streams from the position which that snapshot includes, so
// no transition can fall between the two, whatever happened in between.
import { signal } from "@preact/signals";
import type { Alarm, Latest } from "./model";

export type Link = { state: "connecting" | "live" } | { state: "reconnecting"; sinceMs: number };

export const link = signal<Link>({ state: "connecting" });

/** Counts connects: what was loaded under an older one has to be loaded again. */
export const generation = signal(0);

export interface Follower {
  /** Loads the snapshot and returns the position in the stream it includes. */
  snapshot(): Promise<number>;
  alarm(alarm: Alarm): void;
  latest(values: Latest[]): void;
}

// A stream without a value or alarm for this long may be a dead connection:
// the server's comment lines don't reach a script.
const silenceMs = 30_000;
const openWithinMs = 10_000;
const backoffMs = [200, 1000, 2000, 5000, 10_000];

export function follow(follower: Follower): void {
  let source: EventSource | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let heardMs = Date.now();
  let attempt = 0;
  let failures = 0;

  function after(ms: number, next: () => void): void {
    clearTimeout(timer);
    timer = setTimeout(next, ms);
  }

  function heard(): void {
    heardMs = Date.now();
    after(silenceMs, connect);
  }

  function lost(): void {
    source?.close();
    if (link.value.state !== "reconnecting") {
      link.value = { state: "reconnecting", sinceMs: heardMs };
    }
    const wait = backoffMs[Math.min(failures++, backoffMs.length - 1)] ?? 0;
    after(wait * (0.5 + Math.random() / 2), connect);
  }

  async function connect(): Promise<void> {
    const mine = ++attempt;
    clearTimeout(timer);
    source?.close();
    let position: number;
    try {
      position = await follower.snapshot();
    } catch {
      if (mine === attempt) {
        lost();
      }
      return;
    }
    if (mine === attempt) {
      open(position);
    }
  }

  function open(position: number): void {
    source = new EventSource(`/api/v1/stream?after=${position}`);
    after(openWithinMs, lost);
    source.onopen = () => {
      failures = 0;
      heard();
      link.value = { state: "live" };
      generation.value++;
    };
    source.onerror = lost;
    source.addEventListener("alarm", (e: MessageEvent<string>) => {
      heard();
      follower.alarm(JSON.parse(e.data) as Alarm);
    });
    source.addEventListener("latest", (e: MessageEvent<string>) => {
      heard();
      follower.latest(JSON.parse(e.data) as Latest[]);
    });
    source.addEventListener("resync", () => {
      source?.close();
      after(1000 * Math.random(), connect);
    });
  }

  window.addEventListener("online", () => {
    if (link.value.state !== "live") {
      void connect();
    }
  });
  // A page that the browser keeps for the back button would keep its stream
  // too, and HTTP/1.1 has six connections for all pages together.
  window.addEventListener("pagehide", () => {
    attempt++;
    clearTimeout(timer);
    source?.close();
  });
  window.addEventListener("pageshow", (e) => {
    if (e.persisted) {
      void connect();
    }
  });
  void connect();
}
