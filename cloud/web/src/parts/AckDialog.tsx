import { type Alarm, Refusal } from "@busbar/client";
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { api } from "../api";
import { nowUs } from "../clock";
import { acknowledge, apply } from "../data/alarms";
import { timeText } from "../format";
import { t } from "../messages";
import { useName } from "./name";
import { PriorityLabel } from "./Priority";

/** The alarms that the dialog asks about. */
export const acknowledging = signal<readonly Alarm[]>([]);

const mostShown = 5;

export function AckDialog() {
  const alarms = acknowledging.value;
  return alarms.length > 0 ? <Dialog key={alarms.map((a) => a.id).join()} alarms={alarms} /> : null;
}

function Dialog({ alarms }: { alarms: readonly Alarm[] }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const comment = useRef<HTMLTextAreaElement>(null);
  const [failure, setFailure] = useState("");
  const [sending, setSending] = useState(false);
  const name = useName();

  useEffect(() => {
    dialog.current?.showModal();
    if (!name.missing()) {
      comment.current?.focus();
    }
  }, []);

  const close = () => {
    dialog.current?.close();
    acknowledging.value = [];
  };

  const submit = async (e: SubmitEvent) => {
    e.preventDefault();
    if (name.missing()) {
      setFailure(t("ack.nameless"));
      return;
    }
    setSending(true);
    setFailure("");
    const left: string[] = [];
    for (const alarm of alarms) {
      try {
        await acknowledge(alarm.id, name.said(), comment.current?.value.trim() ?? "");
      } catch (error) {
        left.push(await explain(alarm.id, error));
        if (!(error instanceof Refusal)) {
          break;
        }
      }
    }
    if (left[0] !== undefined) {
      setFailure(left.length === 1 ? left[0] : t("ack.several", { n: left.length, first: left[0] }));
      setSending(false);
      return;
    }
    name.keep();
    close();
    // The button that opened the dialog goes away with the acknowledgement.
    document.querySelector<HTMLElement>(`[data-alarm-id="${CSS.escape(alarms[0]?.id ?? "")}"] [data-focus]`)?.focus();
  };

  return (
    <dialog ref={dialog} class="ack" aria-labelledby="ack-title" data-testid="ack-dialog" onClose={close}>
      <form method="dialog" noValidate onSubmit={(e) => void submit(e)}>
        <h2 id="ack-title">{alarms.length === 1 ? t("ack.title") : t("ack.titleSeveral", { n: alarms.length })}</h2>
        {alarms.slice(0, mostShown).map((alarm) => (
          <AlarmNamed key={alarm.id} alarm={alarm} />
        ))}
        {alarms.length > mostShown && <p>{t("ack.more", { n: alarms.length - mostShown })}</p>}
        {name.field}
        <label>
          {t("ack.comment")}
          <textarea ref={comment} name="comment" rows={3} maxLength={1000} data-testid="ack-comment" />
        </label>
        <p class="ack-failure" role="alert" data-testid="ack-error">
          {failure}
        </p>
        <div class="actions">
          <button type="button" onClick={close} data-testid="ack-cancel">
            {t("ack.cancel")}
          </button>
          <button type="submit" class="primary" disabled={sending} data-testid="ack-submit">
            {t(sending ? "ack.sending" : "ack.submit")}
          </button>
        </div>
      </form>
    </dialog>
  );
}

/** Which alarm a dialog is about. */
export function AlarmNamed({ alarm }: { alarm: Alarm }) {
  return (
    <p class="ack-alarm">
      <PriorityLabel priority={alarm.priority} />
      <strong>{alarm.summary}</strong>
      <span>{[alarm.asset, alarm.device].filter(Boolean).join(" · ")}</span>
    </p>
  );
}

/** Says what went wrong; of an alarm acknowledged by another, who and when. */
async function explain(id: string, error: unknown): Promise<string> {
  if (!(error instanceof Refusal)) {
    return t("ack.unreachable");
  }
  if (error.status === 404) {
    return t("ack.gone");
  }
  if (error.status === 409) {
    try {
      const current = await api.alarm(id);
      apply(current);
      if (current.acknowledged && current.acknowledged_us !== null) {
        return t("ack.already", { by: current.acknowledged_by, time: timeText(current.acknowledged_us, nowUs()) });
      }
    } catch {
      return t("ack.refused", { reason: error.message });
    }
  }
  return t("ack.refused", { reason: error.message });
}
