// What this tab hears of the browser's one live connection. All tabs share it:
// HTTP/1.1 has six connections for all of them together. One tab leads, holds
// the stream and passes on what it brings; the others follow.
//
// Each tab shows a snapshot of its own. The leader streams from the position
// which its snapshot includes. A follower takes its snapshot while it listens
// to a stream that is open already, and applies what lies after the snapshot's
// position. So no transition can fall between the two.
import type { Alarm, Latest, Outage } from "@busbar/client";
import { signal } from "@preact/signals";
import { canLead, lead } from "./leader";
import { hold, type News } from "./source";

export type Link = { state: "connecting" | "live" } | { state: "reconnecting"; sinceMs: number };

export const link = signal<Link>({ state: "connecting" });

/** Counts connects: what was loaded under an older one has to be loaded again. */
export const generation = signal(0);

/** The server's state at a position in the stream. */
export interface Snapshot {
  seq: number;
  show(): void;
}

export interface Follower {
  snapshot(): Promise<Snapshot>;
  alarm(alarm: Alarm): void;
  outage(outage: Outage): void;
  latest(values: Latest[]): void;
}

// Of the channel and the lock; another number for other messages.
const name = "busbar.stream.1";

// A leader tells of its stream at least every 30 s, and answers at once. One
// that does neither is a tab that the browser has suspended.
const patienceMs = 40_000;
const answerMs = 2000;
const retryMs = 2000;

type Message = { kind: "hello" } | News;

export function follow(page: Follower): void {
  const channel = canLead() ? new BroadcastChannel(name) : undefined;
  let candidacy = new AbortController();
  let leading = false;
  let told: News | undefined;

  let stream = "";
  let position: number | undefined;
  let early: (News & { kind: "alarm" })[] = [];
  let loads = 0;
  let heardMs = Date.now();
  let asked = false;
  let patience: ReturnType<typeof setTimeout> | undefined;
  let retry: ReturnType<typeof setTimeout> | undefined;

  /** Shows a snapshot, unless a newer one has been asked for meanwhile. */
  async function load(): Promise<{ seq: number; current: boolean }> {
    const mine = ++loads;
    position = undefined;
    early = [];
    const { seq, show } = await page.snapshot();
    const current = mine === loads;
    if (current) {
      show();
      position = seq;
    }
    return { seq, current };
  }

  function live(): void {
    link.value = { state: "live" };
    generation.value++;
  }

  function lost(sinceMs: number): void {
    if (link.value.state !== "reconnecting") {
      link.value = { state: "reconnecting", sinceMs };
    }
  }

  async function join(id: string): Promise<void> {
    clearTimeout(retry);
    stream = id;
    try {
      const { current } = await load();
      if (current) {
        early.splice(0).forEach(alarm);
        live();
      }
    } catch {
      if (stream === id) {
        lost(heardMs);
        retry = setTimeout(() => void join(id), retryMs * (0.5 + Math.random() / 2));
      }
    }
  }

  function alarm(news: News & { kind: "alarm" }): void {
    if (position === undefined) {
      early.push(news);
    } else if (news.seq > position) {
      position = news.seq;
      page.alarm(news.alarm);
    }
  }

  /** Takes in what this tab's own stream brought, and tells the others. */
  function tell(news: News): void {
    channel?.postMessage(news satisfies Message);
    switch (news.kind) {
      case "live":
        live();
        break;
      case "lost":
        lost(news.sinceMs);
        break;
      case "alarm":
        alarm(news);
        return;
      case "outage":
        page.outage(news.outage);
        return;
      case "latest":
        page.latest(news.values);
        return;
    }
    told = news;
  }

  function hear(message: Message): void {
    if (message.kind === "hello") {
      if (leading) {
        channel?.postMessage((told ?? { kind: "connecting" }) satisfies Message);
      }
      return;
    }
    if (leading) {
      return;
    }
    if ("stream" in message && message.kind !== "live" && message.stream !== stream) {
      if (!asked) {
        ask();
      }
      return;
    }
    asked = false;
    clearTimeout(patience);
    patience = setTimeout(ask, patienceMs);
    heardMs = Date.now();
    if (message.kind === "connecting") {
      return;
    }
    if (message.kind === "lost") {
      clearTimeout(retry);
      stream = "";
      lost(message.sinceMs);
      // The stream may be all that doesn't work.
      load().catch(() => undefined);
    } else if (message.kind === "live") {
      if (message.stream !== stream) {
        void join(message.stream);
      }
    } else if (message.kind === "alarm") {
      alarm(message);
    } else if (message.kind === "outage") {
      page.outage(message.outage);
    } else {
      page.latest(message.values);
    }
  }

  function ask(): void {
    asked = true;
    clearTimeout(patience);
    channel?.postMessage({ kind: "hello" } satisfies Message);
    patience = setTimeout(() => stand(true), answerMs);
  }

  /** Holds the stream from now on; returns how to let go of it. */
  function start(): () => void {
    clearTimeout(patience);
    clearTimeout(retry);
    leading = true;
    told = undefined;
    stream = "";
    const release = hold(async () => (await load()).seq, tell);
    return () => {
      leading = false;
      loads++;
      release();
    };
  }

  function stand(steal: boolean): void {
    candidacy.abort();
    candidacy = new AbortController();
    const { signal } = candidacy;
    if (!channel) {
      const release = start();
      signal.addEventListener("abort", release);
      return;
    }
    lead(name, start, signal, steal).then(
      () => {
        if (!signal.aborted) {
          stand(false);
        }
      },
      () => signal.addEventListener("abort", start()),
    );
    if (!steal) {
      ask();
    }
  }

  channel?.addEventListener("message", (e: MessageEvent<Message>) => hear(e.data));
  // A page that the browser keeps for the back button would lead on unheard.
  window.addEventListener("pagehide", () => {
    loads++;
    clearTimeout(patience);
    clearTimeout(retry);
    candidacy.abort();
  });
  window.addEventListener("pageshow", (e) => {
    if (e.persisted) {
      stream = "";
      stand(false);
    }
  });
  stand(false);
}
