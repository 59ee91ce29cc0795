// The connection itself, held by one tab.
import type { Alarm, Latest, Outage } from "@busbar/client";
import { api } from "./api";

/** What a stream brings. Each connection is another stream, named at random. */
export type News =
  | { kind: "connecting" }
  | { kind: "live"; stream: string }
  | { kind: "lost"; sinceMs: number }
  | { kind: "alarm"; stream: string; seq: number; alarm: Alarm }
  | { kind: "outage"; stream: string; outage: Outage }
  | { kind: "latest"; stream: string; values: Latest[] };

// A stream without a value or alarm for this long may be a dead connection.
const silenceMs = 30_000;
const openWithinMs = 10_000;
const backoffMs = [200, 1000, 2000, 5000, 10_000];

/**
 * Holds a stream open, each time from the position that snapshot returns, and
 * tells what comes, until the returned function is called.
 */
export function hold(snapshot: () => Promise<number>, tell: (news: News) => void): () => void {
  let connection = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let heardMs = Date.now();
  let attempt = 0;
  let failures = 0;
  let open = false;

  function after(ms: number, next: () => void): void {
    clearTimeout(timer);
    timer = setTimeout(next, ms);
  }

  function close(): void {
    connection.abort();
    open = false;
  }

  function lost(): void {
    close();
    tell({ kind: "lost", sinceMs: heardMs });
    const wait = backoffMs[Math.min(failures++, backoffMs.length - 1)] ?? 0;
    after(wait * (0.5 + Math.random() / 2), () => void connect());
  }

  async function connect(): Promise<void> {
    const mine = ++attempt;
    clearTimeout(timer);
    close();
    let position: number;
    try {
      position = await snapshot();
    } catch {
      if (mine === attempt) {
        lost();
      }
      return;
    }
    if (mine === attempt) {
      connection = new AbortController();
      void listen(position, connection.signal);
    }
  }

  async function listen(position: number, signal: AbortSignal): Promise<void> {
    const stream = Math.random().toString(36).slice(2);
    const heard = () => {
      heardMs = Date.now();
      after(silenceMs, () => void connect());
    };
    after(openWithinMs, lost);
    try {
      const events = await api.stream(position, signal);
      failures = 0;
      open = true;
      heard();
      tell({ kind: "live", stream });
      for await (const event of events) {
        if (signal.aborted) {
          return;
        }
        switch (event.event) {
          case "alarm":
            heard();
            tell({ kind: "alarm", stream, seq: event.id, alarm: event.data });
            break;
          case "outage":
            heard();
            tell({ kind: "outage", stream, outage: event.data });
            break;
          case "latest":
            heard();
            tell({ kind: "latest", stream, values: event.data });
            break;
          case "resync":
            close();
            after(1000 * Math.random(), () => void connect());
            return;
        }
      }
    } catch {
      // It is lost, as when it ends.
    }
    if (!signal.aborted) {
      lost();
    }
  }

  const online = () => {
    if (!open) {
      void connect();
    }
  };
  window.addEventListener("online", online);
  void connect();
  return () => {
    attempt++;
    clearTimeout(timer);
    close();
    window.removeEventListener("online", online);
  };
}
