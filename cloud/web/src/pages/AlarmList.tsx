import type { Alarm } from "@busbar/client";
import { useRef } from "preact/hooks";
import { type Group, isGroup, type Item, turn } from "../data/groups";
import { t } from "../messages";
import { quiet, stateOf } from "../model";
import { acknowledging } from "../parts/AckDialog";
import { Badges } from "../parts/Badges";
import { type Deed, deedsOf, handling } from "../parts/HandleDialog";
import { PriorityIcon, PriorityLabel } from "../parts/Priority";
import { useRows } from "../parts/rows";
import { Age, Moment } from "../parts/Times";
import { highest } from "../data/alarms";
import { mayAcknowledge } from "../session";

const columns = ["priority", "state", "asset", "device", "summary", "since", "age", "action"] as const;

/** Alarms, and what groups them. Only the rows on screen are there. */
export function AlarmList({ items }: { items: readonly Item[] }) {
  const body = useRef<HTMLTableSectionElement>(null);
  const rows = useRows(body, items.length);
  return (
    <table class="alarms" role="table" aria-rowcount={items.length + 1} data-testid="alarm-list" onKeyDown={keys}>
      <thead role="rowgroup">
        <tr role="row" aria-rowindex={1}>
          {columns.map((c) => (
            <th key={c} role="columnheader" scope="col" class={c}>
              {c === "action" ? <span class="unseen">{t("alarms.action")}</span> : t(`alarms.${c}`)}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup" ref={body}>
        <tr class="spacer" aria-hidden="true" style={{ height: `${rows.above}px` }} />
        {items.slice(rows.first, rows.end).map((item, i) =>
          isGroup(item) ? <GroupRow key={`group ${item.title}`} group={item} index={rows.first + i + 2} /> : <Row key={item.id} alarm={item} index={rows.first + i + 2} />,
        )}
        <tr class="spacer" aria-hidden="true" style={{ height: `${rows.below}px` }} />
      </tbody>
    </table>
  );
}

/** In a row: down and up lead to the next ones, a acknowledges, and s asks what else to do. */
function keys(e: KeyboardEvent): void {
  const row = e.target instanceof Element ? e.target.closest<HTMLElement>("[role=row]") : null;
  if (!row || e.altKey || e.ctrlKey || e.metaKey) {
    return;
  }
  const press = (css: string) => row.querySelector<HTMLElement>(css)?.click();
  const go = (to: Element | null) => to?.querySelector<HTMLElement>("[data-focus]")?.focus();
  switch (e.key) {
    case "ArrowDown":
      go(row.nextElementSibling);
      break;
    case "ArrowUp":
      go(row.previousElementSibling);
      break;
    case "a":
      press("[data-testid=ack]");
      break;
    case "s":
      press("[data-testid=handle]");
      break;
    default:
      return;
  }
  e.preventDefault();
}

function GroupRow({ group, index }: { group: Group; index: number }) {
  const worst = highest(group.alarms.filter((a) => !a.acknowledged)) ?? highest(group.alarms);
  return (
    <tr role="row" class="group" aria-rowindex={index} data-testid="alarm-group" data-group={group.title}>
      <th role="rowheader" colSpan={columns.length} scope="rowgroup">
        <button aria-expanded={group.open} onClick={() => turn(group.title, !group.open)} data-focus>
          {worst && <PriorityIcon priority={worst} quiet={group.unacknowledged === 0} />}
          <strong>{group.title}</strong>
          <span>{t("group.alarms", { n: group.alarms.length, unacknowledged: group.unacknowledged })}</span>
          {group.quiet > 0 && <span class="muted">{t("group.quiet", { n: group.quiet })}</span>}
        </button>
      </th>
    </tr>
  );
}

function Row({ alarm: a, index }: { alarm: Alarm; index: number }) {
  const state = stateOf(a);
  return (
    <tr
      role="row"
      class={`alarm ${a.priority} ${state}${quiet(a) ? " quieted" : ""}`}
      aria-rowindex={index}
      data-testid="alarm-row"
      data-alarm-id={a.id}
      data-state={state}
      data-priority={a.priority}
    >
      <td role="cell" class="priority">
        <PriorityLabel priority={a.priority} quiet={a.acknowledged || quiet(a)} />
      </td>
      <td role="cell" class="state" data-testid="alarm-state">
        {t(`state.${state}`)}
      </td>
      <td role="cell" class="asset" title={a.asset}>
        {a.asset}
      </td>
      <td role="cell" class="device" title={a.device}>
        {a.device}
      </td>
      <td role="cell" class="summary">
        <a href={`/alarms/${encodeURIComponent(a.id)}`} title={a.summary} data-focus data-testid="alarm-link">
          {a.summary}
        </a>
        <span class="badges">
          <Badges alarm={a} />
        </span>
      </td>
      <td role="cell" class="since">
        <Moment us={a.raised_us} />
      </td>
      <td role="cell" class="age">
        <Age us={a.raised_us} />
      </td>
      <td role="cell" class="action">
        <AckButton alarm={a} />
        <HandleButton alarm={a} />
      </td>
    </tr>
  );
}

export function AckButton({ alarm }: { alarm: Alarm }) {
  return alarm.acknowledged || !mayAcknowledge() ? null : (
    <button
      aria-label={t("alarms.acknowledgeThis", { summary: alarm.summary })}
      onClick={() => {
        acknowledging.value = [alarm];
      }}
      data-testid="ack"
    >
      {t("alarms.acknowledge")}
    </button>
  );
}

/** Offers what else may be done with an alarm. */
export function HandleButton({ alarm }: { alarm: Alarm }) {
  const deed: Deed | undefined = deedsOf(alarm)[0];
  return deed === undefined ? null : (
    <button
      class="handle"
      aria-label={t("handle.this", { deed: t(`handle.${deed}`), summary: alarm.summary })}
      title={t(`handle.${deed}`)}
      onClick={() => {
        handling.value = { alarm, deed };
      }}
      data-testid="handle"
    >
      <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
        <circle cx="8" cy="8" r="6.5" fill="none" stroke="currentColor" stroke-width="1.5" />
        <path d="M8 4v4.5l3 1.5" fill="none" stroke="currentColor" stroke-width="1.5" />
      </svg>
      <span class="word">{t(`handle.${deed}`)}</span>
    </button>
  );
}
