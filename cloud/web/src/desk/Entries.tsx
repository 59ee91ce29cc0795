// What people say of calls, switches, crews and planned switching.
import type { Crew, OperatingBody, Plan, Planned, Switching } from "@busbar/client";
import { useEffect, useState } from "preact/hooks";
import { api, reasonOf } from "../api";
import { nowUs } from "../clock";
import { crews, loadCrews } from "../data/outages";
import { loadSwitching, switching } from "../data/switching";
import { t } from "../messages";
import { Moment } from "../parts/Times";
import { AssetField, EntryDialog, entry, idsIn, localTime, momentOf } from "./Entry";

export function EntryDialogs() {
  const now = entry.value;
  switch (now?.what) {
    case "operate":
      return <Operate key={now.asset} first={now.asset} />;
    case "call":
      return <TakeCall point={now.point} />;
    case "plan":
      return <PlanSwitching devices={now.devices} of={now.of} />;
    case "cancel":
      return <CancelPlan of={now.of} />;
    case "crew":
      return <SaveCrew of={crews.value?.find((c) => c.id === now.id)} />;
  }
  return null;
}

/** Who says how it is operated, and since when. */
export function Said({ of }: { of: Switching }) {
  return (
    <span>
      {of.position !== "normal" && <strong>{t(`position.${of.position}`)}</strong>} {of.phases !== "" && of.position === "open" && t("switching.phases", { phases: of.phases })}{" "}
      {of.cut && <strong class="abnormal">{t("switching.isCut")}</strong>} {of.tag && <strong class="abnormal">{t("switching.tagged", { tag: of.tag })}</strong>}{" "}
      <span class="muted">
        {of.gateway ? t("switching.measured", { gateway: of.gateway }) : t("switching.said", { by: of.by })} <Moment us={of.at_us} />
        {of.comment && `: ${of.comment}`}
      </span>
    </span>
  );
}

function Operate({ first }: { first: string }) {
  const [asset, setAsset] = useState(first);
  const [position, setPosition] = useState("");
  useEffect(() => void loadSwitching(), []);
  const known = switching.value?.get(asset);
  const measured = Boolean(known?.gateway);
  const body = (of: (name: string) => string, by: string, all: FormData): OperatingBody => {
    const said: OperatingBody = { by, comment: of("comment") };
    const moved = of("position");
    if (moved === "open" || moved === "closed" || moved === "normal") {
      said.position = moved;
      const phases = all.getAll("phase").join("");
      if (moved === "open" && phases.length < 3) {
        said.phases = phases;
      }
    }
    const cut = of("cut") !== "";
    if (cut !== (known?.cut ?? false)) {
      said.cut = cut;
    }
    if (of("tag") !== (known?.tag ?? "")) {
      said.tag = of("tag");
    }
    const since = of("since");
    if (since !== "") {
      said.since_us = momentOf(since);
    }
    return said;
  };
  return (
    <EntryDialog
      title={t("switching.title")}
      submit={t("switching.submit")}
      lacks={(of, all) => {
        const said = body(of, "", all);
        if (asset === "") {
          return t("entry.noAsset");
        }
        if (said.position === undefined && said.cut === undefined && said.tag === undefined) {
          return t("switching.nothing");
        }
        if (said.phases === "") {
          return t("switching.noPhase");
        }
        return of("comment") === "" ? t("handle.unreasoned") : "";
      }}
      send={async (of, by, all) => {
        await api.operate(asset, body(of, by, all));
        await loadSwitching();
      }}
    >
      <p>{t("switching.what")}</p>
      <AssetField name="asset" label={t("switching.asset")} value={first} chosen={setAsset} />
      {known && (
        <p>
          {t("switching.now")} <Said of={known} />
        </p>
      )}
      <label>
        {t("switching.position")}
        <select name="position" disabled={measured} onChange={(e) => setPosition(e.currentTarget.value)} data-testid="entry-position">
          <option value="">{t(measured ? "switching.asMeasured" : "switching.asBefore")}</option>
          <option value="open">{t("position.open")}</option>
          <option value="closed">{t("position.closed")}</option>
          <option value="normal">{t("switching.unsaid")}</option>
        </select>
      </label>
      {position === "open" && (
        <fieldset class="inline">
          <legend>{t("switching.openPhases")}</legend>
          {["A", "B", "C"].map((phase) => (
            <label key={phase} class="check">
              <input type="checkbox" name="phase" value={phase} defaultChecked />
              {phase}
            </label>
          ))}
        </fieldset>
      )}
      <label class="check">
        <input key={`cut ${known?.at_us}`} type="checkbox" name="cut" value="yes" defaultChecked={known?.cut ?? false} data-testid="entry-cut" />
        {t("switching.cut")}
      </label>
      <label>
        {t("switching.tag")}
        <input key={`tag ${known?.at_us}`} name="tag" maxLength={200} defaultValue={known?.tag ?? ""} data-testid="entry-tag" />
      </label>
      <label>
        {t("switching.since")}
        <input type="datetime-local" name="since" max={localTime(nowUs())} />
      </label>
      <label>
        {t("handle.reason")}
        <input name="comment" maxLength={1000} data-testid="entry-comment" />
      </label>
    </EntryDialog>
  );
}

const says = ["no-supply", "supply-back", "other"] as const;

function TakeCall({ point }: { point: string }) {
  return (
    <EntryDialog
      title={t("call.title")}
      submit={t("call.submit")}
      lacks={(of) => (of("point") === "" ? t("call.noPoint") : of("says") === "other" && of("text") === "" ? t("call.noText") : "")}
      send={(of, by) => {
        const said = says.find((one) => one === of("says")) ?? "other";
        return api.takeCall({ service_point: of("point"), says: said, text: of("text"), by });
      }}
    >
      <AssetField name="point" label={t("call.point")} value={point} kind="service_point" />
      <label>
        {t("call.says")}
        <select name="says" data-testid="entry-says">
          {says.map((one) => (
            <option key={one} value={one}>
              {t(`call.${one}`)}
            </option>
          ))}
        </select>
      </label>
      <label>
        {t("call.words")}
        <textarea name="text" rows={2} maxLength={1000} data-testid="entry-text" />
      </label>
    </EntryDialog>
  );
}

function PlanSwitching({ devices, of: before }: { devices: string; of: Planned | undefined }) {
  const [told, setTold] = useState("");
  const first = Math.ceil(nowUs() / 900_000_000) * 900_000_000;
  const plan = (of: (name: string) => string, by: string): Plan => ({ devices: idsIn(of("devices")), from_us: momentOf(of("from")), until_us: momentOf(of("until")), reason: of("reason"), by });
  return (
    <EntryDialog
      title={t(before ? "plan.change" : "plan.title")}
      submit={t("plan.submit")}
      lacks={(of) => {
        const p = plan(of, "");
        if (p.devices?.length === 0) {
          return t("plan.noDevice");
        }
        if (!(p.until_us > p.from_us)) {
          return t("plan.noTime");
        }
        return p.reason === "" ? t("plan.noReason") : "";
      }}
      send={async (of, by) => {
        const p = plan(of, by);
        await (before ? api.replan(before.id, { ...p, revision: before.revision, comment: of("comment") }) : api.plan(p));
        await loadSwitching();
      }}
    >
      <p>{t("plan.what")}</p>
      <AssetField name="devices" label={t("plan.devices")} value={(before?.devices ?? []).join(", ") || devices} several />
      <label>
        {t("plan.from")}
        <input type="datetime-local" name="from" defaultValue={localTime(before?.from_us ?? first)} data-testid="entry-from" />
      </label>
      <label>
        {t("plan.until")}
        <input type="datetime-local" name="until" defaultValue={localTime(before?.until_us ?? first + 7_200_000_000)} data-testid="entry-until" />
      </label>
      <label>
        {t("plan.reason")}
        <input name="reason" maxLength={1000} defaultValue={before?.reason ?? ""} data-testid="entry-reason" />
      </label>
      {before && (
        <label>
          {t("plan.why")}
          <input name="comment" maxLength={1000} data-testid="entry-comment" />
        </label>
      )}
      <p>
        <button
          type="button"
          data-testid="plan-try"
          onClick={(e) => {
            const all = new FormData(e.currentTarget.form ?? undefined);
            api.tryPlan(plan((name) => String(all.get(name) ?? "").trim() || (name === "reason" ? "–" : ""), "–")).then(
              (p) => setTold(t("plan.would", { n: p.customers, points: p.points, critical: p.critical })),
              (error: unknown) => setTold(t("step.refused", { reason: reasonOf(error) })),
            );
          }}
        >
          {t("plan.try")}
        </button>{" "}
        <span role="status" data-testid="plan-told">
          {told}
        </span>
      </p>
    </EntryDialog>
  );
}

function CancelPlan({ of: before }: { of: Planned }) {
  return (
    <EntryDialog
      title={t("plan.cancel")}
      submit={t("plan.cancel")}
      lacks={(of) => (of("comment") === "" ? t("handle.unreasoned") : "")}
      send={async (of, by) => {
        await api.cancelPlan(before.id, { revision: before.revision, comment: of("comment"), by });
        await loadSwitching();
      }}
    >
      <p>
        {(before.devices ?? []).join(", ")}: {before.reason}
      </p>
      <label>
        {t("handle.reason")}
        <input name="comment" maxLength={1000} data-testid="entry-comment" />
      </label>
    </EntryDialog>
  );
}

const crewStates = ["available", "suspended", "off-duty"] as const;

function SaveCrew({ of: before }: { of: Crew | undefined }) {
  return (
    <EntryDialog
      title={t(before ? "crew.change" : "crew.add")}
      submit={t("crew.submit")}
      lacks={(of) => (of("name") === "" || !(before || /^[0-9A-Za-z._-]{1,64}$/.test(of("id"))) ? t("crew.nameless") : "")}
      send={async (of, by) => {
        await api.saveCrew(before?.id ?? of("id"), { name: of("name"), state: crewStates.find((one) => one === of("state")) ?? "available", comment: of("comment"), by });
        await loadCrews();
      }}
    >
      {!before && (
        <label>
          {t("crew.id")}
          <input name="id" maxLength={64} data-testid="entry-id" />
        </label>
      )}
      <label>
        {t("crew.name")}
        <input name="name" maxLength={100} defaultValue={before?.name ?? ""} data-testid="entry-name" />
      </label>
      <label>
        {t("crew.state")}
        <select name="state" defaultValue={before?.state ?? "available"} data-testid="entry-state">
          {crewStates.map((one) => (
            <option key={one} value={one} selected={one === before?.state}>
              {t(`crew.${one}`)}
            </option>
          ))}
        </select>
      </label>
      <label>
        {t("ack.comment")}
        <input name="comment" maxLength={1000} defaultValue={before?.comment ?? ""} />
      </label>
    </EntryDialog>
  );
}
