import type { CounterChange, Series } from "@busbar/client";
import { useEffect, useState } from "preact/hooks";
import { api, reasonOf } from "../api";
import { now, nowUs } from "../clock";
import { numberText, valueText } from "../format";
import { t } from "../messages";
import { generation } from "../stream";
import { Moment } from "./Times";

const spanUs = 30 * 86_400_000_000;
const everyUs = 10_000_000;

/** Where a counter rolled over or was reset in the last 30 days, newest first, and why that can't be said. Other series have none. */
export function useCounterChanges(series: Series): [readonly CounterChange[] | undefined, string] {
  const [changes, setChanges] = useState<readonly CounterChange[]>();
  const [failure, setFailure] = useState("");
  const round = Math.floor(now.value / everyUs);
  useEffect(() => {
    if (series.kind !== "counter") {
      return;
    }
    let current = true;
    const until = nowUs() + everyUs;
    api.counterChanges(series.id, until - spanUs, until).then(
      (answer) => {
        if (current) {
          setChanges(answer);
          setFailure("");
        }
      },
      (error: unknown) => {
        if (current) {
          setFailure(reasonOf(error));
        }
      },
    );
    return () => {
      current = false;
    };
  }, [series.id, series.kind, round, generation.value]);
  return [changes, failure];
}

export function CounterChanges({ series, changes, failure }: { series: Series; changes: readonly CounterChange[] | undefined; failure: string }) {
  return (
    <section class="counter-changes" data-testid="counter-changes">
      <h3>{t("counter.title")}</h3>
      {failure && (
        <p class="failure" role="alert">
          {t("counter.failed", { reason: failure })}
        </p>
      )}
      {changes?.length === 0 && <p class="muted">{t("counter.none")}</p>}
      {changes && changes.length > 0 && (
        <ol class="history">
          {changes.map((c) => (
            <li key={`${c.after_us} ${c.kind}`} data-testid="counter-change" data-kind={c.kind}>
              <Moment us={c.after_us} />
              <strong>{t(`counter.${c.kind}`)}</strong>
              <span>{t("counter.values", { before: numberText(c.before), after: valueText(c.after, series.unit) })}</span>
              {c.modulus > 0 && <span>{t("counter.counted", { n: valueText(c.after - c.before + c.modulus, series.unit) })}</span>}
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}
