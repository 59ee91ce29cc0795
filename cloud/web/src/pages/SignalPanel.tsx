import type { CounterChange, Series } from "@busbar/client";
import { useEffect, useRef } from "preact/hooks";
import { now } from "../clock";
import { timeText } from "../format";
import { t } from "../messages";
import { CounterChanges, useCounterChanges } from "../parts/CounterChanges";
import type { Mark } from "../plot/paint";
import { Recent } from "../plot/Recent";

const spanUs = 600_000_000;

/** The last ten minutes of one series, live. */
export function SignalPanel({ series, close }: { series: Series; close: () => void }) {
  const heading = useRef<HTMLHeadingElement>(null);
  const [changes, failure] = useCounterChanges(series);

  useEffect(() => heading.current?.focus({ preventScroll: true }), []);

  return (
    <aside class="signal-panel panel" data-testid="signal-panel" aria-labelledby="signal-panel-title" onKeyDown={(e) => e.key === "Escape" && close()}>
      <div class="panel-head">
        <h2 id="signal-panel-title" tabIndex={-1} ref={heading}>
          {t("signals.plotOf", { name: series.name })}
        </h2>
        <button onClick={close} data-testid="signal-close">
          {t("signals.close")}
        </button>
      </div>
      <p class="muted">{[series.asset, series.device, series.gateway].filter(Boolean).join(" · ")}</p>
      <Recent series={[series]} spanUs={spanUs} name={(s) => s.name} marks={(changes ?? []).map(markOf)} />
      {series.kind === "counter" && <CounterChanges series={series} changes={changes} failure={failure} />}
    </aside>
  );
}

function markOf(c: CounterChange): Mark {
  return { atUs: c.after_us, label: `${t(`counter.${c.kind}`)} ${timeText(c.after_us, now.value)}` };
}
