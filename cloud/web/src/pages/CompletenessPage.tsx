import type { CompletenessAnswerBody as Completeness } from "@busbar/client";
import { useEffect, useState } from "preact/hooks";
import { now } from "../clock";
import { chosen, failure, onlyGateway, shown, watch, type Day } from "../data/completeness";
import { gateways } from "../data/gateways";
import { missingOf, stateText } from "../data/quarters";
import { dayAfter, dayOf, dayText } from "../format";
import { t } from "../messages";
import type { QuarterState } from "../model";
import { Swatch } from "../parts/Strip";
import { amend, place } from "../router";
import { link } from "../stream";
import { Axis, Links, Quarters, Reasons } from "./Quarters";

const pageSize = 100;

export function CompletenessPage() {
  const query = place.value.searchParams;
  const today = dayOf(now.value);
  const asked = query.get("day") ?? "";
  const day = /^\d{4}-\d{2}-\d{2}$/.test(asked) ? asked : dayAfter(today, -1);
  const gateway = query.get("gateway") ?? "";
  useEffect(() => {
    chosen.value = undefined;
    return watch(day, gateway);
  }, [day, gateway]);

  const show = (day: string, gateway: string) => {
    if (day) {
      amend(`/completeness?${new URLSearchParams({ day, ...(gateway && { gateway }) })}`);
    }
  };
  const known = shown.value?.day === day && shown.value.gateway === gateway ? shown.value : undefined;
  const ids = [...new Set([...(gateways.value ?? []).map((g) => g.id), ...(gateway ? [gateway] : [])])];
  return (
    <>
      <div class="heading">
        <h1 tabIndex={-1}>{t("completeness.title")}</h1>
        <div class="day" role="group" aria-label={t("completeness.day")}>
          <button onClick={() => show(dayAfter(day, -1), gateway)} aria-label={t("completeness.earlier")} data-testid="day-before">
            ‹
          </button>
          <label>
            <span class="unseen">{t("completeness.day")}</span>
            <input type="date" value={day} max={today} onChange={(e) => show(e.currentTarget.value, gateway)} data-testid="day" />
          </label>
          <button onClick={() => show(dayAfter(day, 1), gateway)} disabled={day >= today} aria-label={t("completeness.later")} data-testid="day-after">
            ›
          </button>
        </div>
        <label class="gateway-choice">
          <span class="unseen">{t("completeness.gateway")}</span>
          <select value={gateway} onChange={(e) => show(day, e.currentTarget.value)} data-testid="gateway-choice">
            <option value="">{t("completeness.all")}</option>
            {ids.map((id) => (
              <option key={id} value={id}>
                {id}
              </option>
            ))}
          </select>
        </label>
      </div>
      {failure.value && (
        <p class="failure" role="alert">
          {t("page.failed", { reason: failure.value })}
        </p>
      )}
      {known ? <Report key={`${day} ${gateway}`} known={known} name={nameOf(day, today)} /> : !failure.value && <p class="empty">{t("page.loading")}</p>}
    </>
  );
}

function nameOf(day: string, today: string): string {
  if (day === today) {
    return t("completeness.today");
  }
  return day === dayAfter(today, -1) ? t("completeness.yesterday") : dayText(day);
}

function Report({ known, name }: { known: Day; name: string }) {
  const { report } = known;
  const [limit, setLimit] = useState(pageSize);
  const devices = [...(report.devices ?? [])].sort((a, b) => trouble(b) - trouble(a));
  const only = known.gateway || onlyGateway(report);
  return (
    <div class={`completeness${link.value.state === "reconnecting" ? " stale" : ""}`}>
      <div class="answer" role="status" data-testid="answer" data-complete={report.complete}>
        <Answer report={report} day={name} />
      </div>
      {devices.length > 0 && (
        <>
          <table class="devices" data-testid="completeness-list">
            <thead>
              <tr>
                {(["device", "expected", "received", "lateSamples", "missing", "why"] as const).map((c) => (
                  <th key={c} scope="col" class={c}>
                    {t(`completeness.${c}`)}
                  </th>
                ))}
              </tr>
            </thead>
            {only && <Links gateway={only} report={report} outages={known.outages} />}
            <Axis report={report} />
            {devices.slice(0, limit).map((d) => (
              <Quarters key={`${d.gateway} ${d.device}`} device={d} report={report} withGateway={!only} />
            ))}
          </table>
          {devices.length > limit && (
            <button class="more" onClick={() => setLimit(limit + pageSize)} data-testid="more-devices">
              {t("completeness.more", { shown: limit, total: devices.length })}
            </button>
          )}
          <Legend />
        </>
      )}
    </div>
  );
}

/** The sentences that answer whether the day is complete; the first one with the reasons if it isn't. */
function Answer({ report, day }: { report: Completeness; day: string }) {
  const [first, ...more] = answer(report, day);
  const incomplete = (report.summary.states.incomplete ?? 0) > 0;
  return (
    <>
      {incomplete ? (
        <>
          <p class="abnormal">{first}</p>
          <Reasons tally={report.summary} />
        </>
      ) : (
        <p>{first}</p>
      )}
      {more.map((line) => (
        <p key={line}>{line}</p>
      ))}
    </>
  );
}

/** Orders devices: those with something to look at come first, each group by name. */
function trouble(d: { states: Partial<Record<QuarterState, number>> }): number {
  return (d.states.inconsistent ?? 0) > 0 ? 3 : (d.states.incomplete ?? 0) > 0 ? 2 : (d.states.unknown ?? 0) > 0 ? 1 : 0;
}

function answer(report: Completeness, day: string): string[] {
  const { summary } = report;
  const n = report.devices?.length ?? 0;
  if (n === 0) {
    return [t("completeness.nothing", { day })];
  }
  const count = (s: QuarterState) => summary.states[s] ?? 0;
  const total = report.quarter_hours - count("not-configured");
  const done = count("complete") + count("late");
  const [incomplete, unknown, inconsistent, open] = [count("incomplete"), count("unknown"), count("inconsistent"), count("open")];
  const lines: string[] = [];
  if (report.complete) {
    lines.push(t("completeness.complete", { day, done, total, n }));
  } else if (incomplete > 0) {
    lines.push(t("completeness.incomplete", { day, n: incomplete, total, expected: summary.expected, missing: missingOf(summary) }));
  } else if (unknown + inconsistent > 0) {
    lines.push(t("completeness.notKnown", { day, done, total }));
  } else {
    lines.push(done > 0 ? t("completeness.soFar", { day, done, total, n }) : t("completeness.nothingYet", { day }));
  }
  if (inconsistent > 0) {
    lines.push(t("completeness.inconsistent", { n: inconsistent }));
  }
  if (unknown > 0) {
    lines.push(t("completeness.unknown", { n: unknown }));
  }
  if (open > 0) {
    lines.push(t("completeness.notYet", { n: open }));
  }
  if (summary.late > 0) {
    lines.push(t("completeness.late", { n: summary.late }));
  }
  return lines;
}

function Legend() {
  const listed: QuarterState[] = ["complete", "late", "incomplete", "unknown", "inconsistent", "open"];
  return (
    <div class="quarter-legend">
      <ul class="legend" aria-label={t("completeness.legend")}>
        {listed.map((s) => (
          <li key={s}>
            <Swatch state={s} />
            {stateText(s)}
          </li>
        ))}
      </ul>
      <p class="muted">{t("completeness.choose")}</p>
    </div>
  );
}

