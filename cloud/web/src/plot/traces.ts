import type { Sample, Series } from "@busbar/client";
import { effect, signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { api, reasonOf } from "../api";
import { latestOf, tick } from "../data/series";
import { generation, link } from "../stream";

export interface Trace {
  series: Series | undefined;
  samples: Sample[];
  failure: string;
}

/** The stream brings only the newest sample of a burst; the others are asked for, this often at most. */
const everyMs = 1000;

/**
 * The samples of each series from fromUs to toUs, both of which may move and
 * toUs be Infinity: all of them at every connect, then those that are new.
 */
export function useTraces(ids: readonly number[], fromUs: number, toUs: number): ReadonlyMap<number, Trace> {
  const span = useRef({ fromUs, toUs });
  span.current = { fromUs, toUs };
  const [traces] = useState(() => signal<ReadonlyMap<number, Trace>>(new Map()));
  useEffect(() => {
    traces.value = new Map();
    const loads = new Map<number, number>();
    const loading = new Set<number>();
    let timer: ReturnType<typeof setTimeout> | undefined;

    /** Loads what a trace has not yet, or all of it. */
    const load = async (id: number, all: boolean) => {
      const mine = (loads.get(id) ?? 0) + 1;
      loads.set(id, mine);
      loading.add(id);
      const before = traces.peek().get(id);
      const { fromUs, toUs } = span.current;
      const had = all ? [] : (before?.samples ?? []).filter((s) => s.t >= fromUs);
      const last = had.at(-1);
      let trace: Trace;
      try {
        const { series, samples } = await api.samples(id, last ? last.t + 1 : fromUs, toUs);
        trace = { series, samples: [...had, ...(samples ?? [])], failure: "" };
      } catch (error) {
        trace = { series: before?.series, samples: before?.samples ?? [], failure: reasonOf(error) };
      }
      if (loads.get(id) === mine) {
        loading.delete(id);
        traces.value = new Map(traces.peek()).set(id, trace);
      }
    };

    /** Loads where the stream has brought something newer, and looks again later. */
    const catchUp = () => {
      timer = undefined;
      // A new connection loads everything anyway.
      if (link.peek().state !== "live") {
        return;
      }
      const { fromUs, toUs } = span.current;
      for (const id of ids) {
        const trace = traces.peek().get(id);
        const newest = latestOf(id);
        if (trace && newest && newest.t > (trace.samples.at(-1)?.t ?? fromUs) && newest.t <= toUs) {
          timer ??= setTimeout(catchUp, everyMs);
          if (!loading.has(id)) {
            void load(id, false);
          }
        }
      }
    };

    const stops = [
      effect(() => {
        if (generation.value > 0) {
          ids.forEach((id) => void load(id, true));
        }
      }),
      effect(() => {
        tick.value;
        if (timer === undefined) {
          catchUp();
        }
      }),
    ];
    return () => {
      loads.clear();
      clearTimeout(timer);
      stops.forEach((stop) => stop());
    };
  }, [ids.join()]);
  return traces.value;
}
