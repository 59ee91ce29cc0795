import type { Series } from "@busbar/client";
import type { ComponentChildren } from "preact";
import { latestOf, tick } from "../data/series";
import { valueText } from "../format";
import { t } from "../messages";
import { Quality } from "./Quality";
import { Age, Moment } from "./Times";

/** The newest values of series, live, with their quality and age. */
export function Readings({ series, name }: { series: readonly Series[]; name: (s: Series) => ComponentChildren }) {
  tick.value;
  return (
    <ul class="inputs">
      {series.map((s) => {
        const latest = latestOf(s.id) ?? s.latest;
        return (
          <li key={s.id}>
            <span class="input-name">{name(s)}</span>
            <span class="input-value">{latest ? valueText(latest.v, s.unit, latest.text, s) : t("signals.noValue")}</span>
            {latest && <Quality quality={latest.q} />}
            {latest && (
              <span>
                <Moment us={latest.t} /> (<Age us={latest.t} />)
              </span>
            )}
          </li>
        );
      })}
    </ul>
  );
}
