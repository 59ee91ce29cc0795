import type { AssetHealth } from "@busbar/client";
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { api, reasonOf } from "../api";
import { durationText, numberText, percentText, shareText, valueText } from "../format";
import { t } from "../messages";
import { Age, Moment } from "../parts/Times";
import { generation } from "../stream";

const everyMs = 60_000;
const tenMinutes = 600_000_000;

/** A line: its value, and of which period and from what it is; or why it isn't known. */
interface Line {
  name: Exclude<keyof AssetHealth, "asset" | "as_of_us">;
  value: ComponentChildren;
  abnormal?: boolean;
  of: string;
}

/** How an asset does, as far as is known; newer changes whenever it may do otherwise. */
export function Health({ id, newer }: { id: string; newer: string }) {
  const [health, setHealth] = useState<AssetHealth | undefined>(undefined);
  const [failure, setFailure] = useState("");
  useEffect(() => {
    let current = true;
    const ask = () =>
      void api.health(id).then(
        (of) => {
          if (current) {
            setHealth(of);
            setFailure("");
          }
        },
        (error: unknown) => {
          if (current) {
            setHealth(undefined);
            setFailure(t("page.failed", { reason: reasonOf(error) }));
          }
        },
      );
    ask();
    const timer = setInterval(ask, everyMs);
    return () => {
      current = false;
      clearInterval(timer);
    };
  }, [id, generation.value, newer]);
  if (!health) {
    return <p role="status">{failure || t("page.loading")}</p>;
  }
  return (
    <>
      <dl class="facts health" data-testid="health">
        {linesOf(health).map(({ name, value, abnormal, of }) => {
          const why = health[name].unknown;
          return (
            why !== "not-applicable" && (
              <>
                <dt>{t(`health.${name}`)}</dt>
                <dd data-line={name} data-unknown={why}>
                  {why ? (
                    <span class="muted">
                      {t("health.unknown")}: {t(`health.why.${why}`)}
                    </span>
                  ) : (
                    <span class={abnormal ? "abnormal" : ""}>{value}</span>
                  )}
                  <small class="muted">{of}</small>
                </dd>
              </>
            )
          );
        })}
      </dl>
      <p class="muted">
        {t("health.asOf")} <Moment us={health.as_of_us} />
      </p>
    </>
  );
}

function linesOf(h: AssetHealth): Line[] {
  const minutes = (us: number) => us / 60_000_000;
  const { supply, communication: c, completeness, quality, alarms, interruptions, operations, voltage, loading } = h;
  // Of transformers as people say it.
  const inThousands = (v: number) => (loading.unit === "V.A" ? valueText(v / 1000, "kV.A") : valueText(v, loading.unit));
  return [
    {
      name: "supply",
      value: supply.state && t(`health.supply.${supply.state}`),
      abnormal: supply.state !== "live",
      of: t("health.of.supply"),
    },
    {
      name: "communication",
      value: (
        <>
          {t("health.heard", { n: c.heard, of: c.gateways })}, {t("health.signals", { n: c.signals })}
          {c.valueless > 0 && `, ${t("health.valueless", { n: c.valueless })}`}
          {c.newest_us !== null && (
            <>
              , {t("health.newest")} <Age us={c.newest_us} />
            </>
          )}
          {c.oldest_us !== null && c.oldest_us !== c.newest_us && (
            <>
              , {t("health.oldest")} <Age us={c.oldest_us} />
            </>
          )}
        </>
      ),
      abnormal: c.heard < c.gateways,
      of: t("health.of.communication"),
    },
    {
      name: "completeness",
      value: t("health.completeness.value", { share: shareText(completeness.present, completeness.expected), n: completeness.accounted, of: completeness.quarter_hours }),
      of: t("health.of.completeness", { n: completeness.devices_looked_at, of: completeness.devices }),
    },
    {
      name: "quality",
      value: t("health.quality.value", { share: shareText(quality.good, quality.samples), n: quality.samples }),
      of: t("health.of.quality", { n: quality.signals, of: quality.signals_of }),
    },
    {
      name: "alarms",
      value: t("health.alarms.value", { n: alarms.active, month: alarms.raised_30d, year: alarms.raised_365d }),
      abnormal: alarms.active > 0,
      of: t("health.of.alarms"),
    },
    {
      name: "interruptions",
      value: [
        t("health.sustained", { n: interruptions.sustained }),
        t("health.momentary", { n: interruptions.momentary }),
        interruptions.planned > 0 ? t("health.planned", { n: interruptions.planned }) : "",
        interruptions.minutes !== null && interruptions.minutes > 0 ? t("health.took", { duration: durationText(interruptions.minutes * 60_000_000) }) : "",
      ]
        .filter(Boolean)
        .join(", "),
      of: t(interruptions.minutes !== null ? "health.of.interruptions" : "health.of.outages"),
    },
    {
      name: "operations",
      value: (
        <>
          {operations.since_us === null ? t("health.noPosition") : t("health.operations.value", { month: operations.changes_30d, year: operations.changes_365d })}
          {operations.counter !== null && `; ${t("health.counter", { counter: numberText(operations.counter) })}`}
        </>
      ),
      of: t("health.of.operations"),
    },
    {
      name: "voltage",
      value: [
        t("health.voltage.value", { n: voltage.outside, share: shareText(voltage.outside, voltage.intervals - voltage.without), nominal: valueText(voltage.nominal_v, "V") }),
        voltage.least_pu !== null && voltage.most_pu !== null ? t("health.voltage.range", { least: percentText(voltage.least_pu), most: percentText(voltage.most_pu) }) : "",
        voltage.without > 0 ? t("health.voltage.without", { n: voltage.without }) : "",
        voltage.intervals < voltage.intervals_of ? t("health.missing", { n: voltage.intervals_of - voltage.intervals, of: voltage.intervals_of }) : "",
      ]
        .filter(Boolean)
        .join("; "),
      abnormal: voltage.outside > 0.05 * (voltage.intervals - voltage.without),
      of: t("health.of.voltage", { n: minutes(voltage.interval_us || tenMinutes) }),
    },
    {
      name: "loading",
      value: (
        <>
          {t("health.loading.value", { share: percentText(loading.peak / loading.rated), peak: inThousands(loading.peak), rated: inThousands(loading.rated), signal: loading.signal })}{" "}
          <Moment us={loading.peak_us} />
          {loading.intervals < loading.intervals_of && `; ${t("health.missing", { n: loading.intervals_of - loading.intervals, of: loading.intervals_of })}`}
        </>
      ),
      abnormal: loading.peak > loading.rated,
      of: t("health.of.loading", { n: minutes(loading.interval_us || tenMinutes) }),
    },
  ];
}
