import type { Alarm } from "@busbar/client";
import { now } from "../clock";
import { alarmOf } from "../data/alarms";
import { chatters, fleets, stands } from "../data/filters";
import { durationText } from "../format";
import { t } from "../messages";
import { FirstUp } from "./FirstUp";

/** Stands in place of the alarm that suppresses, until it is clear whether an outage does. */
const held = "outages";

/** Stands there of the alarm of an outage that is planned. */
const planned = "planned";

/** What there is to say of an alarm beside its state: what keeps it quiet, and how it behaves. */
export function Badges({ alarm }: { alarm: Alarm }) {
  const { handling } = alarm;
  const parent = alarm.suppressed_by ? alarmOf(alarm.suppressed_by) : undefined;
  return (
    <>
      <FirstUp alarm={alarm} />
      {handling && (
        <span class="badge" data-testid="badge-handling" title={t("badge.why", { by: handling.by, reason: handling.reason })}>
          {handling.until_us === null ? t("badge.outOfService", { age: durationText(now.value - handling.since_us) }) : t("badge.shelved", { left: durationText(handling.until_us - now.value) })}
        </span>
      )}
      {alarm.suppressed_by === held && <span class="badge">{t("badge.held")}</span>}
      {alarm.suppressed_by === planned && <span class="badge">{t("badge.planned")}</span>}
      {alarm.suppressed_by && alarm.suppressed_by !== held && alarm.suppressed_by !== planned && (
        <a class="badge" href={`/alarms/${encodeURIComponent(alarm.suppressed_by)}`} data-testid="badge-suppressed">
          {parent ? t("badge.suppressedBy", { summary: parent.summary }) : t("badge.suppressed")}
        </a>
      )}
      {chatters(alarm, now.value) && <span class="badge">{t("badge.chattering")}</span>}
      {fleets(alarm) && <span class="badge">{t("badge.fleeting")}</span>}
      {stands(alarm, now.value) && <span class="badge">{t("badge.standing")}</span>}
    </>
  );
}
