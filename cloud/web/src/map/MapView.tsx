import type { GridHeard, GridOut, Switching } from "@busbar/client";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { heard, hearings, watchHeard } from "../data/heard";
import { failure, load, scene } from "../data/map";
import { isOf, out, watchOut } from "../data/out";
import { loaded, open, outageOf, selected, standingOf, type Standing } from "../data/outages";
import { isAbnormal, switching, watchSwitching } from "../data/switching";
import { Said } from "../desk/Entries";
import { entry } from "../desk/Entry";
import { t } from "../messages";
import { mayAcknowledge } from "../session";
import { generation, link } from "../stream";
import { repaint } from "../theme";
import { draw, type Colours, type Drawn, type Lost, type Moved, type Spot, type View } from "./draw";
import { Legend } from "./Legend";
import { sums, type Scene } from "./scene";

export function MapView() {
  useEffect(() => void load(), [generation.value]);
  const now = scene.value;
  if (!now) {
    return (
      <p class="empty" role="status">
        {failure.value || t("page.loading")}
      </p>
    );
  }
  return now.px.length + now.dx.length + now.sx.length === 0 ? <p class="empty">{t("map.nowhere")}</p> : <Canvas scene={now} />;
}

function colours(): Colours {
  const probe = document.createElement("span");
  document.body.append(probe);
  const of = (token: string) => {
    probe.style.color = `var(${token})`;
    return getComputedStyle(probe).color;
  };
  const c = {
    page: of("--page"),
    text: of("--text"),
    muted: of("--muted"),
    line: of("--line"),
    control: of("--control"),
    surface: of("--surface"),
    focus: of("--focus"),
    onAction: of("--on-action"),
    abnormal: of("--abnormal"),
    worked: of("--worked"),
  };
  probe.remove();
  return c;
}

/** By their ids, where lines and devices are in their lists. */
const indices = new WeakMap<Scene, readonly [lines: ReadonlyMap<string, number>, devices: ReadonlyMap<string, number>]>();

function indicesOf(now: Scene) {
  const byId = (ids: readonly string[] | null) => new Map((ids ?? []).map((id, i) => [id, i]));
  const made = indices.get(now) ?? ([byId(now.map.lines.id), byId(now.map.devices.id)] as const);
  indices.set(now, made);
  return made;
}

/** The devices that aren't as in normal operation, or may not be operated. */
function movedOf(now: Scene, said: ReadonlyMap<string, Switching> | undefined): ReadonlyMap<number, Moved> {
  const index = indicesOf(now)[1];
  const moved = new Map<number, Moved>();
  for (const s of said?.values() ?? []) {
    const i = index.get(s.asset);
    if (i !== undefined && (isAbnormal(s) || s.tag !== "")) {
      moved.set(i, { open: s.cut || (s.position === "normal" ? (now.map.devices.open?.[i] ?? false) : s.position === "open"), tagged: s.tag !== "", abnormal: isAbnormal(s) });
    }
  }
  return moved;
}

/** How many service points there is nothing known of, and why. */
interface Unknown {
  silent: number;
  unmeasured: number;
  unasked: number;
}

/** The service points that are out, and those of which that isn't known, as the map shows them. */
function pointsOf(now: Scene, outNow: GridOut | undefined, said: GridHeard | undefined): Omit<Lost, "lines"> & { count: Unknown } {
  const letters = isOf(outNow, now) ? outNow.points : "";
  const hearing = hearings(now, said);
  const sure = new Uint8Array(now.px.length);
  const unsure = new Uint8Array(now.px.length);
  const unknown = new Uint8Array(now.px.length);
  const count = { silent: 0, unmeasured: 0, unasked: 0 };
  for (let i = 0; i < unknown.length; i++) {
    const letter = letters[i];
    if (letter === "o") {
      sure[i] = 1;
    } else if (letter === "m") {
      unsure[i] = 1;
    } else {
      const is = hearing(i);
      if (is !== "heard") {
        count[is]++;
      }
      if (is !== "heard" || letter === undefined) {
        unknown[i] = 1;
      }
    }
  }
  return { out: sums(now, sure), unsure: sums(now, unsure), unknown: sums(now, unknown), count };
}

/** The lines that have opened in outages. */
function linesOf(now: Scene): ReadonlyMap<number, Standing> {
  const index = indicesOf(now)[0];
  const lines = new Map<number, Standing>();
  for (const o of open.value) {
    const line = index.get(o.device);
    if (line !== undefined && standingOf(o) !== "back") {
      lines.set(line, standingOf(o));
    }
  }
  return lines;
}

function spotsOf(now: Scene): Spot[] {
  return open.value.flatMap((outage) => {
    if (outage.x === null || outage.y === null) {
      return [];
    }
    const [x, y] = now.project(outage.x, outage.y);
    return [{ x, y, outage }];
  });
}

const nearest = 20;

/** How long after a frame the canvas's attributes say what it shows. */
const tellMs = 50;

/** What was pointed at: a service point or a device, by its place in its list. */
type Found = { id: string; point: number } | { id: string; device: number };

function Canvas({ scene: now }: { scene: Scene }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const view = useRef<View | undefined>(undefined);
  const drawn = useRef<Drawn>({ spots: [], groups: [], devices: [] });
  const frame = useRef(0);
  const size = useRef<[width: number, height: number]>([0, 0]);
  const told = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const pointers = useRef(new Map<number, { x: number; y: number }>());
  const moved = useRef(false);
  const [found, setFound] = useState<Found | undefined>(undefined);
  const outNow = out.value;
  const said = heard.value;
  // Apart: in a storm outages change all the time, and there are many points.
  const points = useMemo(() => pointsOf(now, outNow, said), [now, outNow, said]);
  const lost = useMemo(() => ({ ...points, lines: linesOf(now) }), [now, open.value, points]);
  const painted = useRef(lost);
  painted.current = lost;
  const operatedNow = switching.value;
  const movedNow = useMemo(() => movedOf(now, operatedNow), [now, operatedNow]);
  const operated = useRef(movedNow);
  operated.current = movedNow;
  const spots = useRef<Spot[]>([]);
  const palette = useRef<Colours | undefined>(undefined);

  const paint = () => {
    frame.current = 0;
    const c = canvas.current;
    const ctx = c?.getContext("2d");
    if (!c || !ctx || size.current[0] === 0) {
      return;
    }
    const begun = performance.now();
    const [w, h] = size.current;
    const ratio = devicePixelRatio;
    if (c.width !== Math.round(w * ratio) || c.height !== Math.round(h * ratio)) {
      c.width = Math.round(w * ratio);
      c.height = Math.round(h * ratio);
    }
    view.current ??= fit(w, h);
    palette.current ??= colours();
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    drawn.current = draw(ctx, w, h, now, view.current, painted.current, operated.current, spots.current, selected.peek(), palette.current);
    c.dataset["took"] = (performance.now() - begun).toFixed(1);
    told.current ||= setTimeout(tell, tellMs);
  };
  // Not in every frame: attributes cost more than the drawing.
  const tell = () => {
    told.current = undefined;
    const c = canvas.current;
    if (!c) {
      return;
    }
    c.dataset["frames"] = String(Number(c.dataset["frames"] ?? 0) + 1);
    c.dataset["groups"] = String(drawn.current.groups.length);
    c.dataset["lost"] = String((painted.current.out.at(-1) ?? 0) + (painted.current.unsure.at(-1) ?? 0));
    c.dataset["unknown"] = String(painted.current.unknown.at(-1));
    c.dataset["moved"] = [...operated.current].map(([i, m]) => `${now.map.devices.id?.[i]}:${m.open ? "open" : "closed"}${m.tagged ? ":tagged" : ""}`).join(" ");
    c.dataset["spots"] = drawn.current.spots.map((s) => `${s.id}@${Math.round(s.x)},${Math.round(s.y)}`).join(" ");
  };
  const soon = () => {
    frame.current ||= requestAnimationFrame(paint);
  };

  const fit = (w: number, h: number): View => {
    const least = { x: Infinity, y: Infinity };
    const most = { x: -Infinity, y: -Infinity };
    for (const [xs, ys] of [
      [now.px, now.py],
      [now.dx, now.dy],
      [now.sx, now.sy],
    ] as const) {
      xs.forEach((x, i) => {
        const y = ys[i] ?? 0;
        least.x = Math.min(least.x, x);
        most.x = Math.max(most.x, x);
        least.y = Math.min(least.y, y);
        most.y = Math.max(most.y, y);
      });
    }
    const scale = Math.min((w - 80) / Math.max(most.x - least.x, 1e-9), (h - 80) / Math.max(most.y - least.y, 1e-9));
    return { x: (least.x + most.x) / 2, y: (least.y + most.y) / 2, scale: Math.max(1e-9, Math.min(scale, 1)) };
  };

  const zoom = (by: number, x?: number, y?: number) => {
    const c = canvas.current;
    const v = view.current;
    if (!c || !v) {
      return;
    }
    const dx = (x ?? c.clientWidth / 2) - c.clientWidth / 2;
    const dy = (y ?? c.clientHeight / 2) - c.clientHeight / 2;
    const scale = Math.min(v.scale * by, 1);
    view.current = { x: v.x + dx / v.scale - dx / scale, y: v.y + dy / v.scale - dy / scale, scale };
    soon();
  };
  const pan = (dx: number, dy: number) => {
    const v = view.current;
    if (v) {
      view.current = { ...v, x: v.x - dx / v.scale, y: v.y - dy / v.scale };
      soon();
    }
  };
  const whole = () => {
    view.current = undefined;
    soon();
  };

  const pick = (x: number, y: number) => {
    const near = <T extends { x: number; y: number }>(list: readonly T[]) =>
      list.reduce<T | undefined>((best, s) => (Math.hypot(s.x - x, s.y - y) < Math.min(nearest, best ? Math.hypot(best.x - x, best.y - y) : Infinity) ? s : best), undefined);
    const spot = near(drawn.current.spots);
    const group = near(drawn.current.groups);
    const device = near(drawn.current.devices);
    const away = (at: { x: number; y: number } | undefined) => (at ? Math.hypot(at.x - x, at.y - y) : Infinity);
    if (spot) {
      selected.value = spot.id;
    } else if (device && away(device) <= away(group)) {
      setFound({ id: now.map.devices.id?.[device.index] ?? "", device: device.index });
    } else if (group && group.end - group.first === 1) {
      const i = now.order[group.first] ?? 0;
      setFound({ id: now.map.points.id?.[i] ?? "", point: i });
    } else if (group) {
      zoom(2.5, x, y);
    }
  };

  useEffect(() => watchHeard(), [generation.value]);
  useEffect(() => watchOut(), []);
  useEffect(() => watchSwitching(), [generation.value]);

  useEffect(() => {
    const others = [said, outNow].some((of) => of && (of.version !== now.map.version || of.as_of_us !== now.map.as_of_us));
    if (others) {
      void load();
    }
  }, [said, outNow]);

  useEffect(() => {
    spots.current = spotsOf(now);
    soon();
  }, [lost, movedNow]);

  useEffect(() => {
    palette.current = undefined;
    soon();
  }, [repaint.value]);

  useEffect(() => {
    const c = canvas.current;
    const v = view.current;
    const spot = spots.current.find((s) => s.outage.id === selected.value);
    if (c && v && spot) {
      const x = (spot.x - v.x) * v.scale;
      const y = (spot.y - v.y) * v.scale;
      if (Math.abs(x) > c.clientWidth / 2 - 30 || Math.abs(y) > c.clientHeight / 2 - 30) {
        view.current = { ...v, x: spot.x, y: spot.y };
      }
    }
    soon();
  }, [selected.value]);

  useEffect(() => {
    const c = canvas.current;
    if (!c) {
      return;
    }
    const wheel = (e: WheelEvent) => {
      e.preventDefault();
      const box = c.getBoundingClientRect();
      zoom(Math.exp(-e.deltaY / 300), e.clientX - box.left, e.clientY - box.top);
    };
    c.addEventListener("wheel", wheel, { passive: false });
    // Asked of the canvas in a frame, all that has changed on the page would be laid out at once.
    const resized = new ResizeObserver(() => {
      size.current = [c.clientWidth, c.clientHeight];
      soon();
    });
    resized.observe(c);
    return () => {
      c.removeEventListener("wheel", wheel);
      resized.disconnect();
      cancelAnimationFrame(frame.current);
      frame.current = 0;
      clearTimeout(told.current);
    };
  }, []);

  const down = (e: PointerEvent) => {
    canvas.current?.setPointerCapture(e.pointerId);
    pointers.current.set(e.pointerId, { x: e.offsetX, y: e.offsetY });
    moved.current = pointers.current.size > 1;
  };
  const move = (e: PointerEvent) => {
    const before = pointers.current.get(e.pointerId);
    if (!before) {
      return;
    }
    const [other] = [...pointers.current].filter(([id]) => id !== e.pointerId).map(([, at]) => at);
    const dx = e.offsetX - before.x;
    const dy = e.offsetY - before.y;
    if (Math.hypot(dx, dy) < 4 && !moved.current) {
      return;
    }
    moved.current = true;
    pointers.current.set(e.pointerId, { x: e.offsetX, y: e.offsetY });
    if (other) {
      const was = Math.hypot(before.x - other.x, before.y - other.y);
      zoom(Math.hypot(e.offsetX - other.x, e.offsetY - other.y) / Math.max(1, was), (e.offsetX + other.x) / 2, (e.offsetY + other.y) / 2);
      pan(dx / 2, dy / 2);
    } else {
      pan(dx, dy);
    }
  };
  const up = (e: PointerEvent) => {
    if (pointers.current.delete(e.pointerId) && !moved.current && e.type === "pointerup") {
      pick(e.offsetX, e.offsetY);
    }
  };
  const key = (e: KeyboardEvent) => {
    const c = canvas.current;
    const step = 80;
    const keys: Record<string, () => void> = {
      ArrowLeft: () => pan(step, 0),
      ArrowRight: () => pan(-step, 0),
      ArrowUp: () => pan(0, step),
      ArrowDown: () => pan(0, -step),
      "+": () => zoom(1.5),
      "=": () => zoom(1.5),
      "-": () => zoom(1 / 1.5),
      "0": whole,
      Enter: () => c && pick(c.clientWidth / 2, c.clientHeight / 2),
    };
    const act = e.ctrlKey || e.metaKey || e.altKey ? undefined : keys[e.key];
    if (act) {
      e.preventDefault();
      e.stopPropagation();
      act();
    }
  };

  const { nowhere } = now.map;
  const { silent, unmeasured, unasked } = points.count;
  const chosen = outageOf(selected.value);
  return (
    <div class={`map${link.value.state === "reconnecting" || !loaded.value ? " uncertain" : ""}`}>
      <canvas
        ref={canvas}
        tabIndex={0}
        role="application"
        aria-label={t("map.label", { points: now.px.length, outages: open.value.length })}
        aria-describedby="map-keys"
        data-testid="map"
        onPointerDown={down}
        onPointerMove={move}
        onPointerUp={up}
        onPointerCancel={up}
        onKeyDown={key}
      />
      <div class="map-tools">
        <button aria-label={t("map.in")} onClick={() => zoom(1.5)}>
          +
        </button>
        <button aria-label={t("map.out")} onClick={() => zoom(1 / 1.5)}>
          −
        </button>
        <button onClick={whole}>{t("map.whole")}</button>
      </div>
      <p class="unseen" id="map-keys">
        {t("map.keys")}
      </p>
      <Legend />
      <p class="map-foot" role="status">
        {found && <FoundThere found={found} scene={now} />}
        {!operatedNow && <strong class="abnormal">{t("map.positionsUnknown")}</strong>}
        {(!loaded.value || link.value.state === "reconnecting") && <strong class="abnormal">{t("map.uncertain")}</strong>}
        {chosen && chosen.x === null && <span>{t("map.outageNowhere")}</span>}
        {silent > 0 && <span data-testid="map-silent">{t("map.silent", { n: silent })}</span>}
        {unmeasured > 0 && <span data-testid="map-unmeasured">{t("map.unmeasured", { n: unmeasured })}</span>}
        {!isOf(outNow, now) && <strong class="abnormal">{t("map.outUnknown")}</strong>}
        {unasked > 0 && <span data-testid="map-unasked">{t("map.unasked")}</span>}
        {nowhere.points > 0 && <span data-testid="map-nowhere">{t("map.pointsNowhere", { n: nowhere.points })}</span>}
      </p>
    </div>
  );
}

/** What was pointed at, and what there is to say of it. */
function FoundThere({ found, scene: now }: { found: Found; scene: Scene }) {
  const link = <a href={`/network/${encodeURIComponent(found.id)}`}>{found.id}</a>;
  if ("point" in found) {
    const hearing = hearings(now, heard.value)(found.point);
    return (
      <span data-testid="map-found">
        {link} {t("outage.customers", { n: now.map.points.customers?.[found.point] ?? 0 })}
        {hearing !== "heard" && `, ${t(`map.one.${hearing}`)}`}{" "}
        {mayAcknowledge() && (
          <button onClick={() => (entry.value = { what: "call", point: found.id })} data-testid="map-call">
            {t("call.title")}
          </button>
        )}
      </span>
    );
  }
  const said = switching.value?.get(found.id);
  const kind = now.map.devices.kind?.[found.device] === "transformer" ? "transformer" : "switch";
  return (
    <span data-testid="map-found">
      {t(`kind.${kind}`)} {link} {said ? <Said of={said} /> : kind === "switch" && switching.value && t(now.map.devices.open?.[found.device] ? "map.normallyOpen" : "map.normallyClosed")}{" "}
      {mayAcknowledge() && (
        <button onClick={() => (entry.value = { what: "operate", asset: found.id })} data-testid="map-operate">
          {t("switching.title")}
        </button>
      )}
    </span>
  );
}
