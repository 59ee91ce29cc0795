import type { Series } from "@busbar/client";
import { now } from "../clock";
import { t } from "../messages";
import { byUnit } from "./line";
import type { Mark } from "./paint";
import { Plot } from "./Plot";
import { useTraces } from "./traces";

interface Props {
  series: readonly Series[];
  /** How long until now. */
  spanUs: number;
  /** What the lines are called. */
  name: (s: Series) => string;
  marks?: readonly Mark[];
}

/** What series have measured lately, live, those of a unit in one plot; and of which that can't be asked. */
export function Recent({ series, spanUs, name, marks = [] }: Props) {
  const toUs = now.value;
  const fromUs = toUs - spanUs;
  const traces = useTraces(
    series.map((s) => s.id),
    fromUs,
    Infinity,
  );
  return (
    <>
      {series.map((s) => {
        const reason = traces.get(s.id)?.failure;
        return (
          reason && (
            <p key={s.id} class="failure" role="alert">
              {t("plot.failed", { name: name(s), reason })}
            </p>
          )
        );
      })}
      {[...byUnit(series)].map(([unit, group]) => (
        <Plot
          key={unit}
          fromUs={fromUs}
          toUs={toUs}
          marks={marks.filter((m) => m.atUs >= fromUs)}
          lines={group.map((s) => ({ name: name(s), unit: s.unit, stepped: s.kind === "state", names: s, samples: (traces.get(s.id)?.samples ?? []).filter((x) => x.t >= fromUs) }))}
        />
      ))}
    </>
  );
}
