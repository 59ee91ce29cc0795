import type { Code, Outage, OutageCodesBody, OutageStepBody } from "@busbar/client";
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { api, reasonOf } from "../api";
import { act, crews, selected } from "../data/outages";
import { nowUs } from "../clock";
import { keep, recall } from "../kept";
import { t } from "../messages";
import { mayAcknowledge, userName } from "../session";

export type Action = OutageStepBody["action"];

// Which steps there are in which state, the next one of its life first. The server decides; it says why not.
const steps: Partial<Record<Outage["state"], readonly Action[]>> = {
  suspected: ["confirm", "dismiss"],
  probable: ["confirm", "restored", "dismiss"],
  confirmed: ["assign", "repaired", "restored", "estimate", "dismiss"],
  assigned: ["en-route", "on-site", "repaired", "restored", "estimate", "assign", "unassign"],
  "en-route": ["on-site", "repaired", "restored", "estimate", "unassign"],
  "on-site": ["repaired", "restored", "estimate", "unassign"],
  repaired: ["restored", "estimate"],
  restored: ["verify"],
  verified: ["complete"],
  completed: ["edit"],
};

/** The step that is being entered. */
export const entering = signal<Action | undefined>(undefined);

const codes = signal<OutageCodesBody | undefined>(undefined);

export function stepsOf(o: Outage): readonly Action[] {
  return mayAcknowledge() ? [...(steps[o.state] ?? []), "note"] : [];
}

export function Actions({ outage }: { outage: Outage }) {
  const choices = stepsOf(outage);
  const action = entering.value;
  const [done, setDone] = useState("");
  return (
    <div class="steps">
      <div class="step-buttons" role="group" aria-label={t("step.label")}>
        {choices.map((choice, i) => (
          <button
            key={choice}
            class={i === 0 ? "primary" : ""}
            aria-expanded={action === choice}
            data-testid={`step-${choice}`}
            onClick={() => {
              setDone("");
              entering.value = action === choice ? undefined : choice;
            }}
          >
            {t(`step.${choice}`)}
          </button>
        ))}
      </div>
      {action !== undefined && choices.includes(action) && <Form key={action} outage={outage} action={action} done={setDone} />}
      <p class="unseen" role="status">
        {done}
      </p>
    </div>
  );
}

/** Steps that the server refuses without a reason. */
const reasoned: readonly Action[] = ["dismiss", "unassign", "note", "restored", "verify"];

function localTime(us: number): string {
  const at = new Date(us / 1000);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

function Form({ outage, action, done }: { outage: Outage; action: Action; done: (told: string) => void }) {
  const form = useRef<HTMLFormElement>(null);
  const [failure, setFailure] = useState("");
  const [sending, setSending] = useState(false);
  const user = userName();
  const report = action === "complete" || action === "edit";
  useEffect(() => {
    form.current?.querySelector<HTMLElement>("select, input, textarea, button")?.focus();
    if (report && !codes.peek()) {
      api.outageCodes().then(
        (all) => (codes.value = all),
        (error: unknown) => setFailure(reasonOf(error)),
      );
    }
  }, []);

  const submit = async (e: SubmitEvent) => {
    e.preventDefault();
    const data = new FormData(form.current ?? undefined);
    const text = (name: string) => String(data.get(name) ?? "").trim();
    const by = user ?? text("by");
    if (by === "") {
      setFailure(t("ack.nameless"));
      return;
    }
    const step: OutageStepBody = { action, by };
    for (const name of ["comment", "crew", "cause", "failure", "remedy"] as const) {
      if (text(name) !== "") {
        step[name] = text(name);
      }
    }
    if (action === "estimate") {
      step.p50_us = new Date(text("p50")).getTime() * 1000;
      step.p80_us = new Date(text("p80")).getTime() * 1000;
    }
    setSending(true);
    setFailure("");
    try {
      await act(outage, step);
      if (user === undefined) {
        keep("name", by);
      }
      done(t("step.done", { step: t(`step.${action}`) }));
      // By now another step may be entered, or another outage be looked at.
      if (entering.value === action && selected.value === outage.id) {
        entering.value = undefined;
        document.querySelector<HTMLElement>("#details-title")?.focus();
      }
    } catch (error) {
      setFailure(t("step.refused", { reason: reasonOf(error) }));
      setSending(false);
    }
  };

  return (
    <form ref={form} class="step" noValidate onSubmit={(e) => void submit(e)} data-testid="step-form" onKeyDown={(e) => e.key === "Escape" && (entering.value = undefined)}>
      {action === "assign" && (
        <label>
          {t("outage.crew")}
          <select name="crew" data-testid="step-crew">
            {(crews.value ?? []).map((c) => (
              <option key={c.id} value={c.id}>
                {c.name} ({t(`crew.${c.state}`)})
              </option>
            ))}
          </select>
        </label>
      )}
      {action === "estimate" && (
        <>
          <label>
            {t("step.p50")}
            <input type="datetime-local" name="p50" defaultValue={localTime(outage.expected?.p50_us ?? nowUs() + 3_600_000_000)} />
          </label>
          <label>
            {t("step.p80")}
            <input type="datetime-local" name="p80" defaultValue={localTime(outage.expected?.p80_us ?? nowUs() + 7_200_000_000)} />
          </label>
        </>
      )}
      {report && (
        <>
          <Codes name="cause" codes={codes.value?.causes} value={outage.cause} />
          <Codes name="failure" codes={codes.value?.failures} value={outage.failure} />
          <Codes name="remedy" codes={codes.value?.remedies} value={outage.remedy} />
        </>
      )}
      {user === undefined && (
        <label>
          {t("ack.name")}
          <input name="by" maxLength={80} autoComplete="name" defaultValue={recall("name")} data-testid="step-name" />
        </label>
      )}
      <label>
        {t(reasoned.includes(action) || (action === "edit" && outage.state === "completed") ? "step.why" : "ack.comment")}
        <input name="comment" maxLength={1000} data-testid="step-comment" />
      </label>
      <p class="ack-failure" role="alert" data-testid="step-error">
        {failure}
      </p>
      <div class="actions">
        <button type="button" onClick={() => (entering.value = undefined)}>
          {t("ack.cancel")}
        </button>
        <button type="submit" class="primary" disabled={sending} data-testid="step-submit">
          {t(`step.${action}`)}
        </button>
      </div>
    </form>
  );
}

function Codes({ name, codes, value }: { name: "cause" | "failure" | "remedy"; codes: readonly Code[] | null | undefined; value: string }) {
  return (
    <label>
      {t(`outage.${name}`)}
      <select name={name} key={codes ? "known" : "asked"} defaultValue={value} data-testid={`step-${name}`}>
        <option value="">{t("step.choose")}</option>
        {(codes ?? []).map((c) => (
          <option key={c.code} value={c.code} selected={c.code === value}>
            {c.name}
          </option>
        ))}
      </select>
    </label>
  );
}
