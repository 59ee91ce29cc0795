import { type AlarmDetail, type Entry as Transition, type Input, Refusal } from "@busbar/client";
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { api, reasonOf } from "../api";
import { now } from "../clock";
import { alarmOf } from "../data/alarms";
import { namedText, timeText, valueText } from "../format";
import { t } from "../messages";
import { quiet, stateOf } from "../model";
import { Badges } from "../parts/Badges";
import { FirstUp } from "../parts/FirstUp";
import { PriorityLabel } from "../parts/Priority";
import { Quality } from "../parts/Quality";
import { Age, Moment } from "../parts/Times";
import { byUnit, insert } from "../plot/line";
import type { Mark } from "../plot/paint";
import { Plot } from "../plot/Plot";
import { useTraces } from "../plot/traces";
import { generation, link } from "../stream";
import { AckButton, HandleButton } from "./AlarmList";
import { Captured } from "./Captured";

/** What the methods of a rule are called. */
const methods = {
  sampled: "alarm.method.sampled",
  "device-event": "alarm.method.device-event",
  "half-cycle": "alarm.method.half-cycle",
} as const;

export function AlarmPage({ id }: { id: string }) {
  const [detail, failure] = useDetail(id);
  if (!detail) {
    return (
      <>
        <h1 tabIndex={-1}>{t("alarms.title")}</h1>
        <p role="status">{failure || t("page.loading")}</p>
        <p>
          <a href="/">{t("alarm.back")}</a>
        </p>
      </>
    );
  }
  return <Detail alarm={detail} failure={failure} />;
}

/** The alarm with its history, loaded again whenever the alarm changes. */
function useDetail(id: string): [AlarmDetail | undefined, string] {
  const [loaded] = useState(() => signal<AlarmDetail | undefined>(undefined));
  const [failure, setFailure] = useState("");
  const live = alarmOf(id);
  useEffect(() => {
    let current = true;
    api.alarm(id).then(
      (detail) => {
        if (current) {
          loaded.value = detail;
          setFailure("");
        }
      },
      (error: unknown) => {
        if (current) {
          setFailure(error instanceof Refusal && error.status === 404 ? t("alarm.missing", { id }) : t("page.failed", { reason: reasonOf(error) }));
        }
      },
    );
    return () => {
      current = false;
    };
  }, [id, live, generation.value]);
  return [loaded.value?.id === id ? loaded.value : undefined, failure];
}

function Detail({ alarm, failure }: { alarm: AlarmDetail; failure: string }) {
  const state = stateOf(alarm);
  return (
    <article
      class={`detail alarm ${alarm.priority} ${state}${link.value.state === "reconnecting" ? " stale" : ""}`}
      data-testid="alarm-detail"
      data-alarm-id={alarm.id}
      data-state={state}
    >
      <p>
        <a href="/">{t("alarm.back")}</a>
      </p>
      <div class="detail-head">
        <PriorityLabel priority={alarm.priority} quiet={alarm.acknowledged || quiet(alarm)} />
        <h1 tabIndex={-1} data-focus>
          {alarm.summary}
        </h1>
        <p class="state" data-testid="alarm-state">
          {t(`state.${state}`)}
        </p>
        <AckButton alarm={alarm} />
        <HandleButton alarm={alarm} />
        <p class="badges">
          <Badges alarm={alarm} />
        </p>
      </div>
      {failure && (
        <p class="failure" role="alert">
          {failure}
        </p>
      )}
      <div class="panels">
        <section class="panel">
          <Facts alarm={alarm} />
        </section>
        <section class="panel" aria-labelledby="history">
          <h2 id="history">{t("alarm.history")}</h2>
          <History steps={alarm.history ?? []} />
        </section>
        <section class="panel" aria-labelledby="inputs">
          <h2 id="inputs">{t("alarm.inputs")}</h2>
          <Inputs inputs={alarm.inputs ?? []} />
        </section>
        <section class="panel wide" aria-labelledby="plots">
          <h2 id="plots">{t("alarm.plot")}</h2>
          <Plots alarm={alarm} />
        </section>
        {alarm.captured && (
          <section class="panel wide" aria-labelledby="captured" data-testid="captured">
            <h2 id="captured">{t("captured.title")}</h2>
            <Captured alarm={alarm} marks={marksOf(alarm)} />
          </section>
        )}
      </div>
    </article>
  );
}

function Facts({ alarm }: { alarm: AlarmDetail }) {
  return (
    <dl class="facts">
      <dt>{t("alarms.asset")}</dt>
      <dd>{alarm.asset}</dd>
      {alarm.device && (
        <>
          <dt>{t("alarms.device")}</dt>
          <dd>{alarm.device}</dd>
        </>
      )}
      <dt>{t("alarm.place")}</dt>
      <dd>{[alarm.site, alarm.gateway].filter(Boolean).join(" · ")}</dd>
      <dt>{t("alarm.rule")}</dt>
      <dd>{alarm.rule_version ? t("alarm.ruleVersion", { rule: alarm.rule, version: alarm.rule_version }) : alarm.rule}</dd>
      {alarm.method && (
        <>
          <dt>{t("alarm.method")}</dt>
          <dd>{alarm.method in methods ? t(methods[alarm.method as keyof typeof methods]) : alarm.method}</dd>
        </>
      )}
      {alarm.first_up && (
        <>
          <dt>{t("alarm.group")}</dt>
          <dd>
            {alarm.group} <FirstUp alarm={alarm} />
          </dd>
        </>
      )}
      {alarm.handling && (
        <>
          <dt>{t(alarm.handling.until_us === null ? "alarm.outOfService" : "alarm.shelved")}</dt>
          <dd>
            <Moment us={alarm.handling.since_us} />
            {alarm.handling.until_us !== null && (
              <>
                –<Moment us={alarm.handling.until_us} />
              </>
            )}{" "}
            {t("badge.why", { by: alarm.handling.by, reason: alarm.handling.reason })}
          </dd>
        </>
      )}
      <dt>{t("alarm.raised")}</dt>
      <dd>
        <Moment us={alarm.raised_us} />
      </dd>
      {alarm.confirmed_us > 0 && (
        <>
          <dt>{t("alarm.confirmed")}</dt>
          <dd>
            <Moment us={alarm.confirmed_us} />
          </dd>
        </>
      )}
      <dt>{t("alarm.cleared")}</dt>
      <dd>{alarm.cleared_us === null ? t("alarm.notCleared") : <Moment us={alarm.cleared_us} />}</dd>
      <dt>{t("alarm.decided")}</dt>
      <dd>
        <Moment us={alarm.decided_us} />
      </dd>
      <dt>{t("alarms.age")}</dt>
      <dd>
        <Age us={alarm.raised_us} />
      </dd>
    </dl>
  );
}

function History({ steps }: { steps: readonly Transition[] }) {
  return (
    <ol class="history">
      {steps.map((step) => (
        <li key={step.seq} data-testid="history-item" data-action={step.action}>
          <Moment us={step.at_us} />
          <strong>{t(`action.${step.action}`)}</strong>
          <span>{t("action.by", { by: step.by })}</span>
          {step.comment && <q>{step.comment}</q>}
        </li>
      ))}
    </ol>
  );
}

function Inputs({ inputs }: { inputs: readonly Input[] }) {
  if (inputs.length === 0) {
    return <p>{t("alarm.noInputs")}</p>;
  }
  return (
    <ul class="inputs">
      {inputs.map((input) => (
        <li key={`${input.device} ${input.name}`} data-testid="input-row" data-series={input.series}>
          <span class="input-name">
            {input.device} <strong>{input.name}</strong>
          </span>
          <span class="input-value">{input.state && input.value !== null ? namedText(input.value, input.state) : valueText(input.value, input.unit)}</span>
          <Quality quality={input.quality} />
          <Moment us={input.time_us} />
        </li>
      ))}
    </ul>
  );
}

const minuteUs = 60_000_000;
const hourUs = 60 * minuteUs;

/** When the alarm was raised and cleared. */
function marksOf(alarm: AlarmDetail): Mark[] {
  const marks: Mark[] = [{ atUs: alarm.raised_us, label: `${t("plot.raised")} ${timeText(alarm.raised_us, now.value)}` }];
  if (alarm.cleared_us !== null) {
    marks.push({ atUs: alarm.cleared_us, label: `${t("plot.cleared")} ${timeText(alarm.cleared_us, now.value)}` });
  }
  return marks;
}

/** One plot a unit, from a minute before the alarm to a minute after it. */
function Plots({ alarm }: { alarm: AlarmDetail }) {
  // What births haven't named has no series; nor have the states of gateways.
  const inputs = (alarm.inputs ?? []).filter((i) => i.series !== 0);
  const fromUs = alarm.raised_us - minuteUs;
  const lastUs = Math.min(
    alarm.active || alarm.cleared_us === null ? Infinity : alarm.cleared_us + minuteUs,
    alarm.raised_us + hourUs,
  );
  const traces = useTraces(
    inputs.map((i) => i.series),
    fromUs,
    lastUs,
  );
  const toUs = Math.min(Math.max(now.value, alarm.raised_us + minuteUs), lastUs);
  const marks = marksOf(alarm);
  const failures = inputs.flatMap((i) => {
    const reason = traces.get(i.series)?.failure;
    return reason ? [t("plot.failed", { name: i.name, reason })] : [];
  });
  return (
    <>
      {failures.map((failure) => (
        <p key={failure} class="failure" role="alert">
          {failure}
        </p>
      ))}
      {[...byUnit(inputs)].map(([unit, group]) => (
        <Plot
          key={unit}
          fromUs={fromUs}
          toUs={toUs}
          marks={marks}
          lines={group.map((i) => ({
            name: `${i.device} ${i.name}`,
            unit: i.unit,
            stepped: traces.get(i.series)?.series?.kind === "state",
            names: traces.get(i.series)?.series,
            samples: insert(traces.get(i.series)?.samples ?? [], { t: i.time_us, v: i.value, q: i.quality }),
          }))}
        />
      ))}
      {toUs === alarm.raised_us + hourUs && <p>{t("alarm.firstHour")}</p>}
    </>
  );
}
