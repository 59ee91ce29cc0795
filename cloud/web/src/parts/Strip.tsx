import { stateOfLetter } from "../data/quarters";
import type { QuarterState } from "../model";

interface Run {
  state: QuarterState;
  from: number;
  length: number;
}

function runsOf(letters: string): Run[] {
  const runs: Run[] = [];
  [...letters].forEach((letter, i) => {
    const state = stateOfLetter(letter);
    const last = runs.at(-1);
    if (last?.state === state) {
      last.length++;
    } else {
      runs.push({ state, from: i, length: 1 });
    }
  });
  return runs;
}

// The worse, the taller: what is normal stays low.
const heights: Record<QuarterState, number> = {
  complete: 6,
  late: 11,
  incomplete: 20,
  open: 2,
  unknown: 20,
  inconsistent: 20,
  "not-configured": 0,
};

/** One bar of a quarter-hour, or of equal ones side by side, in units of a quarter-hour and 20. */
function Bar({ state, from, length }: Run) {
  const height = heights[state];
  return (
    <>
      <rect class={`quarter ${state}`} x={from} y={20 - height} width={length} height={height} />
      {state === "inconsistent" && <path class="quarter-cross" d={`M${from} 0L${from + length} 20M${from} 20L${from + length} 0`} />}
    </>
  );
}

/** A quarter-hour of a state, as the legend shows it. */
export function Swatch({ state }: { state: QuarterState }) {
  return (
    <svg class="quarter-swatch" viewBox="0 0 1 20" width="12" height="16" preserveAspectRatio="none" aria-hidden="true">
      <Bar state={state} from={0} length={1} />
    </svg>
  );
}

interface StripProps {
  label: string;
  letters: string;
  chosen: number | undefined;
  /** What a quarter-hour is, in words. */
  describe: (i: number) => string;
  choose: (i: number) => void;
}

/** A day's quarter-hours as bars. One is chosen with the pointer or, as on a slider, with the keyboard. */
export function Strip({ label, letters, chosen, describe, choose }: StripProps) {
  const n = letters.length;
  const last = n - 1;
  const at = Math.min(chosen ?? firstOfInterest(letters), last);
  const key = (e: KeyboardEvent) => {
    const to: Record<string, number> = {
      ArrowLeft: chosen === undefined ? at : at - 1,
      ArrowDown: chosen === undefined ? at : at - 1,
      ArrowRight: chosen === undefined ? at : at + 1,
      ArrowUp: chosen === undefined ? at : at + 1,
      PageDown: at - 4,
      PageUp: at + 4,
      Home: 0,
      End: last,
      Enter: at,
      " ": at,
    };
    const next = to[e.key];
    if (next !== undefined && !e.ctrlKey && !e.metaKey && !e.altKey) {
      e.preventDefault();
      choose(Math.max(0, Math.min(last, next)));
    }
  };
  const point = (e: MouseEvent) => {
    const box = (e.currentTarget as Element).getBoundingClientRect();
    choose(Math.max(0, Math.min(last, Math.floor(((e.clientX - box.left) / box.width) * n))));
  };
  return (
    <div
      class="strip"
      role="slider"
      tabIndex={0}
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={last}
      aria-valuenow={at}
      aria-valuetext={describe(at)}
      onKeyDown={key}
      onClick={point}
      data-testid="strip"
      data-quarters={letters}
    >
      <svg viewBox={`0 0 ${n} 20`} preserveAspectRatio="none" aria-hidden="true">
        {runsOf(letters).map((run) => (
          <Bar key={run.from} {...run} />
        ))}
        {chosen !== undefined && <rect class="quarter-chosen" x={at} y={0} width={1} height={20} />}
      </svg>
    </div>
  );
}

/** Where the keyboard begins: at the first quarter-hour that isn't as it should be. */
function firstOfInterest(letters: string): number {
  return Math.max(0, [...letters].findIndex((l) => !"clo-".includes(l)));
}
