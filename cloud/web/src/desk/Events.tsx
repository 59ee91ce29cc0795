import type { Outage, Planned } from "@busbar/client";
import { Fragment } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { acknowledgedBy, crews, customersOut, failure, loaded, open, selected } from "../data/outages";
import { planned, reported } from "../data/switching";
import { now } from "../clock";
import { timeText } from "../format";
import { t } from "../messages";
import { OutageState } from "../parts/OutageIcon";
import { Age, Moment } from "../parts/Times";
import { mayAcknowledge } from "../session";
import { entry } from "./Entry";

export function placeOf(o: Outage): string {
  return o.device_name || o.device || t("outage.deviceUnknown");
}

export function crewName(id: string): string {
  return crews.value?.find((c) => c.id === id)?.name || id;
}

/** When supply is expected, and by then with which probability. */
export function Expected({ outage }: { outage: Outage }) {
  const e = outage.expected;
  return e ? (
    <span title={t("outage.etrTitle", { p50: timeText(e.p50_us, now.value), p80: timeText(e.p80_us, now.value) })}>{t("outage.etr", { p50: timeText(e.p50_us, now.value), p80: timeText(e.p80_us, now.value) })}</span>
  ) : (
    <span class="muted">{t("outage.noEtr")}</span>
  );
}

const out = (group: readonly Outage[]) => group.reduce((sum, o) => sum + o.customers_out, 0);

/** The outages as they are listed; in a storm by feeder, those with most customers out first, without what nobody was told of. */
export function listed(storm: boolean): [feeder: string, group: Outage[]][] {
  const list = open.value;
  const groups = new Map<string, Outage[]>();
  for (const o of storm ? list.filter((o) => o.announced_us !== null || o.state !== "suspected") : list) {
    const feeder = storm ? o.feeder || o.substation || t("outage.noFeeder") : "";
    groups.set(feeder, [...(groups.get(feeder) ?? []), o]);
  }
  return [...groups].sort((a, b) => (storm ? out(b[1]) - out(a[1]) : 0));
}

export function Events({ storm }: { storm: boolean }) {
  const list = open.value;
  return (
    <>
      <p class="desk-sum" data-testid="desk-sum">
        {loaded.value ? (
          <>
            <strong>{t("outage.total", { n: list.length })}</strong> <strong>{t("outage.out", { n: customersOut.value })}</strong>
          </>
        ) : (
          <span class="muted">{failure.value ? t("page.failed", { reason: failure.value }) : t("page.loading")}</span>
        )}
      </p>
      {loaded.value && list.length === 0 && <p class="empty">{t("outage.none")}</p>}
      {listed(storm).map(([feeder, group]) => (
        <section key={feeder} aria-label={feeder || t("desk.events")}>
          {storm && (
            <h3 class="desk-group" data-testid="desk-group">
              {feeder} <span>{t("outage.out", { n: out(group) })}</span>
            </h3>
          )}
          <ul class="events">
            {group.map((o) => (
              <Row key={o.id} outage={o} storm={storm} />
            ))}
          </ul>
        </section>
      ))}
    </>
  );
}

function Row({ outage: o, storm }: { outage: Outage; storm: boolean }) {
  const button = useRef<HTMLButtonElement>(null);
  const chosen = selected.value === o.id;
  useEffect(() => {
    if (chosen) {
      button.current?.scrollIntoView({ block: "nearest" });
    }
  }, [chosen]);
  const said = [
    o.state !== "restored" && o.state !== "verified" && <Expected outage={o} />,
    o.crew && crewName(o.crew),
    o.critical > 0 && <strong class="abnormal">{t("outage.critical", { n: o.critical })}</strong>,
    acknowledgedBy(o) === undefined && o.alarm !== "" && t("outage.unacknowledged"),
  ].filter(Boolean);
  return (
    <li>
      <button
        ref={button}
        class={`event${chosen ? " chosen" : ""}`}
        aria-pressed={chosen}
        onClick={() => (selected.value = o.id)}
        data-testid="outage-row"
        data-outage={o.id}
        data-state={o.state}
      >
        <OutageState outage={o} />
        <span class="event-customers">{t("outage.outOf", { n: o.customers_out, of: o.customers })}</span>
        <strong class="event-device">{placeOf(o)}</strong>
        {!storm && (
          <span class="event-more">
            {o.feeder && `${o.feeder} · `}
            <Moment us={o.began_us} /> (<Age us={o.began_us} />)
          </span>
        )}
        <span class="event-more">
          {said.map((what, i) => (
            <Fragment key={i}>
              {i > 0 && " · "}
              {what}
            </Fragment>
          ))}
        </span>
      </button>
    </li>
  );
}

export function Crews() {
  const list = crews.value;
  return (
    <>
      {!list && <p class="muted">{t("page.loading")}</p>}
      {list?.length === 0 && <p class="muted">{t("crew.none")}</p>}
      <ul class="crews">
        {list?.map((c) => (
          <li key={c.id} data-testid="crew" data-crew={c.id}>
            <strong>{c.name}</strong> <span class={c.state === "available" ? "muted" : ""}>{t(`crew.${c.state}`)}</span>
            {c.comment && <span class="muted">{c.comment}</span>}
            <span class="row-buttons">
              {c.outage && <button onClick={() => (selected.value = c.outage)}>{t("crew.show")}</button>}
              {mayAcknowledge() && !c.outage && (
                <button aria-label={t("crew.changeThis", { name: c.name })} onClick={() => (entry.value = { what: "crew", id: c.id })} data-testid="change-crew">
                  {t("plan.edit")}
                </button>
              )}
            </span>
          </li>
        ))}
      </ul>
      {mayAcknowledge() && (
        <p>
          <button onClick={() => (entry.value = { what: "crew", id: "" })} data-testid="add-crew">
            {t("crew.add")}
          </button>
        </p>
      )}
      <PlannedList />
      <ReportedList />
    </>
  );
}

/** Switching that is planned, what goes on first. */
function PlannedList() {
  const list = planned.value;
  const time = (p: Planned) => (p.state === "ahead" ? 1 : 0) * 1e16 + p.from_us;
  return (
    <section aria-labelledby="planned-title">
      <h3 id="planned-title">{t("plan.list", { n: list ? list.length : "?" })}</h3>
      {!list && <p class="muted">{t("plan.unknown")}</p>}
      <ul class="crews">
        {[...(list ?? [])]
          .sort((a, b) => time(a) - time(b))
          .map((p) => (
            <li key={p.id} data-testid="planned" data-plan={p.id} data-state={p.state}>
              <strong>{(p.devices ?? []).join(", ")}</strong> <span class={p.state === "overrun" ? "abnormal" : "muted"}>{t(`plan.state.${p.state}`)}</span>
              <span>
                <Moment us={p.from_us} /> – <Moment us={p.until_us} />
              </span>
              <span>{t("outage.customers", { n: p.customers })}</span>
              <span class="muted">{p.reason}</span>
              <span class="row-buttons">
                {(p.outages ?? []).slice(0, 1).map((id) => (
                  <button key={id} onClick={() => (selected.value = id)}>
                    {t("crew.show")}
                  </button>
                ))}
                {mayAcknowledge() && (
                  <>
                    <button onClick={() => (entry.value = { what: "plan", devices: "", of: p })} data-testid="change-plan">
                      {t("plan.edit")}
                    </button>
                    <button onClick={() => (entry.value = { what: "cancel", of: p })} data-testid="cancel-plan">
                      {t("plan.cancelIt")}
                    </button>
                  </>
                )}
              </span>
            </li>
          ))}
      </ul>
    </section>
  );
}

/** What other systems report, and nothing is concluded from. */
function ReportedList() {
  const list = reported.value;
  if (list?.length === 0) {
    return null;
  }
  return (
    <section aria-labelledby="reported-title">
      <h3 id="reported-title">{t("reported.list", { n: list ? list.length : "?" })}</h3>
      {!list && <p class="muted">{t("reported.unknown")}</p>}
      <ul class="crews">
        {list?.map((o) => (
          <li key={`${o.system} ${o.id}`} data-testid="reported" data-system={o.system}>
            <strong>{o.name || o.equipment || o.id}</strong> <span class="muted">{t("reported.by", { system: o.system, id: o.id })}</span>
            <span>
              {o.planned && t("timeline.planned")} {o.status}
            </span>
            {(o.began_us ?? o.expected_start_us) !== null && (
              <span>
                <Moment us={o.began_us ?? o.expected_start_us ?? 0} />
              </span>
            )}
            {o.customers_out !== null && <span>{t("outage.out", { n: o.customers_out })}</span>}
            {o.cause && <span class="muted">{o.cause}</span>}
            <span class="row-buttons">
              {(o.ours ?? []).slice(0, 1).map((id) => (
                <button key={id} onClick={() => (selected.value = id)}>
                  {t("reported.ours")}
                </button>
              ))}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
