import uPlot from "uplot";
import { useEffect, useRef, useState } from "preact/hooks";
import { clockText, numberText, unitText, valueText } from "../format";
import { nowUs } from "../clock";
import { isUsable } from "../model";
import { repaint } from "../theme";
import { describe, gaps, type Line } from "./line";
import { hatch, look, mark, markRow, palette, type Mark } from "./paint";

interface Props {
  /** Series of one unit. */
  lines: readonly Line[];
  fromUs: number;
  toUs: number;
  marks?: readonly Mark[];
}

const heightPx = 220;

/** Distances between the marks of the time axis. */
const seconds = [1, 2, 5, 10, 15, 30, 60, 90, 120, 180, 300, 600, 900, 1200, 1800, 3600];

/** Lines over time with their unit on the axis, a legend and a text in words. */
export function Plot({ lines, fromUs, toUs, marks = [] }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const shown = useRef({ lines, marks, toUs });
  const [cursor, setCursor] = useState<number | undefined>(undefined);
  shown.current = { lines, marks, toUs };
  const structure = `${marks.length} ${lines.map((l) => `${l.name} ${l.unit} ${l.stepped}`).join()}`;

  useEffect(() => {
    const parent = box.current;
    if (!parent) {
      return;
    }
    const u = new uPlot(options(lines, parent.clientWidth, shown, setCursor), columns(lines, Math.min(toUs, nowUs())), parent);
    plot.current = u;
    const resized = new ResizeObserver(() => u.setSize({ width: parent.clientWidth, height: heightPx }));
    resized.observe(parent);
    return () => {
      resized.disconnect();
      u.destroy();
    };
  }, [structure, repaint.value]);

  useEffect(() => {
    const u = plot.current;
    u?.batch(() => {
      u.setData(columns(lines, Math.min(toUs, nowUs())), false);
      u.setScale("x", { min: fromUs / 1e6, max: toUs / 1e6 });
    });
  });

  return (
    <figure class="plot" data-testid="plot" data-points={lines.reduce((n, l) => n + l.samples.length, 0)}>
      <ul class="legend">
        {lines.map((line, i) => (
          <li key={line.name}>
            <Swatch index={i} />
            {line.name}
            <output>{readout(line, cursor)}</output>
          </li>
        ))}
      </ul>
      <div class="plot-canvas" ref={box} aria-hidden="true" />
      <figcaption>
        {lines.map((line) => (
          <p key={line.name}>{describe(line, Math.min(toUs, nowUs()), nowUs())}</p>
        ))}
      </figcaption>
    </figure>
  );
}

function Swatch({ index }: { index: number }) {
  const { colour, dash } = look(index);
  return (
    <svg class={`swatch trace-${colour + 1}`} width="28" height="8" aria-hidden="true">
      <line x1="0" y1="4" x2="28" y2="4" stroke-width="2" stroke-dasharray={dash.join(" ")} />
    </svg>
  );
}

/** The value at the cursor's time, in µs, or the last one. */
function readout(line: Line, atUs: number | undefined): string {
  const s = line.samples.findLast((sample) => atUs === undefined || sample.t <= atUs);
  return s ? valueText(isUsable(s) ? s.v : null, line.unit, s.text ?? s.q, line.names) : "–";
}

function columns(lines: readonly Line[], endUs: number): uPlot.AlignedData {
  const tables = lines.map((line): uPlot.AlignedData => {
    const last = line.samples.at(-1);
    // A state is what it was until it says otherwise.
    const samples = line.stepped && last && last.t < endUs ? [...line.samples, { ...last, t: endUs }] : line.samples;
    return [samples.map((s) => s.t / 1e6), samples.map((s) => (isUsable(s) ? s.v : null))];
  });
  // Nulls are kept as gaps; times of another series don't break a line.
  return uPlot.join(tables, tables.map(() => [0, 1]));
}

type Shown = { current: { lines: readonly Line[]; marks: readonly Mark[]; toUs: number } };

function options(lines: readonly Line[], width: number, shown: Shown, setCursor: (us: number | undefined) => void): uPlot.Options {
  const colours = palette();
  const axis = { stroke: colours.muted, grid: { stroke: colours.grid, width: 1 }, ticks: { stroke: colours.grid, width: 1 } };
  const font = "12px system-ui, sans-serif";
  const unit = unitText(lines[0]?.unit ?? "");
  const stepped = lines.every((l) => l.stepped);
  const colourOf = (i: number) => colours.traces[look(i).colour] ?? colours.text;
  return {
    width,
    height: heightPx,
    padding: [6 + markRow * shown.current.marks.length, 28, 0, 0],
    legend: { show: false },
    select: { show: false, left: 0, top: 0, width: 0, height: 0 },
    cursor: { drag: { x: false, y: false }, y: false, points: { size: 7 } },
    scales: { x: { time: true, auto: false }, y: { range: stepped ? stateRange : valueRange } },
    axes: [
      { ...axis, font, space: 64, incrs: seconds, values: (_, splits) => splits.map((s) => clockText(s * 1e6)) },
      {
        ...axis,
        font,
        labelFont: font,
        size: 62,
        ...(unit === "" ? {} : { label: unit, labelSize: 18 }),
        ...(stepped ? { incrs: [1, 2, 5, 10, 20, 50, 100, 1000, 10_000] } : {}),
        values: (_, splits) => splits.map(numberText),
      },
    ],
    series: [
      {},
      ...lines.map((line, i): uPlot.Series => ({
        label: line.name,
        stroke: colourOf(i),
        width: 2,
        dash: [...look(i).dash],
        spanGaps: false,
        ...(line.stepped && uPlot.paths.stepped ? { paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } } : {}),
      })),
    ],
    hooks: {
      drawClear: [
        (u) => {
          shown.current.lines.forEach((line, i) => {
            gaps(line.samples, Math.min(shown.current.toUs, nowUs())).forEach((gap) => hatch(u, gap, colourOf(i), i));
          });
        },
      ],
      draw: [(u) => shown.current.marks.forEach((m, row) => mark(u, m, row, colours))],
      setCursor: [
        (u) => {
          const left = u.cursor.left ?? -1;
          setCursor(left < 0 ? undefined : u.posToVal(left, "x") * 1e6);
        },
      ],
    },
  };
}

/** A state's range has 0 and 1 in it, even when nothing changes. */
function stateRange(_: uPlot, min: number | null, max: number | null): uPlot.Range.MinMax {
  return [Math.min(0, min ?? 0) - 0.1, Math.max(1, max ?? 1) + 0.1];
}

/** Some room around the values; a flat line stays in the middle. */
function valueRange(_: uPlot, min: number | null, max: number | null): uPlot.Range.MinMax {
  if (min === null || max === null) {
    return [0, 1];
  }
  const room = (max - min) * 0.1 || Math.abs(max) * 0.01 || 1;
  return [min - room, max + room];
}
