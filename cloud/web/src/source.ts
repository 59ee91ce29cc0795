// The connection itself, held by one tab.
import type { Alarm, Latest } from "./model";

/** What a stream brings. Each connection is another stream, named at random. */
export type News =
  | { kind: "connecting" }
  | { kind: "live"; stream: string }
  | { kind: "lost"; sinceMs: number }
  | { kind: "alarm"; stream: string; seq: number; alarm: Alarm }
  | { kind: "latest"; stream: string; values: Latest[] };

// A stream without a value or alarm for this long may be a dead connection:
// the server's comment lines don't reach a script.
const silenceMs = 30_000;
const openWithinMs = 10_000;
const backoffMs = [200, 1000, 2000, 5000, 10_000];

/**
 * Holds a stream open, each time from the position that snapshot returns, and
 * tells what comes, until the returned function is called.
 */
export function hold(snapshot: () => Promise<number>, tell: (news: News) => void): () => void {
  let source: EventSource | undefined;
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
    source?.close();
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
      listen(position);
    }
  }

  function listen(position: number): void {
    const stream = Math.random().toString(36).slice(2);
    const heard = () => {
      heardMs = Date.now();
      after(silenceMs, () => void connect());
    };
    source = new EventSource(`/api/v1/stream?after=${position}`);
    after(openWithinMs, lost);
    source.onopen = () => {
      failures = 0;
      open = true;
      heard();
      tell({ kind: "live", stream });
    };
    source.onerror = lost;
    source.addEventListener("alarm", (e: MessageEvent<string>) => {
      heard();
      tell({ kind: "alarm", stream, seq: Number(e.lastEventId), alarm: JSON.parse(e.data) as Alarm });
    });
    source.addEventListener("latest", (e: MessageEvent<string>) => {
      heard();
      tell({ kind: "latest", stream, values: JSON.parse(e.data) as Latest[] });
    });
    source.addEventListener("resync", () => {
      close();
      after(1000 * Math.random(), () => void connect());
    });
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
