// Paints a scene onto a canvas, as much of it as a scale lets one see.
import type { Outage } from "@busbar/client";
import { standingOf, type Standing } from "../data/outages";
import { finest, levelOf, type Scene } from "./scene";
import { shapes } from "./shapes";

/** What is in the middle, and how many pixels of CSS a unit of the plane has. */
export interface View {
  x: number;
  y: number;
  scale: number;
}

export interface Colours {
  page: string;
  text: string;
  muted: string;
  line: string;
  control: string;
  surface: string;
  focus: string;
  onAction: string;
  abnormal: string;
  worked: string;
}

/** Sums over the scene's order: how many before each place are out, how many aren't known to be, and of how many others nothing is known. */
export interface Lost {
  out: Uint32Array;
  unsure: Uint32Array;
  unknown: Uint32Array;
  lines: ReadonlyMap<number, Standing>;
}

export interface Spot {
  x: number;
  y: number;
  outage: Outage;
}

/** How a switch is that isn't as in normal operation, by its place in the list of devices; cut lines are elsewhere. */
export interface Moved {
  open: boolean;
  tagged: boolean;
  abnormal: boolean;
}

/** What was drawn where, for whoever points at it, in pixels of CSS. */
export interface Drawn {
  spots: { x: number; y: number; id: string }[];
  groups: { x: number; y: number; first: number; end: number }[];
  devices: { x: number; y: number; index: number }[];
}

const cell = 64;

/** Lines shorter than this, in pixels, aren't drawn, nor more than this many: a frame has to stay short. */
const leastPixels = 4;
const mostLines = 3000;
const paths = Object.fromEntries(Object.entries(shapes).map(([name, s]) => [name, [new Path2D(s.outline), new Path2D(s.inner)]])) as Record<Standing, [Path2D, Path2D]>;

export function levelFor(scene: Scene, scale: number): number {
  return Math.max(0, Math.min(finest, Math.ceil(Math.log2((scene.size * scale) / cell))));
}

export function draw(ctx: CanvasRenderingContext2D, width: number, height: number, scene: Scene, view: View, lost: Lost, moved: ReadonlyMap<number, Moved>, spots: readonly Spot[], selected: string, c: Colours): Drawn {
  const ox = width / 2 - view.x * view.scale;
  const oy = height / 2 - view.y * view.scale;
  const k = view.scale;
  ctx.fillStyle = c.surface;
  ctx.fillRect(0, 0, width, height);

  lines(ctx, width, height, scene, k, ox, oy, lost, c);
  const drawn: Drawn = { spots: [], groups: [], devices: [] };
  points(ctx, width, height, scene, k, ox, oy, lost, c, drawn);
  devices(ctx, width, height, scene, k, ox, oy, moved, c, drawn);

  ctx.font = "600 13px system-ui, sans-serif";
  ctx.textAlign = "center";
  ctx.textBaseline = "top";
  (scene.map.substations.name ?? []).forEach((name, i) => {
    const x = (scene.sx[i] ?? 0) * k + ox;
    const y = (scene.sy[i] ?? 0) * k + oy;
    if (x > -100 && y > -20 && x < width + 100 && y < height + 20) {
      ctx.fillStyle = c.text;
      ctx.fillRect(x - 7, y - 7, 14, 14);
      ctx.fillStyle = c.surface;
      ctx.fillRect(x - 4, y - 1.5, 8, 3);
      label(ctx, name || (scene.map.substations.id?.[i] ?? ""), x, y + 10, c);
    }
  });

  // The one that is looked at is on top.
  for (const chosen of [false, true]) {
    for (const { x: wx, y: wy, outage } of spots) {
      const x = wx * k + ox;
      const y = wy * k + oy;
      if ((outage.id === selected) !== chosen || x < -20 || y < -20 || x > width + 20 || y > height + 20) {
        continue;
      }
      const standing = standingOf(outage);
      const shape = shapes[standing];
      const [outline, inner] = paths[standing];
      const colour = standing === "worked" ? c.worked : standing === "back" ? c.control : c.abnormal;
      ctx.save();
      ctx.translate(x - 12, y - 12);
      ctx.scale(1.5, 1.5);
      ctx.fillStyle = shape.filled ? colour : c.surface;
      ctx.fill(outline);
      ctx.strokeStyle = shape.filled ? c.surface : colour;
      ctx.lineWidth = 1.4;
      ctx.stroke(outline);
      ctx.strokeStyle = colour;
      ctx.stroke(inner);
      ctx.restore();
      if (chosen) {
        ctx.strokeStyle = c.focus;
        ctx.lineWidth = 3;
        ctx.beginPath();
        ctx.arc(x, y, 17, 0, 2 * Math.PI);
        ctx.stroke();
      }
      if (outage.customers_out > 0) {
        ctx.font = "600 13px system-ui, sans-serif";
        ctx.textAlign = "center";
        ctx.textBaseline = "top";
        label(ctx, String(outage.customers_out), x, y + (chosen ? 19 : 13), c);
      }
      drawn.spots.push({ x, y, id: outage.id });
    }
  }
  return drawn;
}

function label(ctx: CanvasRenderingContext2D, text: string, x: number, y: number, c: Colours): void {
  ctx.strokeStyle = c.surface;
  ctx.lineWidth = 3;
  ctx.strokeText(text, x, y);
  ctx.fillStyle = c.text;
  ctx.fillText(text, x, y);
}

function lines(ctx: CanvasRenderingContext2D, width: number, height: number, scene: Scene, k: number, ox: number, oy: number, lost: Lost, c: Colours): void {
  const { ends, lengths, lines, map } = scene;
  const low = map.lines.low ?? [];
  const kinds: { path: Path2D; colour: string; width: number; dash: number[] }[] = [
    { path: new Path2D(), colour: c.line, width: 1, dash: [] },
    { path: new Path2D(), colour: c.control, width: 1.5, dash: [] },
    { path: new Path2D(), colour: c.abnormal, width: 3, dash: [] },
    { path: new Path2D(), colour: c.abnormal, width: 3, dash: [5, 4] },
    { path: new Path2D(), colour: c.worked, width: 3, dash: [] },
  ];
  const least = leastPixels / k;
  for (let i = 0, shown = 0; i < lengths.length && shown < mostLines && (lengths[i] ?? 0) >= least; i++) {
    const x1 = (ends[4 * i] ?? 0) * k + ox;
    const y1 = (ends[4 * i + 1] ?? 0) * k + oy;
    const x2 = (ends[4 * i + 2] ?? 0) * k + ox;
    const y2 = (ends[4 * i + 3] ?? 0) * k + oy;
    if (Math.max(x1, x2) < 0 || Math.max(y1, y2) < 0 || Math.min(x1, x2) > width || Math.min(y1, y2) > height) {
      continue;
    }
    shown++;
    const line = lines[i] ?? 0;
    const standing = lost.lines.get(line);
    const kind = standing === "confirmed" ? 2 : standing === "unsure" ? 3 : standing === "worked" ? 4 : low[line] ? 0 : 1;
    const path = kinds[kind]?.path;
    path?.moveTo(x1, y1);
    path?.lineTo(x2, y2);
  }
  for (const kind of kinds) {
    ctx.strokeStyle = kind.colour;
    ctx.lineWidth = kind.width;
    ctx.setLineDash(kind.dash);
    ctx.stroke(kind.path);
  }
  ctx.setLineDash([]);
}

function points(ctx: CanvasRenderingContext2D, width: number, height: number, scene: Scene, k: number, ox: number, oy: number, lost: Lost, c: Colours, drawn: Drawn): void {
  const level = levelOf(scene, levelFor(scene, k));
  const supplied = new Path2D();
  const out = new Path2D();
  const unsure = new Path2D();
  const hatching = new Path2D();
  const unknown = new Path2D();
  const slashes = new Path2D();
  const numbers: [string, number, number, boolean][] = [];
  for (let n = 0; n < level.x.length; n++) {
    const x = (level.x[n] ?? 0) * k + ox;
    const y = (level.y[n] ?? 0) * k + oy;
    if (x < -30 || y < -30 || x > width + 30 || y > height + 30) {
      continue;
    }
    const first = level.first[n] ?? 0;
    const end = level.first[n + 1] ?? first;
    const count = end - first;
    const dead = (lost.out[end] ?? 0) - (lost.out[first] ?? 0);
    const maybe = (lost.unsure[end] ?? 0) - (lost.unsure[first] ?? 0);
    const r = count === 1 ? 3.5 : Math.min(22, 8 + 2.2 * Math.log2(count));
    const dark = (lost.unknown[end] ?? 0) - (lost.unknown[first] ?? 0);
    const path = dead > 0 ? out : maybe > 0 ? unsure : dark > 0 ? unknown : supplied;
    if (dead > 0 || maybe > 0) {
      // Square, so that it isn't by its colour alone that it is told.
      path.rect(x - r, y - r, 2 * r, 2 * r);
    } else {
      path.moveTo(x + r, y);
      path.arc(x, y, r, 0, 2 * Math.PI);
    }
    if (maybe > 0 && dead === 0) {
      for (let at = -r; at <= r; at += 5) {
        hatching.moveTo(x + at, y - r);
        hatching.lineTo(x - r, y + at);
        hatching.moveTo(x + r, y + at);
        hatching.lineTo(x + at, y + r);
      }
    }
    if (dead + maybe === 0 && dark === count) {
      // Chords of the circle, one through its middle.
      for (let at = -Math.floor(r / 6) * 6; at <= r; at += 6) {
        const half = Math.sqrt(r * r - at * at);
        slashes.moveTo(x + (at - half) * Math.SQRT1_2, y + (at + half) * Math.SQRT1_2);
        slashes.lineTo(x + (at + half) * Math.SQRT1_2, y + (at - half) * Math.SQRT1_2);
      }
    }
    if (count > 1) {
      numbers.push([dead > 0 ? String(dead) : maybe > 0 ? String(maybe) : count < 1000 ? String(count) : `${Math.round(count / 100) / 10}k`, x, y, dead > 0]);
    }
    drawn.groups.push({ x, y, first, end });
  }
  ctx.fillStyle = c.page;
  ctx.strokeStyle = c.control;
  ctx.lineWidth = 1;
  ctx.fill(supplied);
  ctx.stroke(supplied);
  ctx.fill(unknown);
  ctx.stroke(slashes);
  ctx.setLineDash([2.5, 2]);
  ctx.stroke(unknown);
  ctx.setLineDash([]);
  ctx.fill(unsure);
  ctx.strokeStyle = c.abnormal;
  ctx.stroke(hatching);
  ctx.lineWidth = 1.5;
  ctx.stroke(unsure);
  ctx.fillStyle = c.abnormal;
  ctx.fill(out);
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.font = "12px system-ui, sans-serif";
  for (const [text, x, y, dead] of numbers) {
    if (!dead) {
      ctx.strokeStyle = c.page;
      ctx.lineWidth = 3;
      ctx.strokeText(text, x, y);
    }
    ctx.fillStyle = dead ? c.surface : c.text;
    ctx.fillText(text, x, y);
  }
}

function devices(ctx: CanvasRenderingContext2D, width: number, height: number, scene: Scene, k: number, ox: number, oy: number, moved: ReadonlyMap<number, Moved>, c: Colours, drawn: Drawn): void {
  const { dx, dy, map } = scene;
  const kind = map.devices.kind ?? [];
  const open = map.devices.open ?? [];
  const closed = new Path2D();
  const opened = new Path2D();
  const place = (i: number): [number, number] | undefined => {
    const x = (dx[i] ?? 0) * k + ox;
    const y = (dy[i] ?? 0) * k + oy;
    return x < -10 || y < -10 || x > width + 10 || y > height + 10 ? undefined : [x, y];
  };
  // As many as the whole network has would hide it.
  if ((scene.size * k) / Math.sqrt(Math.max(1, dx.length)) >= 12) {
    for (let i = 0; i < dx.length; i++) {
      const at = place(i);
      if (!at || moved.has(i)) {
        continue;
      }
      const [x, y] = at;
      if (kind[i] === "transformer") {
        opened.moveTo(x + 3, y - 2.5);
        opened.arc(x, y - 2.5, 3.5, 0, 2 * Math.PI);
        opened.moveTo(x + 3, y + 2.5);
        opened.arc(x, y + 2.5, 3.5, 0, 2 * Math.PI);
      } else {
        (open[i] ? opened : closed).rect(x - 3, y - 3, 6, 6);
      }
      drawn.devices.push({ x, y, index: i });
    }
  }
  ctx.strokeStyle = c.text;
  ctx.fillStyle = c.text;
  ctx.lineWidth = 1.2;
  ctx.fill(closed);
  ctx.stroke(opened);
  // Those that aren't as in normal operation are few, and seen from afar.
  for (const [i, is] of moved) {
    const at = place(i);
    if (!at) {
      continue;
    }
    const [x, y] = at;
    ctx.lineWidth = 2;
    ctx.strokeStyle = is.abnormal ? c.abnormal : c.text;
    ctx.fillStyle = is.open ? c.surface : ctx.strokeStyle;
    ctx.beginPath();
    ctx.rect(x - 5, y - 5, 10, 10);
    ctx.fill();
    ctx.stroke();
    if (is.tagged) {
      // A flag on it.
      ctx.beginPath();
      ctx.moveTo(x + 5, y - 5);
      ctx.lineTo(x + 5, y - 16);
      ctx.lineTo(x + 14, y - 12.5);
      ctx.lineTo(x + 5, y - 9);
      ctx.fillStyle = c.abnormal;
      ctx.strokeStyle = c.abnormal;
      ctx.fill();
      ctx.stroke();
    }
    drawn.devices.push({ x, y, index: i });
  }
}
