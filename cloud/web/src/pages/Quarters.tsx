import type { CompletenessAnswerBody as Completeness, DeviceCompleteness as DeviceTally, LinkOutage as Outage, Tally } from "@busbar/client";
import { useEffect, useState } from "preact/hooks";
import { api, quarterUs, reasonOf } from "../api";
import { chosen } from "../data/completeness";
import { missingOf, reasonText, stateOfLetter, stateText, whyOfLetter } from "../data/quarters";
import { minuteText, numberText } from "../format";
import { t } from "../messages";
import { Strip } from "../parts/Strip";

const columns = 6;

// A day on which the clocks change has some times twice, or not at all.
const isUsualDay = (report: Completeness) => report.quarter_hours === 96;

function spanOf(report: Completeness, i: number) {
  const zone = !isUsualDay(report);
  const fromUs = report.from_us + i * quarterUs;
  return { from: minuteText(fromUs, zone), to: minuteText(fromUs + quarterUs, zone) };
}

function describe(report: Completeness, letters: string, i: number): string {
  const letter = letters[i] ?? "";
  const args = { ...spanOf(report, i), state: stateText(stateOfLetter(letter)) };
  const why = whyOfLetter(letter);
  return why ? t("completeness.cellWhy", { ...args, why }) : t("completeness.cell", args);
}

/** A device's numbers, its quarter-hours, and the numbers of the chosen one. */
export function Quarters({ device: d, report, withGateway }: { device: DeviceTally; report: Completeness; withGateway: boolean }) {
  const mine = chosen.value?.gateway === d.gateway && chosen.value.device === d.device ? chosen.value.index : undefined;
  const missing = missingOf(d);
  return (
    <tbody class="device" data-testid="completeness-row" data-device={d.device} data-gateway={d.gateway}>
      <tr>
        <th scope="row" class="device">
          {d.device}
          {withGateway && <span class="muted"> {d.gateway}</span>}
        </th>
        <Cell name="expected" value={d.expected} />
        <Cell name="received" value={d.received + d.suppressed} />
        <Cell name="lateSamples" value={d.late} />
        <Cell name="missing" value={missing} abnormal={missing > 0} />
        <td class="why">
          <Reasons tally={d} />
        </td>
      </tr>
      <tr>
        <td colSpan={columns} class="strip-cell">
          <Strip
            label={t("completeness.strip", { device: d.device })}
            letters={d.quarters}
            chosen={mine}
            describe={(i) => describe(report, d.quarters, i)}
            choose={(index) => {
              chosen.value = { gateway: d.gateway, device: d.device, index };
            }}
          />
        </td>
      </tr>
      {mine !== undefined && (
        <tr>
          <td colSpan={columns} class="account-cell">
            <Account device={d} report={report} index={mine} />
          </td>
        </tr>
      )}
    </tbody>
  );
}

function Cell({ name, value, abnormal = false }: { name: "expected" | "received" | "lateSamples" | "missing"; value: number; abnormal?: boolean }) {
  return (
    <td class={name} data-label={t(`completeness.${name}`)}>
      <span class={abnormal ? "abnormal" : ""}>{numberText(value)}</span>
    </td>
  );
}

/** Why samples are missing, and how many for each reason. */
export function Reasons({ tally }: { tally: Tally }) {
  return (
    <ul class="reasons">
      {(tally.reasons ?? []).map((r) => (
        <li key={r.reason} class="reason">
          {t("completeness.reason", { reason: reasonText(r.reason), n: r.count })}
        </li>
      ))}
    </ul>
  );
}

/** The account of one quarter-hour, loaded when it is chosen. */
function Account({ device: d, report, index }: { device: DeviceTally; report: Completeness; index: number }) {
  const [tally, setTally] = useState<Tally | undefined>(undefined);
  const [failure, setFailure] = useState("");
  const fromUs = report.from_us + index * quarterUs;
  useEffect(() => {
    let current = true;
    api.quarter(d.gateway, d.device, fromUs).then(
      (answer) => {
        if (current) {
          setTally(answer.summary);
          setFailure("");
        }
      },
      (error: unknown) => {
        if (current) {
          setFailure(t("page.failed", { reason: reasonOf(error) }));
        }
      },
    );
    return () => {
      current = false;
    };
  }, [d.gateway, d.device, fromUs, report]);
  return (
    <section class="account" aria-live="polite" data-testid="account" data-index={index} data-loaded={tally !== undefined}>
      <h2>{describe(report, d.quarters, index)}</h2>
      {failure && <p role="alert">{failure}</p>}
      {tally && (
        <dl class="facts">
          <Fact name={t("completeness.expected")} value={tally.expected} />
          <Fact name={t("completeness.withValue")} value={tally.received} />
          {tally.suppressed > 0 && <Fact name={t("completeness.deadband")} value={tally.suppressed} />}
          {(tally.reasons ?? []).map((r) => (
            <Fact key={r.reason} name={reasonText(r.reason)} value={r.count} abnormal />
          ))}
          <Fact name={t("completeness.stored")} value={tally.stored} />
          <Fact name={t("completeness.lateOf")} value={tally.late} />
        </dl>
      )}
    </section>
  );
}

function Fact({ name, value, abnormal = false }: { name: string; value: number; abnormal?: boolean }) {
  return (
    <>
      <dt>{name}</dt>
      <dd class={abnormal ? "abnormal" : ""}>{numberText(value)}</dd>
    </>
  );
}

/** When the gateway's links were down or throttled, over the same hours. */
export function Links({ gateway, report, outages }: { gateway: string; report: Completeness; outages: readonly Outage[] }) {
  const length = report.to_us - report.from_us;
  const place = (us: number) => Math.max(0, Math.min(1000, ((us - report.from_us) / length) * 1000));
  const zone = !isUsualDay(report);
  const texts = outages.map((o) => {
    const args = { stream: t(`stream.${o.stream}`), state: t(`link.${o.state}`), cause: o.cause, from: minuteText(o.from_us, zone) };
    return o.to_us === null ? t("outage.lasting", args) : t("outage.ended", { ...args, to: minuteText(o.to_us, zone) });
  });
  return (
    <tbody class="links" data-testid="links">
      <tr>
        <th scope="row" colSpan={columns}>
          {t("completeness.links", { gateway })}
        </th>
      </tr>
      <tr>
        <td colSpan={columns} class="strip-cell">
          {outages.length > 0 && (
            <svg viewBox="0 0 1000 12" preserveAspectRatio="none" aria-hidden="true">
              {outages.map((o, i) => (
                <rect
                  key={i}
                  class={`outage ${o.state}`}
                  x={place(o.from_us)}
                  y={{ events: 0, telemetry: 4, backfill: 8 }[o.stream]}
                  width={Math.max(1.5, place(o.to_us ?? report.to_us) - place(o.from_us))}
                  height={3}
                />
              ))}
            </svg>
          )}
          <ul class="outages">
            {texts.length === 0 && <li>{t("completeness.noOutage")}</li>}
            {texts.map((text, i) => (
              <li key={i} data-testid="outage">
                {text}
              </li>
            ))}
          </ul>
        </td>
      </tr>
    </tbody>
  );
}

/** The hours of the strips below. */
export function Axis({ report }: { report: Completeness }) {
  const hours: { at: number; text: string }[] = [];
  for (let i = 0; i < report.quarter_hours; i++) {
    const at = new Date((report.from_us + i * quarterUs) / 1000);
    if (at.getMinutes() === 0 && at.getHours() % 6 === 0) {
      hours.push({ at: (i / report.quarter_hours) * 100, text: minuteText(at.getTime() * 1000) });
    }
  }
  return (
    <tbody class="hours" aria-hidden="true">
      <tr>
        <td colSpan={columns} class="strip-cell">
          <svg class="axis" width="100%" height="18">
            {hours.map((h) => (
              <g key={h.at}>
                <line x1={`${h.at}%`} x2={`${h.at}%`} y1={14} y2={18} />
                <text x={`${h.at}%`} y={11} text-anchor={h.at === 0 ? "start" : "middle"}>
                  {h.text}
                </text>
              </g>
            ))}
          </svg>
        </td>
      </tr>
    </tbody>
  );
}
