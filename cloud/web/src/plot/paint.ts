// What a plot draws beside its lines: stretches without good values, hatched,
// and marks in time.
import type uPlot from "uplot";
import type { Gap } from "./line";

export interface Mark {
  atUs: number;
  label: string;
}

export interface Palette {
  text: string;
  muted: string;
  grid: string;
  traces: string[];
}

const traceColours = 4;

/** The colours of the theme shown now. */
export function palette(): Palette {
  const probe = document.createElement("span");
  document.body.append(probe);
  const resolve = (token: string) => {
    probe.style.color = `var(${token})`;
    return getComputedStyle(probe).color;
  };
  const colours = {
    text: resolve("--text"),
    muted: resolve("--muted"),
    grid: resolve("--line"),
    traces: Array.from({ length: traceColours }, (_, i) => resolve(`--trace-${i + 1}`)),
  };
  probe.remove();
  return colours;
}

const dashes: readonly (readonly number[])[] = [[], [8, 4], [2, 3], [10, 3, 2, 3]];

/**
 * What a plot's line looks like, with the index of its colour: neighbours
 * differ in colour and dash, and sixteen lines in either.
 */
export function look(index: number): { colour: number; dash: readonly number[] } {
  const round = Math.floor(index / traceColours);
  return { colour: index % traceColours, dash: dashes[(index + round) % dashes.length] ?? [] };
}

/** Slanted lines over a gap, leaning the other way for every second series. */
export function hatch(u: uPlot, gap: Gap, colour: string, index: number): void {
  const { ctx, bbox } = u;
  const left = Math.max(bbox.left, u.valToPos(gap[0] / 1e6, "x", true));
  const right = Math.min(bbox.left + bbox.width, u.valToPos(gap[1] / 1e6, "x", true));
  if (right <= left) {
    return;
  }
  const { top, height } = bbox;
  const step = 9 * devicePixelRatio;
  const lean = index % 2 === 0 ? height : -height;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, right - left, height);
  ctx.clip();
  ctx.strokeStyle = colour;
  ctx.setLineDash([]);
  ctx.globalAlpha = 0.55;
  ctx.lineWidth = devicePixelRatio;
  ctx.beginPath();
  // Slants hang on the axis, not on the gap's edge: they stand still while it grows.
  const first = Math.floor((left - height) / step) * step;
  for (let x = first; x < right + height; x += step) {
    ctx.moveTo(x, top + height);
    ctx.lineTo(x + lean, top);
  }
  ctx.stroke();
  ctx.restore();
}

/** Height in CSS pixels of a mark's name above the plot. */
export const markRow = 14;

/** A line across the plot with its name above, in a row of its own. */
export function mark(u: uPlot, m: Mark, row: number, colours: Palette): void {
  const { ctx, bbox } = u;
  const x = Math.round(u.valToPos(m.atUs / 1e6, "x", true));
  if (x < bbox.left || x > bbox.left + bbox.width) {
    return;
  }
  const px = devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = colours.text;
  ctx.fillStyle = colours.text;
  ctx.setLineDash([]);
  ctx.lineWidth = 1.5 * px;
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.beginPath();
  ctx.moveTo(x - 5 * px, bbox.top);
  ctx.lineTo(x + 5 * px, bbox.top);
  ctx.lineTo(x, bbox.top + 7 * px);
  ctx.fill();
  ctx.font = `${12 * px}px system-ui, sans-serif`;
  ctx.textBaseline = "bottom";
  ctx.textAlign = "center";
  const half = ctx.measureText(m.label).width / 2;
  const middle = Math.min(Math.max(x, bbox.left + half), bbox.left + bbox.width - half);
  ctx.fillText(m.label, middle, bbox.top - (3 + row * markRow) * px);
  ctx.restore();
}
