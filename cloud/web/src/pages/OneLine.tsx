import type { Feeding, OneLine, OneLineBranch, OneLineTie, Series, Switching } from "@busbar/client";
import { effect } from "@preact/signals";
import { Fragment, type JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { api, reasonOf } from "../api";
import { asking } from "../data/asking";
import { positionOf, type Operated, type Position } from "../data/positions";
import { latestOf, tick } from "../data/series";
import { open, selected, standingOf } from "../data/outages";
import { switching, watchSwitching } from "../data/switching";
import { entry } from "../desk/Entry";
import { utcText, valueText } from "../format";
import { t } from "../messages";
import { isGood } from "../model";
import { opening, openings } from "../oneline/opening";
import { trace } from "../oneline/trace";
import { mayAcknowledge } from "../session";
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
  const feeding = useFeeding(id);
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
  useEffect(() => watchSwitching(), [generation.value]);
  tick.value;
  if (!drawing || feeding === "asked") {
    return <p role="status">{failure || t("page.loading")}</p>;
  }
  return <Drawing of={drawing} feeding={feeding} />;
}

const feedingEveryMs = 5000;

/** What feeds it, asked for again and again and at every change of an outage; undefined: that isn't known. */
function useFeeding(id: string): Feeding | undefined | "asked" {
  const [told, setTold] = useState<{ of: string; feeding: Feeding | undefined } | undefined>(undefined);
  useEffect(() => {
    let current = true;
    const loop = asking(async () => {
      try {
        const feeding = await api.feeding(id);
        if (current) {
          setTold({ of: id, feeding });
        }
      } catch (error) {
        if (current) {
          setTold({ of: id, feeding: undefined });
        }
        throw error;
      }
    }, feedingEveryMs);
    const stop = effect(() => {
      generation.value;
      open.value;
      loop.soon();
    });
    return () => {
      current = false;
      stop();
      loop.stop();
    };
  }, [id]);
  return told?.of === id ? told.feeding : "asked";
}

function Drawing({ of, feeding }: { of: OneLine; feeding: Feeding | undefined }) {
  const nodes = of.nodes ?? [];
  const branches = of.branches ?? [];
  const ties = of.ties ?? [];
  const at = (n: number): [number, number] => [left + (nodes[n]?.column ?? 0) * wide, above + (nodes[n]?.row ?? 0) * high];
  const width = left + of.columns * wide + 40;
  const height = above + of.rows * high + 20;
  const tiesAt = new Map<number, number>();
  const said = switching.value;
  const operated = new Map<string, Operated>();
  for (const b of branches) {
    operated.set(b.id, positionOf(b.position, said?.get(b.id)));
  }
  for (const tie of ties) {
    operated.set(tie.id, positionOf(tie.position, said?.get(tie.id)));
  }
  const lost = openings(open.value.map((o) => {
    const is = operated.get(o.device);
    return { device: o.device, says: opening(o, standingOf(o), is?.position === "closed" ? is.at : undefined) };
  }));
  const tied = new Set(ties.map((tie) => tie.id));
  const position = (id: string): Position => {
    const is = operated.get(id);
    if (said?.get(id)?.cut || lost.get(id) === "open") {
      return "open";
    }
    const shown = !is || is.unsaid ? (tied.has(id) ? "open" : "closed") : is.position;
    return shown === "closed" ? (lost.get(id) ?? shown) : shown;
  };
  const supply = trace(of, position, feeding);
  const source = feeding?.source ?? "unknown";
  return (
    <div class={`oneline${link.value.state === "reconnecting" ? " uncertain" : ""}`} tabIndex={0} role="group" aria-label={t("oneline.title", { feeder: of.feeder })}>
      <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="group" aria-label={t("oneline.label", { feeder: of.feeder, n: branches.length })} data-testid="oneline">
        {branches.map((b) => {
          const [x1, y1] = at(b.from);
          const [x2, y2] = at(b.to);
          return (
            <Fragment key={b.id}>
              <path class={`wire ${supply[b.from]}`} d={`M${x1} ${y1}H${x2}V${y2 - high / 2}`} />
              <path class={`wire ${supply[b.to]}`} data-supply={supply[b.to]} data-wire={b.id} d={`M${x2} ${y2 - high / 2}V${y2}`} />
            </Fragment>
          );
        })}
        {nodes.map((n, i) => {
          const [x, y] = at(i);
          const customers = n.customers > 0 ? t("outage.customers", { n: n.customers }) : "";
          return (
            <g key={i} class={`node ${supply[i]}`}>
              {n.busbar ? <path class="busbar" d={`M${x - 28} ${y}h56`} /> : <circle cx={x} cy={y} r="3.5" />}
              {(n.busbar || customers) && (
                <text x={x + 8} y={y + (n.counted ? 17 : -8)}>
                  {[n.busbar ? n.name || n.id : "", customers].filter(Boolean).join(" · ")}
                </text>
              )}
            </g>
          );
        })}
        {branches.map((b) => {
          const [x, y] = at(b.to);
          return <Branch key={b.id} of={b} is={operated.get(b.id)} said={said?.get(b.id)} x={x} y={y - high / 2} />;
        })}
        {ties.map((tie) => {
          const [x, y] = at(tie.at);
          const n = tiesAt.get(tie.at) ?? 0;
          tiesAt.set(tie.at, n + 1);
          return <Tie key={tie.id} of={tie} is={operated.get(tie.id)} said={said?.get(tie.id)} x={x} y={y + 12 + 22 * n} from={y} />;
        })}
      </svg>
      {(of.series ?? []).length > 0 && (
        <p class="oneline-values">
          {of.feeder}: <Values series={of.series ?? []} />
        </p>
      )}
      <ul class="map-legend" aria-label={t("map.legend")}>
        {(["live", "back", "unknown", "dead"] as const).map((is) => (
          <li key={is}>
            <svg viewBox="0 0 24 8" width="24" height="8" aria-hidden="true">
              <path class={`wire ${is}`} d="M0 4h24" />
            </svg>
            {t(`oneline.supply.${is}`)}
          </li>
        ))}
      </ul>
      {source !== "live" && (
        <p class="abnormal" data-testid="oneline-source">
          {t(`oneline.source.${source}`)}
        </p>
      )}
      {!said && <p class="abnormal">{t("oneline.notSaid")}</p>}
      {of.more > 0 && <p>{t("oneline.more", { n: of.more })}</p>}
    </div>
  );
}

/** What a person may say of it, by the pointer and by Enter. */
function enterable(asset: string): JSX.IntrinsicElements["g"] {
  if (!mayAcknowledge()) {
    return { role: "img" };
  }
  const enter = () => (entry.value = { what: "operate", asset });
  return {
    role: "button",
    tabindex: 0,
    onClick: enter,
    onKeyDown: (e: KeyboardEvent) => {
      if (e.key === "Enter" || e.key === " ") {
        e.preventDefault();
        e.stopPropagation();
        enter();
      }
    },
  };
}

interface Shown {
  is: Operated | undefined;
  said: Switching | undefined;
  x: number;
  y: number;
}

function Branch({ of, is, said, x, y }: Shown & { of: OneLineBranch }) {
  const outage = open.value.find((o) => o.device === of.id);
  const label = of.name || of.id;
  const position = of.kind === "switch" ? (is?.position ?? "unknown") : said?.position === "open" ? "open" : undefined;
  const abnormal = (of.kind === "switch" || said !== undefined) && position === "open";
  const marks = [said?.cut ? t("switching.isCut") : "", said?.tag ? t("switching.tagged", { tag: said.tag }) : ""].filter(Boolean);
  const words = position === undefined ? "" : abnormal ? t("position.notNormal", { position: t(`position.${position}`) }) : t(`position.${position}`);
  const below = words || marks.join(", ");
  const names = [t(`kind.${of.kind}`), label, position === undefined ? "" : is?.why, abnormal ? words : "", ...marks, outage ? t(`outage.state.${outage.state}`) : ""].filter(Boolean).join(", ");
  return (
    <g
      class={`branch ${of.kind} ${position ?? ""}${outage ? ` lost ${standingOf(outage)}` : ""}`}
      data-testid={`branch-${of.kind}`}
      data-id={of.id}
      data-position={position}
      data-cut={said?.cut}
      data-tag={said?.tag}
      aria-label={names}
      {...enterable(of.id)}
    >
      <title>{names}</title>
      <rect class="target" x={x - 14} y={y - 14} width="28" height="28" />
      {of.kind === "line" && position === "open" && <Switch x={x} y={y} position="open" />}
      {said?.cut && <path class="cut" d={`M${x - 7} ${y + 2}l14-6m-14 10l14-6`} />}
      {of.kind === "transformer" && (
        <>
          <circle cx={x} cy={y - 5} r="8" />
          <circle cx={x} cy={y + 5} r="8" />
        </>
      )}
      {of.kind === "switch" && <Switch x={x} y={y} position={position ?? "unknown"} />}
      {outage && (
        <path class="cross" d={`M${x - 24} ${y - 9}l14 18m0-18l-14 18`} onClick={(e) => {
            e.stopPropagation();
            selected.value = outage.id;
          }}
        />
      )}
      {(of.kind !== "line" || outage || said) && (
        <text x={x + 15} y={y - 2}>
          {label}
        </text>
      )}
      {said?.tag && <path class="flag" d={`M${x - 10} ${y + 8}v-20l-9 4 9 4`} />}
      {below && (
        <text x={x + 15} y={y + 12} class={position === "unknown" || abnormal || words === "" ? "abnormal-text" : "muted-text"}>
          {shortened(below)}
        </text>
      )}
      <SvgValues series={of.series ?? []} x={x + 15} y={y + (below ? 25 : 12)} />
    </g>
  );
}

const mostLetters = 22;

/** As much of a text as has room beside a branch; all of it is in its title. */
function shortened(text: string): string {
  return text.length > mostLetters ? `${text.slice(0, mostLetters - 1)}…` : text;
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

function Tie({ of, is, said, x, y, from }: Shown & { of: OneLineTie; from: number }) {
  const position = is?.position ?? "unknown";
  const other = of.other || of.other_node || t("oneline.elsewhere");
  const abnormal = position === "closed" ? t("position.notNormal", { position: t("position.closed") }) : "";
  const tag = said?.tag ? t("switching.tagged", { tag: said.tag }) : "";
  const names = [t("oneline.tie"), of.name || of.id, is?.why, abnormal, tag, t("oneline.to", { feeder: other })].filter(Boolean).join(", ");
  return (
    <g class={`branch switch tie ${position}`} data-testid="tie" data-id={of.id} data-position={position} data-tag={said?.tag} aria-label={names} {...enterable(of.id)}>
      <title>{names}</title>
      <rect class="target" x={x + 18} y={y - 12} width="24" height="24" />
      <path class={`wire ${position === "closed" ? "back" : "open-end"}`} d={`M${x} ${from}L${x + 14} ${y}H${x + 22}`} />
      <Switch x={x + 30} y={y} position={position} />
      <text x={x + 43} y={y + 4} class={abnormal || tag ? "abnormal-text" : ""}>
        → {shortened([other, abnormal, tag].filter(Boolean).join(", "))}
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
