import type { Alarm } from "@busbar/client";
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { api, reasonOf } from "../api";
import { did } from "../data/alarms";
import { durationText } from "../format";
import { t } from "../messages";
import { mayAcknowledge, mayTakeOutOfService } from "../session";
import { AlarmNamed } from "./AckDialog";
import { useName } from "./name";

export type Deed = "shelve" | "unshelve" | "takeOutOfService" | "returnToService";

/** What the dialog asks about. */
export const handling = signal<{ alarm: Alarm; deed: Deed } | undefined>(undefined);

/** What somebody may do with an alarm as it is. */
export function deedsOf(alarm: Alarm): Deed[] {
  const deeds: Deed[] = [];
  const state = alarm.handling?.state;
  if (mayAcknowledge() && state !== "out-of-service") {
    deeds.push(state === "shelved" ? "unshelve" : "shelve");
  }
  if (mayTakeOutOfService()) {
    deeds.push(state === "out-of-service" ? "returnToService" : "takeOutOfService");
  }
  return deeds;
}

export function HandleDialog() {
  const asked = handling.value;
  return asked ? <Dialog key={asked.alarm.id + asked.deed} {...asked} /> : null;
}

const choices = [900, 3600, 4 * 3600, 8 * 3600, 24 * 3600, 3 * 86_400, 7 * 86_400];

/** How long an alarm may be shelved, undefined before that is known. */
function useLimit(alarm: Alarm, deed: Deed): number | undefined {
  const [limit, setLimit] = useState<number | undefined>(undefined);
  useEffect(() => {
    let current = true;
    if (deed === "shelve") {
      api.shelves().then(
        ({ limits }) => {
          if (current) {
            setLimit(limits?.find((l) => l.priority === alarm.priority)?.seconds ?? 0);
          }
        },
        () => undefined, // the server says what it doesn't take
      );
    }
    return () => {
      current = false;
    };
  }, []);
  return limit;
}

function Dialog({ alarm, deed: first }: { alarm: Alarm; deed: Deed }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const lasting = useRef<HTMLSelectElement>(null);
  const reason = useRef<HTMLTextAreaElement>(null);
  const [deed, setDeed] = useState(first);
  const [failure, setFailure] = useState("");
  const [sending, setSending] = useState(false);
  const name = useName();
  const limit = useLimit(alarm, deed);
  const offered = limit === undefined ? choices : [...choices.filter((s) => s < limit), ...(limit > 0 ? [limit] : [])];

  useEffect(() => {
    dialog.current?.showModal();
    if (!name.missing()) {
      reason.current?.focus();
    }
  }, []);

  const close = () => {
    dialog.current?.close();
    handling.value = undefined;
  };

  const submit = async (e: SubmitEvent) => {
    e.preventDefault();
    const why = reason.current?.value.trim() ?? "";
    if (name.missing()) {
      setFailure(t("ack.nameless"));
      return;
    }
    if (why === "") {
      setFailure(t("handle.unreasoned"));
      reason.current?.focus();
      return;
    }
    setSending(true);
    setFailure("");
    const by = name.said();
    try {
      await did(alarm.id, () => (deed === "shelve" ? api.shelve(alarm.id, by, why, Number(lasting.current?.value)) : api[deed](alarm.id, by, why)));
      name.keep();
      close();
      document.querySelector<HTMLElement>(`[data-alarm-id="${CSS.escape(alarm.id)}"] [data-focus]`)?.focus();
    } catch (error) {
      setFailure(t("handle.refused", { reason: reasonOf(error) }));
      setSending(false);
    }
  };

  return (
    <dialog ref={dialog} class="ack" aria-labelledby="handle-title" data-testid="handle-dialog" onClose={close}>
      <form method="dialog" noValidate onSubmit={(e) => void submit(e)}>
        <h2 id="handle-title">{t(`handle.${deed}`)}</h2>
        <AlarmNamed alarm={alarm} />
        {deedsOf(alarm).length > 1 && (
          <div class="chips deeds" role="group" aria-label={t("handle.what")}>
            {deedsOf(alarm).map((d) => (
              <button key={d} type="button" aria-pressed={deed === d} onClick={() => setDeed(d)} data-testid={`deed-${d}`}>
                {t(`handle.${d}`)}
              </button>
            ))}
          </div>
        )}
        <p>{t(`handle.${deed}.what`)}</p>
        {deed === "shelve" && (
          <label>
            {t("handle.lasting")}
            <select ref={lasting} data-testid="shelve-lasting">
              {offered.map((seconds) => (
                <option key={seconds} value={seconds}>
                  {durationText(seconds * 1_000_000)}
                </option>
              ))}
            </select>
          </label>
        )}
        {name.field}
        <label>
          {t("handle.reason")}
          <textarea ref={reason} name="reason" rows={2} maxLength={1000} required data-testid="handle-reason" />
        </label>
        <p class="ack-failure" role="alert" data-testid="handle-error">
          {failure}
        </p>
        <div class="actions">
          <button type="button" onClick={close} data-testid="handle-cancel">
            {t("ack.cancel")}
          </button>
          <button type="submit" class="primary" disabled={sending || (deed === "shelve" && offered.length === 0)} data-testid="handle-submit">
            {t(sending ? "ack.sending" : `handle.${deed}`)}
          </button>
        </div>
      </form>
    </dialog>
  );
}
