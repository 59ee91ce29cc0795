import type { Call, Evidence, Outage, OutageDetail } from "@busbar/client";
import { useEffect, useState } from "preact/hooks";
import { api, reasonOf } from "../api";
import { acknowledgedBy, apply, outageOf, selected } from "../data/outages";
import { coded, t } from "../messages";
import { OutageState } from "../parts/OutageIcon";
import { Age, Moment } from "../parts/Times";
import { generation } from "../stream";
import { Actions } from "./Actions";
import { crewName, Expected, placeOf } from "./Events";

interface Known {
  detail: OutageDetail;
  evidence: readonly Evidence[];
  calls: readonly Call[];
}

function useKnown(id: string, revision: number): [Known | undefined, string] {
  const [known, setKnown] = useState<Known | undefined>(undefined);
  const [failure, setFailure] = useState("");
  useEffect(() => {
    let current = true;
    if (id !== "") {
      Promise.all([api.outage(id), api.outageEvidence(id), api.calls(id)]).then(
        ([detail, evidence, calls]) => {
          if (current) {
            apply(detail); // keys take steps with it, also before the list of outages has come
            setKnown({ detail, evidence, calls });
            setFailure("");
          }
        },
        (error: unknown) => {
          if (current) {
            setFailure(t("page.failed", { reason: reasonOf(error) }));
          }
        },
      );
    }
    return () => {
      current = false;
    };
  }, [id, revision, generation.value]);
  return [known?.detail.id === id ? known : undefined, failure];
}

export function Details() {
  const id = selected.value;
  const live = outageOf(id);
  const [known, failure] = useKnown(id, live?.revision ?? 0);
  const outage: Outage | undefined = live ?? known?.detail;
  if (id === "") {
    return <p class="empty">{t("desk.choose")}</p>;
  }
  return (
    <article data-testid="outage-detail" data-outage={id} data-state={outage?.state}>
      {failure && (
        <p class="failure" role="alert">
          {failure}
        </p>
      )}
      {outage ? (
        <>
          <h3 id="details-title" tabIndex={-1}>
            {placeOf(outage)}
          </h3>
          <p class="details-state">
            <OutageState outage={outage} /> <strong>{t("outage.outOf", { n: outage.customers_out, of: outage.customers })}</strong>
          </p>
          <Actions key={outage.id} outage={outage} />
          <Facts outage={outage} needing={known?.detail.needing} />
        </>
      ) : (
        <p>{t("page.loading")}</p>
      )}
      {known && <More known={known} />}
    </article>
  );
}

function Facts({ outage: o, needing }: { outage: Outage; needing: OutageDetail["needing"] | undefined }) {
  const rows: [string, preact.ComponentChildren][] = [
    [
      t("outage.device"),
      o.device ? (
        <>
          <a href={`/network/${encodeURIComponent(o.device)}`}>{o.device}</a> {t("outage.confidence", { n: Math.round(o.confidence * 100) })}
        </>
      ) : (
        t("outage.deviceUnknown")
      ),
    ],
    [t("outage.feeder"), o.feeder ? <a href={`/feeders/${encodeURIComponent(o.feeder)}`}>{o.feeder}</a> : "–"],
    [
      t("outage.began"),
      <>
        <Moment us={o.began_us} /> (<Age us={o.began_us} />)
      </>,
    ],
    [t("outage.expected"), <Expected outage={o} />],
    [t("outage.crew"), o.crew ? crewName(o.crew) : t("outage.noCrew")],
    [t("outage.says"), t(`outage.says.${o.evidence_says}`)],
    [t("outage.points"), t("outage.pointsOut", { n: o.points_out, of: o.points })],
  ];
  if (o.critical + o.high > 0) {
    rows.push([t("outage.priority"), t("outage.prioritised", { critical: o.critical, high: o.high })]);
  }
  if (needing && needing.life_support + needing.critical + needing.important > 0) {
    rows.push([t("outage.needing"), t("outage.needed", { life: needing.life_support, critical: needing.critical, important: needing.important })]);
  }
  if (o.alarm) {
    const by = acknowledgedBy(o);
    rows.push([
      t("outage.alarm"),
      <>
        <a href={`/alarms/${encodeURIComponent(o.alarm)}`}>{t("outage.alarms", { n: o.alarms })}</a>, {by !== undefined ? t("outage.acknowledgedBy", { by }) : t("outage.unacknowledged")}
      </>,
    ]);
  }
  for (const part of ["cause", "failure", "remedy"] as const) {
    if (o[part]) {
      rows.push([t(`outage.${part}`), coded(part, o[part])]);
    }
  }
  return (
    <>
      {o.island && (
        <p class="abnormal" role="status">
          {t("outage.island")}
        </p>
      )}
      <dl class="facts">
        {rows.map(([what, is]) => (
          <>
            <dt>{what}</dt>
            <dd>{is}</dd>
          </>
        ))}
      </dl>
    </>
  );
}

function More({ known: { detail, evidence, calls } }: { known: Known }) {
  const steps = detail.steps ?? [];
  return (
    <>
      <h4>{t("outage.steps")}</h4>
      {steps.length === 0 ? (
        <p class="muted">{t("outage.noSteps")}</p>
      ) : (
        <ol class="history">
          {steps.map((s) => (
            <li key={`${s.at_us} ${s.customers_out}`} data-testid="restoration-step">
              <Moment us={s.at_us} /> <strong>{t("outage.step", { n: s.customers, left: s.customers_out })}</strong>
              {s.tie && <span>{t("outage.through", { tie: s.tie })}</span>}
            </li>
          ))}
        </ol>
      )}
      <h4>{t("outage.timeline")}</h4>
      <ol class="history">
        {(detail.timeline ?? []).map((e) => (
          <li key={e.seq} data-testid="timeline-entry" data-action={e.action}>
            <Moment us={e.at_us} />
            <strong>{t(`entry.${e.action}`)}</strong>
            <span>{t("action.by", { by: e.by })}</span>
            {e.detail && <span>{e.detail}</span>}
            {e.comment && <q>{e.comment}</q>}
          </li>
        ))}
      </ol>
      <h4>{t("outage.evidence", { n: evidence.length })}</h4>
      <ul class="evidence">
        {evidence.map((e) => (
          <li key={e.seq}>
            <strong>{coded("evidence", e.kind)}</strong> {e.asset && <a href={`/network/${encodeURIComponent(e.asset)}`}>{e.asset}</a>} <span class="muted">{[e.gateway, e.device, e.by].filter(Boolean).join(" · ")}</span>{" "}
            {e.source_us === null ? <span class="abnormal">{t("outage.noSource")}</span> : <Moment us={e.source_us} />}
            {e.comment && <q>{e.comment}</q>}
          </li>
        ))}
      </ul>
      <h4>{t("outage.calls", { n: calls.length })}</h4>
      <ul class="evidence">
        {calls.map((c) => (
          <li key={c.id} data-testid="call">
            <Moment us={c.at_us} /> <strong>{t(`call.${c.says}`)}</strong> {c.service_point} {c.text && <q>{c.text}</q>}
          </li>
        ))}
      </ul>
    </>
  );
}
