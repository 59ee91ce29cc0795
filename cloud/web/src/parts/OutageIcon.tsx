import type { Outage } from "@busbar/client";
import { standingOf } from "../data/outages";
import { shapes } from "../map/shapes";
import { t } from "../messages";

/** How far an outage has come, by shape, colour and word. */
export function OutageState({ outage }: { outage: Outage }) {
  const standing = standingOf(outage);
  const { outline, inner, filled } = shapes[standing];
  return (
    <span class={`outage-state ${standing}`}>
      <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
        <path d={outline} fill={filled ? "currentColor" : "none"} stroke="currentColor" stroke-width="1.4" />
        {inner && <path d={inner} fill="none" stroke="currentColor" stroke-width="1.4" />}
      </svg>
      {t(`outage.state.${outage.state}`)}
    </span>
  );
}
