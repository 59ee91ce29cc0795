import type { Sample } from "@busbar/client";
import { valueText, durationText, timeText, unitText } from "../format";
import { t } from "../messages";
import { isUsable, type Names } from "../model";

/** One series as a plot shows it. */
export interface Line {
  name: string;
  unit: string;
  stepped: boolean;
  /** What its values are called. */
  names?: Names | undefined;
  samples: readonly Sample[];
}

/** What shares an axis, by the unit as a person writes it. */
export function byUnit<T extends { unit: string }>(all: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) {
    const unit = unitText(one.unit);
    groups.set(unit, [...(groups.get(unit) ?? []), one]);
  }
  return groups;
}

/** samples with one more at its place, unless there is one at its time. */
export function insert(samples: readonly Sample[], one: Sample): readonly Sample[] {
  const at = samples.findIndex((s) => s.t >= one.t);
  if (at >= 0 && samples[at]?.t === one.t) {
    return samples;
  }
  return at < 0 ? [...samples, one] : samples.toSpliced(at, 0, one);
}

/** A stretch of time in µs without a usable value. */
export type Gap = [fromUs: number, toUs: number];

/** From each unusable sample to the next usable one, or to endUs. */
export function gaps(samples: readonly Sample[], endUs: number): Gap[] {
  const found: Gap[] = [];
  let from: number | undefined;
  for (const s of samples) {
    if (!isUsable(s)) {
      from ??= s.t;
    } else if (from !== undefined) {
      found.push([from, s.t]);
      from = undefined;
    }
  }
  if (from !== undefined) {
    found.push([from, Math.max(from, endUs)]);
  }
  return found;
}

/** What the plot of a line shows, in words. */
export function describe(line: Line, endUs: number, nowUs: number): string {
  const { name, samples } = line;
  const last = samples.at(-1);
  if (!last) {
    return t("plot.empty", { name });
  }
  let min = Infinity;
  let max = -Infinity;
  let n = 0;
  for (const s of samples) {
    if (isUsable(s) && s.v !== null) {
      n++;
      min = Math.min(min, s.v);
      max = Math.max(max, s.v);
    }
  }
  const sentences = [
    n === 0
      ? t("plot.allBad", { name })
      : t("plot.range", { name, n, min: valueText(min, "1"), max: valueText(max, line.unit) }),
    t("plot.last", { value: valueText(last.v, line.unit, last.text ?? last.q, line.names), time: timeText(last.t, nowUs) }),
  ];
  const bad = gaps(samples, endUs).reduce((sum, [from, to]) => sum + to - from, 0);
  if (bad > 0) {
    sentences.push(t("plot.bad", { duration: durationText(bad) }));
  }
  return sentences.join(" ");
}
