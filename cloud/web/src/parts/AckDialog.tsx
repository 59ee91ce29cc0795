import { type Alarm, Refusal } from "@busbar/client";
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { api } from "../api";
import { nowUs } from "../clock";
import { acknowledge, apply } from "../data/alarms";
import { timeText } from "../format";
import { keep, recall } from "../kept";
import { t } from "../messages";
import { userName } from "../session";
import { PriorityLabel } from "./Priority";

/** The alarm that the dialog asks about. */
export const acknowledging = signal<Alarm | undefined>(undefined);

export function AckDialog() {
  const alarm = acknowledging.value;
  return alarm ? <Dialog key={alarm.id} alarm={alarm} /> : null;
}

function Dialog({ alarm }: { alarm: Alarm }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const name = useRef<HTMLInputElement>(null);
  const comment = useRef<HTMLTextAreaElement>(null);
  const [failure, setFailure] = useState("");
  const [sending, setSending] = useState(false);
  const user = userName();

  useEffect(() => {
    dialog.current?.showModal();
    (user !== undefined || recall("name") ? comment : name).current?.focus();
  }, []);

  const close = () => {
    dialog.current?.close();
    acknowledging.value = undefined;
  };

  const submit = async (e: SubmitEvent) => {
    e.preventDefault();
    const by = user ?? name.current?.value.trim() ?? "";
    if (by === "") {
      setFailure(t("ack.nameless"));
      name.current?.focus();
      return;
    }
    setSending(true);
    setFailure("");
    try {
      await acknowledge(alarm.id, by, comment.current?.value.trim() ?? "");
      if (user === undefined) {
        keep("name", by);
      }
      close();
      // The button that opened the dialog goes away with the acknowledgement.
      document.querySelector<HTMLElement>(`[data-alarm-id="${CSS.escape(alarm.id)}"] [data-focus]`)?.focus();
    } catch (error) {
      setFailure(await explain(alarm.id, error));
      setSending(false);
    }
  };

  return (
    <dialog ref={dialog} class="ack" aria-labelledby="ack-title" data-testid="ack-dialog" onClose={close}>
      <form method="dialog" noValidate onSubmit={(e) => void submit(e)}>
        <h2 id="ack-title">{t("ack.title")}</h2>
        <p class="ack-alarm">
          <PriorityLabel priority={alarm.priority} />
          <strong>{alarm.summary}</strong>
          <span>{[alarm.asset, alarm.device].filter(Boolean).join(" · ")}</span>
        </p>
        {user === undefined ? (
          <label>
            {t("ack.name")}
            <input ref={name} name="by" required autoComplete="name" maxLength={80} defaultValue={recall("name")} data-testid="ack-name" />
          </label>
        ) : (
          <p>{t("signin.as", { name: user })}</p>
        )}
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
