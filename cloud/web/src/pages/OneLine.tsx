import type { OneLine, OneLineBranch, OneLineTie, Series } from "@busbar/client";
import { useEffect, useState } from "preact/hooks";
import { api, reasonOf } from "../api";
import { now } from "../clock";
import { latestOf, tick } from "../data/series";
import { open, selected, standingOf } from "../data/outages";
import { nameOf, timeText, utcText, valueText } from "../format";
import { t } from "../messages";
import { isGood } from "../model";
import { generation, link } from "../stream";

const wide = 168;
const high = 76;
const left = 40;
const above = 30;

export function FeederPage({ id }: { id: string }) {
  return (
    <>
      <p>
        <a href="/desk">{t("nav.desk")}</a>
      </p>
      <h1 tabIndex={-1}>{t("oneline.title", { feeder: id })}</h1>
      <div class="panel">
        <OneLineView id={id} />
      </div>
    </>
  );
}

/** The feeder of an id, or the one that supplies an asset. */
export function OneLineView({ id }: { id: string }) {
  const [drawing, setDrawing] = useState<OneLine | undefined>(undefined);
  const [failure, setFailure] = useState("");
  useEffect(() => {
    let current = true;
    api.oneLine(id).then(
      (d) => {
        if (current) {
          setDrawing(d);
          setFailure("");
        }
      },
      (error: unknown) => {
        if (current) {
          setDrawing(undefined);
          setFailure(reasonOf(error));
        }
      },
    );
    return () => {
      current = false;
    };
  }, [id, generation.value]);
  tick.value;
  if (!drawing) {
    return <p role="status">{failure || t("page.loading")}</p>;
  }
  return <Drawing of={drawing} />;
}

function Drawing({ of }: { of: OneLine }) {
  const nodes = of.nodes ?? [];
  const branches = of.branches ?? [];
  const ties = of.ties ?? [];
  const at = (n: number): [number, number] => [left + (nodes[n]?.column ?? 0) * wide, above + (nodes[n]?.row ?? 0) * high];
  const width = left + of.columns * wide + 40;
  const height = above + of.rows * high + 20;
  const tiesAt = new Map<number, number>();
  return (
    <div class={`oneline${link.value.state === "reconnecting" ? " uncertain" : ""}`} tabIndex={0} role="group" aria-label={t("oneline.title", { feeder: of.feeder })}>
      <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="group" aria-label={t("oneline.label", { feeder: of.feeder, n: branches.length })} data-testid="oneline">
        {branches.map((b) => {
          const [x1, y1] = at(b.from);
          const [x2, y2] = at(b.to);
          return <path key={b.id} class="wire" d={`M${x1} ${y1}H${x2}V${y2}`} />;
        })}
        {nodes.map((n, i) => {
          const [x, y] = at(i);
          const customers = n.customers > 0 ? t("outage.customers", { n: n.customers }) : "";
          return (
            <g key={i} class="node">
              {n.busbar ? <path class="busbar" d={`M${x - 28} ${y}h56`} /> : <circle cx={x} cy={y} r="3.5" />}
              {(n.busbar || customers) && (
                <text x={x + (n.counted ? 0 : 8)} y={y + (n.counted ? 17 : -8)} text-anchor={n.counted ? "middle" : "start"}>
                  {[n.busbar ? n.name || n.id : "", customers].filter(Boolean).join(" · ")}
                </text>
              )}
            </g>
          );
        })}
        {branches.map((b) => {
          const [x, y] = at(b.to);
          return <Branch key={b.id} of={b} x={x} y={y - high / 2} />;
        })}
        {ties.map((tie) => {
          const [x, y] = at(tie.at);
          const n = tiesAt.get(tie.at) ?? 0;
          tiesAt.set(tie.at, n + 1);
          return <Tie key={tie.id} of={tie} x={x} y={y + 12 + 22 * n} from={y} />;
        })}
      </svg>
      {(of.series ?? []).length > 0 && (
        <p class="oneline-values">
          {of.feeder}: <Values series={of.series ?? []} />
        </p>
      )}
      {of.more > 0 && <p>{t("oneline.more", { n: of.more })}</p>}
    </div>
  );
}

type Position = "open" | "closed" | "unknown";

/** What a position's newest sample says, and how sure that is. */
function positionOf(series: Series | null): { position: Position; why: string } {
  if (!series) {
    return { position: "unknown", why: t("oneline.notTelemetered") };
  }
  const sample = latestOf(series.id) ?? series.latest;
  if (!sample || sample.v === null) {
    return { position: "unknown", why: t("signals.noValue") };
  }
  const when = timeText(sample.t, now.value);
  const name = nameOf(sample.v, series).toLowerCase();
  if (!isGood(sample.q)) {
    return { position: "unknown", why: t("oneline.notGood", { value: name || String(sample.v), quality: sample.q, time: when }) };
  }
  if (name === "open" || name === "off" || name === "closed" || name === "on") {
    const position = name === "open" || name === "off" ? "open" : "closed";
    return { position, why: t("oneline.since", { position: t(`position.${position}`), quality: sample.q, time: when }) };
  }
  return { position: "unknown", why: t("oneline.notGood", { value: name || String(sample.v), quality: sample.q, time: when }) };
}

function Branch({ of, x, y }: { of: OneLineBranch; x: number; y: number }) {
  const outage = open.value.find((o) => o.device === of.id);
  const label = of.name || of.id;
  const { position, why } = of.kind === "switch" ? positionOf(of.position) : { position: undefined, why: "" };
  const names = [t(`kind.${of.kind}`), label, why, outage ? t(`outage.state.${outage.state}`) : ""].filter(Boolean).join(", ");
  return (
    <g
      class={`branch ${of.kind} ${position ?? ""}${outage ? ` lost ${standingOf(outage)}` : ""}`}
      data-testid={`branch-${of.kind}`}
      data-id={of.id}
      data-position={position}
      role="img"
      aria-label={names}
    >
      <title>{names}</title>
      {of.kind === "transformer" && (
        <>
          <circle cx={x} cy={y - 5} r="8" />
          <circle cx={x} cy={y + 5} r="8" />
        </>
      )}
      {of.kind === "switch" && <Switch x={x} y={y} position={position ?? "unknown"} />}
      {outage && (
        <path class="cross" d={`M${x - 24} ${y - 9}l14 18m0-18l-14 18`} onClick={() => (selected.value = outage.id)} />
      )}
      {(of.kind !== "line" || outage) && (
        <text x={x + 15} y={y - 2}>
          {label}
        </text>
      )}
      {of.kind === "switch" && (
        <text x={x + 15} y={y + 12} class={position === "unknown" ? "abnormal-text" : "muted-text"}>
          {t(`position.${position ?? "unknown"}`)}
        </text>
      )}
      <SvgValues series={of.series ?? []} x={x + 15} y={y + (of.kind === "switch" ? 25 : 12)} />
    </g>
  );
}

/** Closed is filled, open is hollow with a gap, and what isn't known is hatched with a question mark. */
function Switch({ x, y, position }: { x: number; y: number; position: Position }) {
  return (
    <>
      <rect x={x - 8} y={y - 8} width="16" height="16" class={`switch-box ${position}`} />
      {position === "open" && <path class="blade" d={`M${x - 5} ${y}h10`} />}
      {position === "unknown" && (
        <>
          <path class="hatch" d={`M${x - 8} ${y}l8-8M${x - 8} ${y + 8}l16-16M${x} ${y + 8}l8-8`} />
          <text x={x} y={y + 4.5} text-anchor="middle" class="question">
            ?
          </text>
        </>
      )}
    </>
  );
}

function Tie({ of, x, y, from }: { of: OneLineTie; x: number; y: number; from: number }) {
  const { position, why } = positionOf(of.position);
  const other = of.other || of.other_node || t("oneline.elsewhere");
  const names = [t("oneline.tie"), of.name || of.id, why || "", t("oneline.to", { feeder: other })].filter(Boolean).join(", ");
  return (
    <g class={`branch switch tie ${position}`} data-testid="tie" data-id={of.id} data-position={position} role="img" aria-label={names}>
      <title>{names}</title>
      <path class="wire open-end" d={`M${x} ${from}L${x + 14} ${y}H${x + 22}`} />
      <Switch x={x + 30} y={y} position={position} />
      <text x={x + 43} y={y + 4}>
        → {other}
      </text>
    </g>
  );
}

/** Values short enough for a drawing: the newest of each of voltage, current and power. */
function shownOf(series: readonly Series[]): { text: string; title: string; good: boolean }[] {
  const order = ["PhV.phsA", "PPV.phsAB", "A.phsA", "TotW"];
  return series
    .filter((s) => order.includes(s.name))
    .sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name))
    .map((s) => {
      const sample = latestOf(s.id) ?? s.latest;
      const good = sample !== null && isGood(sample.q) && sample.v !== null;
      return {
        text: good ? valueText(sample.v, s.unit) : "?",
        title: sample ? `${s.name}: ${valueText(sample.v, s.unit, sample.text)}, ${sample.q}, ${utcText(sample.t)}` : `${s.name}: ${t("signals.noValue")}`,
        good,
      };
    });
}

function SvgValues({ series, x, y }: { series: readonly Series[]; x: number; y: number }) {
  const shown = shownOf(series);
  return shown.length === 0 ? null : (
    <text x={x} y={y} class="values">
      <title>{shown.map((v) => v.title).join("; ")}</title>
      {shown.map((v) => v.text).join("  ")}
    </text>
  );
}

function Values({ series }: { series: readonly Series[] }) {
  return (
    <>
      {shownOf(series).map((v) => (
        <span key={v.title} title={v.title} class={v.good ? "" : "abnormal"}>
          {v.text}{" "}
        </span>
      ))}
    </>
  );
}
