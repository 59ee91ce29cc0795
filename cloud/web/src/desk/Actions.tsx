import type { Code, EstimateRecord, Outage, OutageCodesBody, OutageStepBody } from "@busbar/client";
import { effect, signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { api, reasonOf } from "../api";
import { act, crews, open, selected } from "../data/outages";
import { nowUs } from "../clock";
import { keep, recall } from "../kept";
import { coded, t } from "../messages";
import { mayAcknowledge, userName } from "../session";
import { AssetField, idsIn, localTime, momentOf } from "./Entry";
import { placeOf } from "./Events";

export type Action = OutageStepBody["action"];

// Which steps there are in which state, the next one of its life first. The server decides; it says why not.
const steps: Partial<Record<Outage["state"], readonly Action[]>> = {
  suspected: ["confirm", "dismiss", "merge", "split"],
  probable: ["confirm", "restored", "dismiss", "merge", "split"],
  confirmed: ["assign", "repaired", "restored", "estimate", "dismiss", "merge", "split"],
  assigned: ["en-route", "on-site", "repaired", "restored", "estimate", "assign", "unassign", "merge", "split"],
  "en-route": ["on-site", "repaired", "restored", "estimate", "unassign", "merge", "split"],
  "on-site": ["repaired", "restored", "estimate", "unassign", "merge", "split"],
  repaired: ["restored", "estimate", "merge", "split"],
  restored: ["verify"],
  verified: ["complete"],
  completed: ["edit"],
};

/** The step that is being entered. */
export const entering = signal<Action | undefined>(undefined);

// At once, and not when the page is next drawn: by then a step of the new outage may be entered.
effect(() => {
  selected.value;
  entering.value = undefined;
});

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
const reasoned: readonly Action[] = ["dismiss", "unassign", "note", "restored", "verify", "merge", "split"];

function Form({ outage, action, done }: { outage: Outage; action: Action; done: (told: string) => void }) {
  const form = useRef<HTMLFormElement>(null);
  const [failure, setFailure] = useState("");
  const [sending, setSending] = useState(false);
  const user = userName();
  const report = action === "complete" || action === "edit";
  const candidates = (outage.candidates ?? []).map((c) => c.device).filter((device) => device !== "" && device !== outage.device);
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
      step.p50_us = momentOf(text("p50"));
      step.p80_us = momentOf(text("p80"));
    }
    if (action === "merge") {
      step.into = text("into");
    }
    if (action === "split") {
      step.devices = idsIn(text("devices"));
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
      {action === "estimate" && <Record />}
      {action === "merge" && (
        <label>
          {t("step.into")}
          <select name="into" data-testid="step-into">
            {open.value
              .filter((o) => o.id !== outage.id)
              .sort((a, b) => Number(b.feeder === outage.feeder) - Number(a.feeder === outage.feeder))
              .map((o) => (
                <option key={o.id} value={o.id}>
                  {placeOf(o)} ({[o.feeder, t(`outage.state.${o.state}`), t("outage.outOf", { n: o.customers_out, of: o.customers })].filter(Boolean).join(", ")})
                </option>
              ))}
          </select>
        </label>
      )}
      {action === "split" && (
        <>
          <AssetField name="devices" label={t("step.devices")} value="" several />
          {candidates.length > 0 && <p class="muted">{t("step.candidates", { devices: candidates.join(", ") })}</p>}
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

/** How right estimates were so far, which whoever gives one should know. */
function Record() {
  const [records, setRecords] = useState<readonly EstimateRecord[] | undefined>(undefined);
  useEffect(() => {
    let current = true;
    api.estimateRecord().then(
      (answer) => current && setRecords(answer.records ?? []),
      () => undefined, // an estimate needs no record
    );
    return () => {
      current = false;
    };
  }, []);
  const share = (of: number | null) => (of === null ? "–" : t("step.percent", { n: Math.round(of * 100) }));
  return (
    <div class="record" data-testid="estimate-record">
      {records?.every((r) => r.estimates === 0) && <p class="muted">{t("step.noRecord")}</p>}
      {(records ?? [])
        .filter((r) => r.estimates > 0)
        .map((r) => (
          <p key={r.group}>
            {r.group === "" ? t("step.recordAll") : t(r.group === "cloud" ? "step.recordCloud" : "step.recordPeople")}{" "}
            {t("step.record", { n: r.estimates, p50: share(r.coverage_50), p80: share(r.coverage_80) })}
          </p>
        ))}
    </div>
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
            {coded(name, c.code, c.name)}
          </option>
        ))}
      </select>
    </label>
  );
}
