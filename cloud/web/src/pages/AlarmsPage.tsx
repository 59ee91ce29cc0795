import type { Alarm } from "@busbar/client";
import { useRef, useState } from "preact/hooks";
import { reasonOf } from "../api";
import { alarmOf, asked, hasOlder, highest, isOpen, listed, loaded, scope, showAll, showOlder } from "../data/alarms";
import { t } from "../messages";
import { stateOf } from "../model";
import { acknowledging } from "../parts/AckDialog";
import { FirstUp } from "../parts/FirstUp";
import { useHold } from "../parts/hold";
import { PriorityLabel } from "../parts/Priority";
import { Age, Moment } from "../parts/Times";
import { mayAcknowledge } from "../session";
import { link } from "../stream";

const pageSize = 200;

export function AlarmsPage() {
  const list = useRef<HTMLDivElement>(null);
  const [held, release] = useHold(list);
  const [limit, setLimit] = useState(pageSize);
  const [failure, setFailure] = useState("");
  const alarms = useOrder(listed.value, held);
  const fresh = held ? unlisted(alarms) : [];
  const worst = highest(fresh);

  const showFresh = () => {
    release();
    // The bar that has the focus goes away.
    document.querySelector("h1")?.focus({ preventScroll: true });
  };

  const failed = (error: unknown) => setFailure(t("page.failed", { reason: reasonOf(error) }));

  const more = () => {
    setFailure("");
    if (alarms.length > limit) {
      setLimit(limit + pageSize);
    } else {
      showOlder().then(() => setLimit(limit + pageSize), failed);
    }
  };

  const show = (all: boolean) => {
    setFailure("");
    release();
    if (all) {
      showAll().catch(failed);
    } else {
      scope.value = "open";
    }
  };

  return (
    <>
      <div class="heading">
        <h1 tabIndex={-1}>{t("alarms.title")}</h1>
        <span data-testid="total">{t(hasOlder.value ? "alarms.totalShown" : "alarms.total", { n: listed.value.length })}</span>
        <div class="chips" role="group" aria-label={t("alarms.scope")}>
          <button aria-pressed={scope.value === "open"} onClick={() => show(false)} data-testid="scope-open">
            {t("alarms.open")}
          </button>
          <button aria-pressed={scope.value === "all"} onClick={() => show(true)} data-testid="scope-all">
            {t("alarms.all")}
          </button>
        </div>
      </div>
      {failure && (
        <p class="failure" role="alert">
          {failure}
        </p>
      )}
      {worst && (
        <button class="fresh" onClick={showFresh} data-testid="new-alarms">
          {t("alarms.new", { n: fresh.length, priority: t(`priority.${worst}`).toLowerCase() })}
        </button>
      )}
      <div ref={list} class={link.value.state === "reconnecting" ? "stale" : ""}>
        <Table alarms={alarms.slice(0, limit)} />
        {!loaded.value && link.value.state !== "reconnecting" && <p class="empty">{t("page.loading")}</p>}
        {loaded.value && alarms.length === 0 && <p class="empty">{t(scope.value === "open" ? "alarms.none" : "alarms.noneEver")}</p>}
        {(alarms.length > limit || hasOlder.value) && (
          <button class="more" onClick={more} data-testid="more-alarms">
            {hasOlder.value ? t("alarms.older", { shown: Math.min(limit, alarms.length) }) : t("alarms.more", { shown: limit, total: alarms.length })}
          </button>
        )}
      </div>
    </>
  );
}

/** The alarms in their order, or while held in the order of before, each as it is now. Who asks for more gets them all the same. */
function useOrder(current: readonly Alarm[], held: boolean): Alarm[] {
  const order = useRef<readonly string[]>([]);
  const pages = useRef(asked.value);
  if (!held || order.current.length === 0 || pages.current !== asked.value) {
    order.current = current.map((a) => a.id);
    pages.current = asked.value;
  }
  return order.current.map(alarmOf).filter((a) => a !== undefined);
}

function unlisted(alarms: readonly Alarm[]): Alarm[] {
  const ids = new Set(alarms.map((a) => a.id));
  return listed.value.filter((a) => isOpen(a) && !ids.has(a.id));
}

const columns = ["priority", "state", "asset", "device", "summary", "since", "age", "action"] as const;

function Table({ alarms }: { alarms: readonly Alarm[] }) {
  return (
    <table class="alarms" role="table" data-testid="alarm-list">
      <thead role="rowgroup">
        <tr role="row">
          {columns.map((c) => (
            <th key={c} role="columnheader" scope="col" class={c}>
              {c === "action" ? <span class="unseen">{t("alarms.action")}</span> : t(`alarms.${c}`)}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {alarms.map((a) => (
          <Row key={a.id} alarm={a} />
        ))}
      </tbody>
    </table>
  );
}

function Row({ alarm: a }: { alarm: Alarm }) {
  const state = stateOf(a);
  return (
    <tr
      role="row"
      class={`alarm ${a.priority} ${state}`}
      data-testid="alarm-row"
      data-alarm-id={a.id}
      data-state={state}
      data-priority={a.priority}
    >
      <td role="cell" class="priority">
        <PriorityLabel priority={a.priority} quiet={a.acknowledged} />
      </td>
      <td role="cell" class="state" data-testid="alarm-state">
        {t(`state.${state}`)}
      </td>
      <td role="cell" class="asset">
        {a.asset}
      </td>
      <td role="cell" class="device">
        {a.device}
      </td>
      <td role="cell" class="summary">
        <a href={`/alarms/${encodeURIComponent(a.id)}`} data-focus data-testid="alarm-link">
          {a.summary}
        </a>
        <FirstUp alarm={a} />
      </td>
      <td role="cell" class="since">
        <Moment us={a.raised_us} />
      </td>
      <td role="cell" class="age">
        <Age us={a.raised_us} />
      </td>
      <td role="cell" class="action">
        <AckButton alarm={a} />
      </td>
    </tr>
  );
}

export function AckButton({ alarm }: { alarm: Alarm }) {
  return alarm.acknowledged || !mayAcknowledge() ? null : (
    <button
      aria-label={t("alarms.acknowledgeThis", { summary: alarm.summary })}
      onClick={() => {
        acknowledging.value = alarm;
      }}
      data-testid="ack"
    >
      {t("alarms.acknowledge")}
    </button>
  );
}
