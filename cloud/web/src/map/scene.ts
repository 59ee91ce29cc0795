// A network as the map draws it: places in one plane, y downwards, and service points
// grouped by cells of every size. It is computed once for a version of the network.
import type { GridMap } from "@busbar/client";

/** Service points that lie in one cell: first to end of Scene.order, around x, y. */
export interface Level {
  first: Uint32Array;
  x: Float64Array;
  y: Float64Array;
}

export interface Scene {
  size: number;
  px: Float64Array;
  py: Float64Array;
  /** The points' indices along a curve on which neighbours in the plane are neighbours. */
  order: Uint32Array;
  codes: Uint32Array;
  levels: (Level | undefined)[];
  /** The lines' ends as x, y, x, y, the longest first, and those of more than 1 kV as if they had three times their length;
      which they are; how long they are so. */
  ends: Float64Array;
  lines: Uint32Array;
  lengths: Float64Array;
  dx: Float64Array;
  dy: Float64Array;
  sx: Float64Array;
  sy: Float64Array;
  /** From the network's coordinates into the plane. */
  project: (x: number, y: number) => [number, number];
  map: GridMap;
}

/** Bits of a coordinate in the curve. */
const bits = 16;

export const finest = bits;

function spread(v: number): number {
  let n = v & 0xffff;
  n = (n | (n << 8)) & 0x00ff00ff;
  n = (n | (n << 4)) & 0x0f0f0f0f;
  n = (n | (n << 2)) & 0x33333333;
  return (n | (n << 1)) & 0x55555555;
}

export function sceneOf(map: GridMap): Scene {
  const points = map.points.x ?? [];
  const lines = map.lines.x ?? [];
  const xs = [points, lines, map.lines.to_x ?? [], map.devices.x ?? [], map.substations.x ?? []];
  const ys = [map.points.y ?? [], map.lines.y ?? [], map.lines.to_y ?? [], map.devices.y ?? [], map.substations.y ?? []];
  const highest = (lists: number[][]) => lists.reduce((max, list) => list.reduce((m, v) => (v > m ? v : m), max), 0);
  const top = highest(ys);
  // A degree of longitude is shorter than one of latitude, the more the farther from the equator.
  const shrink = map.coordinates === "wgs84" ? Math.cos(((map.y0 + (top * map.step) / 2) * Math.PI) / 180) : 1;
  const place = (list: number[], flip: boolean) => Float64Array.from(list, flip ? (v) => top - v : (v) => v * shrink);
  const px = place(points, false);
  const py = place(map.points.y ?? [], true);
  const size = Math.max(highest(xs) * shrink, top, 1);

  const codeOf = new Uint32Array(px.length);
  for (let i = 0; i < px.length; i++) {
    const x = Math.min(65535, Math.floor(((px[i] ?? 0) / size) * 65536));
    const y = Math.min(65535, Math.floor(((py[i] ?? 0) / size) * 65536));
    codeOf[i] = (spread(x) | (spread(y) << 1)) >>> 0;
  }
  // The code before the index in one number, which a typed array sorts fast.
  const keys = Float64Array.from(codeOf, (code, i) => code * 0x200000 + i).sort();
  const order = Uint32Array.from(keys, (key) => key % 0x200000);
  const codes = Uint32Array.from(order, (i) => codeOf[i] ?? 0);

  const ax = place(lines, false);
  const ay = place(map.lines.y ?? [], true);
  const bx = place(map.lines.to_x ?? [], false);
  const by = place(map.lines.to_y ?? [], true);
  const low = map.lines.low ?? [];
  // What feeds many is drawn before what feeds few.
  const length = (i: number) => Math.hypot((bx[i] ?? 0) - (ax[i] ?? 0), (by[i] ?? 0) - (ay[i] ?? 0)) * (low[i] ? 1 : 3);
  const all = Float64Array.from(lines, (_, i) => length(i));
  const longest = Uint32Array.from(lines, (_, i) => i).sort((a, b) => (all[b] ?? 0) - (all[a] ?? 0));
  const ends = new Float64Array(4 * longest.length);
  longest.forEach((i, at) => ends.set([ax[i] ?? 0, ay[i] ?? 0, bx[i] ?? 0, by[i] ?? 0], 4 * at));
  const scene: Scene = {
    size,
    px,
    py,
    order,
    codes,
    levels: [],
    ends,
    lines: longest,
    lengths: Float64Array.from(longest, (i) => all[i] ?? 0),
    dx: place(map.devices.x ?? [], false),
    dy: place(map.devices.y ?? [], true),
    sx: place(map.substations.x ?? [], false),
    sy: place(map.substations.y ?? [], true),
    project: (x, y) => [((x - map.x0) / map.step) * shrink, top - (y - map.y0) / map.step],
    map,
  };
  // Now, or the first frame of each scale would wait for its cells.
  for (let level = 0; level <= finest; level++) {
    levelOf(scene, level);
  }
  return scene;
}

/** The points in cells of size / 2^level; of the finest level each point by itself. */
export function levelOf(scene: Scene, level: number): Level {
  const at = Math.max(0, Math.min(finest, level));
  const had = scene.levels[at];
  if (had) {
    return had;
  }
  const { order, codes, px, py } = scene;
  const shift = 2 * (bits - at);
  const first: number[] = [];
  for (let i = 0; i < order.length; i++) {
    const same = i > 0 && at < finest && (shift === 32 || (codes[i] ?? 0) >>> shift === (codes[i - 1] ?? 0) >>> shift);
    if (!same) {
      first.push(i);
    }
  }
  const x = new Float64Array(first.length);
  const y = new Float64Array(first.length);
  first.forEach((from, n) => {
    const end = first[n + 1] ?? order.length;
    let sumX = 0;
    let sumY = 0;
    for (let i = from; i < end; i++) {
      const p = order[i] ?? 0;
      sumX += px[p] ?? 0;
      sumY += py[p] ?? 0;
    }
    x[n] = sumX / (end - from);
    y[n] = sumY / (end - from);
  });
  const made = { first: Uint32Array.from(first.concat(order.length)), x, y };
  scene.levels[at] = made;
  return made;
}

/** How many of the points before each place of the order are flagged. */
export function sums(scene: Scene, flags: Uint8Array): Uint32Array {
  const sum = new Uint32Array(scene.order.length + 1);
  for (let i = 0; i < scene.order.length; i++) {
    sum[i + 1] = (sum[i] ?? 0) + (flags[scene.order[i] ?? 0] ?? 0);
  }
  return sum;
}
