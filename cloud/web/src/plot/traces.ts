import { effect, signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { api, reasonOf } from "../api";
import { latestOf, tick } from "../data/series";
import type { Sample, Series } from "../model";
import { generation } from "../stream";

export interface Trace {
  series: Series | undefined;
  samples: Sample[];
  failure: string;
}

/**
 * The samples of each series from fromUs to toUs, both of which may move and
 * toUs be Infinity: stored ones, loaded at every connect, then live ones as they come.
 */
export function useTraces(ids: readonly number[], fromUs: number, toUs: number): ReadonlyMap<number, Trace> {
  const span = useRef({ fromUs, toUs });
  span.current = { fromUs, toUs };
  const [traces] = useState(() => signal<ReadonlyMap<number, Trace>>(new Map()));
  useEffect(() => {
    traces.value = new Map();
    let current = true;
    const put = (id: number, trace: Trace) => {
      traces.value = new Map(traces.peek()).set(id, trace);
    };

    const load = async (id: number) => {
      const { fromUs, toUs } = span.current;
      try {
        const { series, samples } = await api.samples(id, fromUs, Math.min(toUs, Number.MAX_SAFE_INTEGER));
        const stored = samples ?? [];
        const storedUs = stored.at(-1)?.t ?? fromUs;
        const live = (traces.peek().get(id)?.samples ?? []).filter((s) => s.t > storedUs);
        if (current) {
          put(id, { series, samples: [...stored, ...live], failure: "" });
        }
      } catch (error) {
        if (current) {
          put(id, { series: undefined, samples: traces.peek().get(id)?.samples ?? [], failure: reasonOf(error) });
        }
      }
    };

    const stops = [
      effect(() => {
        if (generation.value > 0) {
          ids.forEach((id) => void load(id));
        }
      }),
      effect(() => {
        tick.value;
        const { fromUs, toUs } = span.current;
        for (const id of ids) {
          const trace = traces.peek().get(id);
          const sample = latestOf(id);
          if (trace && sample && sample.t > (trace.samples.at(-1)?.t ?? fromUs) && sample.t <= toUs) {
            put(id, { ...trace, samples: [...trace.samples.filter((s) => s.t >= fromUs), sample] });
          }
        }
      }),
    ];
    return () => {
      current = false;
      stops.forEach((stop) => stop());
    };
  }, [ids.join()]);
  return traces.value;
}
