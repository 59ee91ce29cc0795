import type { Alarm } from "@busbar/client";
import { alarmOf } from "../data/alarms";
import { t } from "../messages";

/** Which alarm of its group came first: this one, or a link to the other. Nothing without a group. */
export function FirstUp({ alarm }: { alarm: Alarm }) {
  if (!alarm.first_up) {
    return null;
  }
  if (alarm.first_up === alarm.id) {
    return (
      <span class="first-up" data-testid="first-up">
        {t("firstUp.this")}
      </span>
    );
  }
  const first = alarmOf(alarm.first_up);
  return (
    <a class="first-up" href={`/alarms/${encodeURIComponent(alarm.first_up)}`} data-testid="first-up">
      {first ? t("firstUp.other", { summary: first.summary }) : t("firstUp.unlisted")}
    </a>
  );
}
