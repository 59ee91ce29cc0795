import type { Gateway, Sample } from "@busbar/client";
import type { ComponentChildren } from "preact";
import { now } from "../clock";
import { failure, gateways, isAbnormal, ownOf, sumOf } from "../data/gateways";
import { latestOf, tick } from "../data/series";
import { bytesText, durationText, nameOf } from "../format";
import { t } from "../messages";
import { isGood } from "../model";
import { Rollouts } from "../parts/Rollouts";
import { Age } from "../parts/Times";
import { link } from "../stream";

/** Every gateway, those with something abnormal first. */
export function GatewaysPage() {
  const list = gateways.value;
  tick.value;
  const abnormal = (list ?? []).filter(isAbnormal);
  return (
    <>
      <div class="heading">
        <h1 tabIndex={-1}>{t("fleet.title")}</h1>
        {list && <p data-testid="fleet-sum">{t("fleet.sum", { n: list.length, abnormal: abnormal.length })}</p>}
      </div>
      {!list && <p role="status">{failure.value ? t("page.failed", { reason: failure.value }) : t("page.loading")}</p>}
      {list?.length === 0 && <p class="empty">{t("gateways.none")}</p>}
      {list && list.length > 0 && (
        <div class={`panel fleet${link.value.state === "reconnecting" ? " stale" : ""}`}>
          <table>
            <thead>
              <tr>
                {columns.map((column) => (
                  <th key={column} scope="col">
                    {t(`fleet.${column}`)}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {[...abnormal, ...list.filter((g) => !isAbnormal(g))].map((g) => (
                <Row key={g.id} of={g} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      <Rollouts />
    </>
  );
}

const columns = ["gateway", "state", "heard", "clock", "buffer", "left", "data", "version"] as const;

function Row({ of: g }: { of: Gateway }) {
  const cells: Record<(typeof columns)[number], ComponentChildren> = {
    gateway: (
      <>
        <a href={`/gateways/${encodeURIComponent(g.id)}`}>{g.id}</a> <span class="muted">{[g.site, g.zone].filter(Boolean).join(" · ")}</span>
      </>
    ),
    state: <GatewayState of={g} />,
    heard: <Heard of={g} />,
    clock: <Clock of={g} />,
    buffer: <BufferUse of={g} />,
    left: <BufferLeft of={g} />,
    data: <Data of={g} />,
    version: <Version of={g} />,
  };
  return (
    <tr data-testid="gateway-row" data-gateway-id={g.id} data-state={g.state}>
      {columns.map((column) =>
        column === "gateway" ? (
          <th key={column} scope="row">
            {cells[column]}
          </th>
        ) : (
          <td key={column} data-label={t(`fleet.${column}`)} data-column={column}>
            {cells[column]}
          </td>
        ),
      )}
    </tr>
  );
}

/** By shape and word: a disc, a ring with a bar, a square, a dashed ring. */
export function GatewayState({ of: g }: { of: Gateway }) {
  const shapes = {
    heard: <circle cx="8" cy="8" r="5" fill="currentColor" />,
    silent: <path d="M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 1 0 0-11ZM4 4l8 8" fill="none" stroke="currentColor" stroke-width="2" />,
    stopped: <path d="M3.5 3.5h9v9h-9Z" fill="none" stroke="currentColor" stroke-width="2" />,
    unknown: <circle cx="8" cy="8" r="5.5" fill="none" stroke="currentColor" stroke-width="1.5" stroke-dasharray="2.5 2" />,
  };
  return (
    <span class={`fleet-state ${g.state === "silent" || g.supply_failed_us !== null ? "abnormal" : g.state === "heard" ? "" : "muted"}`}>
      <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
        {shapes[g.state]}
      </svg>
      {g.silent_us !== null ? t("fleet.silentFor", { age: durationText(now.value - g.silent_us) }) : t(`fleet.is.${g.state}`)}
      {g.supply_failed_us !== null && `, ${t("fleet.noSupply", { age: durationText(now.value - g.supply_failed_us) })}`}
    </span>
  );
}

export function Heard({ of: g }: { of: Gateway }) {
  const at = g.last_record_us;
  return at === 0 ? <span class="muted">{t("overview.never")}</span> : <span class="age">{t("fleet.ago", { age: durationText(now.value - at) })}</span>;
}

/** The newest sample of what it tells of itself, if its value is to be believed. */
function told(g: Gateway, name: string): (Sample & { v: number }) | undefined {
  const s = ownOf(g, name);
  const sample = s && (latestOf(s.id) ?? s.latest);
  return sample && sample.v !== null && isGood(sample.q) ? { ...sample, v: sample.v } : undefined;
}

const Unknown = () => <span class="muted">{t("fleet.unknown")}</span>;

/** A value may be old: of a gateway that isn't heard it says how old. */
function asOf(g: Gateway, sample: Sample): ComponentChildren {
  return (
    g.state !== "heard" && (
      <span class="muted">
        {" "}
        {t("fleet.asOf")} <Age us={sample.t} />
      </span>
    )
  );
}

export function Clock({ of: g }: { of: Gateway }) {
  const sample = told(g, "ClkSt");
  const s = ownOf(g, "ClkSt");
  const name = sample && s ? nameOf(sample.v, s) : "";
  if (!sample || !(name === "synchronised" || name === "free-running" || name === "unset")) {
    return <Unknown />;
  }
  return (
    <span class={name === "synchronised" ? "" : "abnormal"}>
      {t(`fleet.clock.${name}`)}
      {asOf(g, sample)}
    </span>
  );
}

export function BufferUse({ of: g }: { of: Gateway }) {
  const sample = told(g, "BufUse");
  return sample ? (
    <span>
      {bytesText(sample.v)}
      {asOf(g, sample)}
    </span>
  ) : (
    <Unknown />
  );
}

/** Less than a day is what a person should know of. */
const shortS = 86_400;

export function BufferLeft({ of: g }: { of: Gateway }) {
  const sample = told(g, "BufLeft");
  return sample ? (
    <span class={sample.v < shortS ? "abnormal" : ""}>
      {durationText(sample.v * 1_000_000)}
      {asOf(g, sample)}
    </span>
  ) : (
    <Unknown />
  );
}

export function Data({ of: g }: { of: Gateway }) {
  const sum = sumOf(g);
  const parts = [
    sum.lost > 0 && t("gateways.lost", { n: sum.lost }),
    sum.missing > 0 && t("gateways.missing", { n: sum.missing }),
    sum.parked > 0 && t("gateways.parked", { n: sum.parked }),
    sum.conflicts > 0 && t("fleet.conflicts", { n: sum.conflicts }),
  ].filter(Boolean);
  return sum.received === 0 && parts.length === 0 ? (
    <Unknown />
  ) : parts.length > 0 ? (
    <span class="abnormal">{parts.join(", ")}</span>
  ) : (
    <span>{t("fleet.complete")}</span>
  );
}

export function Version({ of: g }: { of: Gateway }) {
  const s = ownOf(g, "SwRev");
  const text = s && (latestOf(s.id) ?? s.latest)?.text;
  return text ? <span>{text}</span> : <Unknown />;
}
