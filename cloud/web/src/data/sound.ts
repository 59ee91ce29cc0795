// The sound of the highest unacknowledged priority, in one tab of a browser.
import { effect, signal } from "@preact/signals";
import { keep, recall } from "../kept";
import { priorities, type Priority } from "../model";
import { unacknowledged } from "./alarms";

/** Whether this console is silent, which this browser keeps. */
export const muted = signal(recall("muted") === "yes");

/** What sounds now; undefined: nothing, or not in this tab. */
export const sounding = signal<Priority | undefined>(undefined);

/** Whether the browser waits for a click or a key before it lets a page sound. */
export const waiting = signal(false);

interface Tone {
  hertz: number[];
  everyMs: number;
}

// The more urgent, the higher, the more tones and the more often.
const tones: Record<Priority, Tone> = {
  critical: { hertz: [880, 660, 880, 660], everyMs: 2000 },
  high: { hertz: [660, 660, 660], everyMs: 5000 },
  medium: { hertz: [520, 520], everyMs: 15_000 },
  low: { hertz: [440], everyMs: 60_000 },
};

const toneS = 0.18;
const gapS = 0.06;

export function mute(yes: boolean): void {
  muted.value = yes;
  keep("muted", yes ? "yes" : "no");
}

/** One tab sounds for all of them, where the browser has locks. */
const mine = signal(!("locks" in navigator));

let context: AudioContext | undefined;

function play(priority: Priority): void {
  if (!context && !navigator.userActivation.hasBeenActive) {
    waiting.value = true; // the browser would complain of one that is made before
    return;
  }
  context ??= new AudioContext();
  waiting.value = context.state !== "running";
  if (waiting.value) {
    void context.resume().then(() => {
      waiting.value = false;
    });
    return;
  }
  const at = context.currentTime;
  tones[priority].hertz.forEach((hertz, i) => {
    if (context) {
      const tone = new OscillatorNode(context, { frequency: hertz });
      const volume = new GainNode(context, { gain: 0.15 });
      const begin = at + i * (toneS + gapS);
      tone.connect(volume).connect(context.destination);
      tone.start(begin);
      tone.stop(begin + toneS);
    }
  });
}

export function watchSound(): void {
  if ("locks" in navigator) {
    void navigator.locks.request("busbar.sound.1", () => {
      mine.value = true;
      return new Promise<void>(() => undefined); // until the tab goes
    });
  }
  let timer: ReturnType<typeof setInterval> | undefined;
  effect(() => {
    const counts = unacknowledged.value;
    sounding.value = muted.value || !mine.value ? undefined : priorities.find((p) => counts[p] > 0);
  });
  effect(() => {
    clearInterval(timer);
    const now = sounding.value;
    if (now) {
      play(now);
      timer = setInterval(() => play(now), tones[now].everyMs);
    }
  });
  for (const kind of ["pointerdown", "keydown"]) {
    document.addEventListener(kind, () => {
      if (waiting.value && sounding.value) {
        play(sounding.value);
      }
    });
  }
}
