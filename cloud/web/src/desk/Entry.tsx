// What is entered in a dialog: who says it, why it was refused, and nothing else twice.
import type { Asset, ListAssetsParams, Planned } from "@busbar/client";
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { api, reasonOf } from "../api";
import { t } from "../messages";
import { useName } from "../parts/name";

/** What is being entered. */
export type Entry =
  | { what: "operate"; asset: string }
  | { what: "call"; point: string }
  | { what: "plan"; devices: string; of?: Planned }
  | { what: "cancel"; of: Planned }
  | { what: "crew"; id: string };

export const entry = signal<Entry | undefined>(undefined);

/** The entered text of a name. */
export type Entered = (name: string) => string;

interface Props {
  title: string;
  submit: string;
  children: ComponentChildren;
  /** What isn't entered yet, in words; empty: nothing. */
  lacks(of: Entered, all: FormData): string;
  /** Rejects with why it was refused. */
  send(of: Entered, by: string, all: FormData): Promise<unknown>;
}

export function EntryDialog({ title, submit, children, lacks, send }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const form = useRef<HTMLFormElement>(null);
  const back = useRef(document.activeElement);
  const [failure, setFailure] = useState("");
  const [sending, setSending] = useState(false);
  const name = useName();

  useLayoutEffect(() => {
    dialog.current?.showModal();
    form.current?.querySelector<HTMLElement>("input:not([disabled]), select:not([disabled]), textarea")?.focus();
  }, []);

  const closed = useRef(false);
  const close = () => {
    // The dialog tells that it is closed a while later, when the next one may be open.
    if (closed.current) {
      return;
    }
    closed.current = true;
    dialog.current?.close();
    entry.value = undefined;
    if (back.current instanceof HTMLElement || back.current instanceof SVGElement) {
      back.current.focus();
    }
  };

  const take = async (e: SubmitEvent) => {
    e.preventDefault();
    const all = new FormData(form.current ?? undefined);
    const of = (field: string) => String(all.get(field) ?? "").trim();
    if (name.missing()) {
      setFailure(t("ack.nameless"));
      return;
    }
    const lack = lacks(of, all);
    setFailure(lack);
    if (lack !== "") {
      return;
    }
    setSending(true);
    try {
      await send(of, name.said(), all);
      name.keep();
      close();
    } catch (error) {
      setFailure(t("step.refused", { reason: reasonOf(error) }));
      setSending(false);
    }
  };

  return (
    <dialog ref={dialog} class="ack" aria-labelledby="entry-title" data-testid="entry" onClose={close}>
      <form ref={form} method="dialog" noValidate onSubmit={(e) => void take(e)}>
        <h2 id="entry-title">{title}</h2>
        {children}
        {name.field}
        <p class="ack-failure" role="alert" data-testid="entry-error">
          {failure}
        </p>
        <div class="actions">
          <button type="button" onClick={close}>
            {t("ack.cancel")}
          </button>
          <button type="submit" class="primary" disabled={sending} data-testid="entry-submit">
            {sending ? t("ack.sending") : submit}
          </button>
        </div>
      </form>
    </dialog>
  );
}

const typedMs = 250;

/** An asset's id, for which those are offered that have what is typed in their id or name; or the ids of several. */
export function AssetField({ name, label, value, kind, several = false, chosen }: { name: string; label: string; value: string; kind?: ListAssetsParams["kind"]; several?: boolean; chosen?(id: string): void }) {
  const [found, setFound] = useState<readonly Asset[]>([]);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const typed = (text: string) => {
    chosen?.(text.trim());
    clearTimeout(timer.current);
    if (!several && text.trim() !== "") {
      timer.current = setTimeout(() => {
        api.findAssets(text.trim(), kind).then(setFound, () => undefined); // it may be typed all the same
      }, typedMs);
    }
  };
  return (
    <label>
      {label}
      <input name={name} list={several ? undefined : `${name}-found`} autoComplete="off" maxLength={several ? 4000 : 128} defaultValue={value} onInput={(e) => typed(e.currentTarget.value)} data-testid={`entry-${name}`} />
      {!several && (
        <datalist id={`${name}-found`}>
          {found.map((a) => (
            <option key={a.id} value={a.id}>
              {[a.name, t(`kind.${a.kind}`)].filter(Boolean).join(" · ")}
            </option>
          ))}
        </datalist>
      )}
    </label>
  );
}

/** The ids between commas, or spaces. */
export function idsIn(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean);
}

/** What an input of a local time shows. */
export function localTime(us: number): string {
  const at = new Date(us / 1000);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** The moment that it was set to; NaN: none. */
export function momentOf(text: string): number {
  return new Date(text).getTime() * 1000;
}
