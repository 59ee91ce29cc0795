"use strict";
const $ = (id) => document.getElementById(id);
const make = (tag, text, ...inside) => {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  e.append(...inside);
  return e;
};
const clock = (us) => new Date(us / 1000).toISOString().slice(0, 19).replace("T", " ");

let drawing, state, chosen = "", since = "", arrived = 0, news = [];
let view = { scale: 1, x: 0, y: 0 };
let places = new Map(); // asset id to where it is drawn

async function ask(path, body) {
  const r = await fetch(path, body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const said = await r.json();
  if (!r.ok) throw new Error(said.error);
  return said;
}

async function act(path, body, done) {
  try {
    const said = await ask(path, body);
    $("answer").textContent = done(said);
  } catch (e) {
    $("answer").textContent = e.message;
  }
}

// The grid.

const canvas = $("canvas"), pen = canvas.getContext("2d");
const px = (n) => view.x + drawing.X[n] * view.scale;
const py = (n) => view.y + drawing.Y[n] * view.scale * (drawing.tall || 1);

function prepare() {
  drawing.X = drawing.x;
  drawing.Y = drawing.y;
  if (drawing.placed && drawing.Y.length) { // degrees, north above
    const wide = Math.cos((drawing.Y[0] * Math.PI) / 180);
    const degrees = Math.max(...drawing.Y.map(Math.abs)) <= 90 && Math.max(...drawing.X.map(Math.abs)) <= 180;
    drawing.X = drawing.x.map((x) => (degrees ? x * wide : x));
    drawing.Y = drawing.y.map((y) => -y);
  }
  places = new Map();
  drawing.edges.forEach((e) => places.set(e.id, e));
  drawing.assets.forEach((p) => places.set(p.id, { a: p.node, b: p.node }));
  drawing.nodes.forEach((id, n) => places.has(id) || places.set(id, { a: n, b: n }));
  const list = $("assets");
  list.replaceChildren();
  drawing.edges.filter((e) => e.kind !== "line").concat(drawing.edges.filter((e) => e.kind === "line")).slice(0, 1000)
    .forEach((e) => { const o = make("option"); o.value = e.id; o.label = e.kind; list.append(o); });
}

function fit() {
  const [x0, x1, y0, y1] = drawing.X.reduce((b, x, i) =>
    [Math.min(b[0], x), Math.max(b[1], x), Math.min(b[2], drawing.Y[i]), Math.max(b[3], drawing.Y[i])], [Infinity, -Infinity, Infinity, -Infinity]);
  const w = canvas.clientWidth - 40, h = canvas.clientHeight - 40;
  drawing.tall = 1;
  view.scale = Math.min(w / Math.max(x1 - x0, 1e-9), h / Math.max(y1 - y0, 1e-9));
  if (!drawing.placed) { // a tree has no scale of its own
    view.scale = w / Math.max(x1 - x0, 1);
    drawing.tall = h / Math.max(y1 - y0, 1) / view.scale;
  }
  view.x = 20 + (w - (x1 - x0) * view.scale) / 2 - x0 * view.scale;
  view.y = 20 + (h - (y1 - y0) * view.scale * drawing.tall) / 2 - y0 * view.scale * drawing.tall;
  paint();
}

function paint() {
  if (!drawing || !state) return;
  const dpr = devicePixelRatio || 1, w = canvas.clientWidth, h = canvas.clientHeight;
  if (canvas.width !== Math.round(w * dpr) || canvas.height !== Math.round(h * dpr)) {
    canvas.width = Math.round(w * dpr);
    canvas.height = Math.round(h * dpr);
  }
  const probe = (name) => {
    canvas.style.color = `var(${name})`;
    return getComputedStyle(canvas).color;
  };
  const wire = probe("--wire"), alarm = probe("--alarm"), offColour = probe("--off"), surface = probe("--surface"), text = probe("--text");
  pen.setTransform(dpr, 0, 0, dpr, 0, 0);
  pen.clearRect(0, 0, w, h);
  const dead = new Uint8Array(drawing.X.length);
  for (const n of state.dead) dead[n] = 1;
  const changed = new Set(state.off);
  const small = drawing.X.length > 400;
  const lines = [new Path2D(), new Path2D(), new Path2D()]; // supplied, without supply, open
  drawing.edges.forEach((e, i) => {
    const path = lines[!!e.open !== changed.has(i) ? 2 : dead[e.a] && dead[e.b] ? 1 : 0];
    path.moveTo(px(e.a), py(e.a));
    path.lineTo(px(e.b), py(e.b));
  });
  pen.lineWidth = small ? 1 : 1.5;
  pen.setLineDash([]);
  pen.strokeStyle = wire;
  pen.stroke(lines[0]);
  pen.setLineDash([4, 3]);
  pen.strokeStyle = alarm;
  pen.stroke(lines[1]);
  pen.setLineDash([1, 4]);
  pen.strokeStyle = wire;
  pen.stroke(lines[2]);
  pen.setLineDash([]);
  drawing.edges.forEach((e, i) => {
    const x = (px(e.a) + px(e.b)) / 2, y = (py(e.a) + py(e.b)) / 2;
    const open = !!e.open !== changed.has(i);
    if (open || changed.has(i)) {
      const s = changed.has(i) ? 4.5 : small ? 2 : 3.5;
      pen.lineWidth = changed.has(i) ? 2 : 1;
      pen.strokeStyle = changed.has(i) ? offColour : wire;
      pen.fillStyle = open ? surface : pen.strokeStyle;
      pen.fillRect(x - s, y - s, 2 * s, 2 * s);
      pen.strokeRect(x - s, y - s, 2 * s, 2 * s);
    } else if (!small && e.kind !== "line") {
      pen.fillStyle = dead[e.b] ? alarm : wire;
      pen.beginPath();
      if (e.kind === "transformer") pen.arc(x, y, 4, 0, 7);
      else pen.rect(x - 2.5, y - 2.5, 5, 5);
      pen.fill();
    }
  });
  pen.fillStyle = text;
  pen.font = "12px system-ui, sans-serif";
  for (const f of state.faults) {
    const at = places.get(f.asset);
    if (!at || !f.active) continue;
    const x = (px(at.a) + px(at.b)) / 2, y = (py(at.a) + py(at.b)) / 2;
    pen.fillStyle = alarm;
    pen.beginPath();
    pen.moveTo(x, y - 8);
    pen.lineTo(x + 7, y + 5);
    pen.lineTo(x - 7, y + 5);
    pen.fill();
  }
  const at = places.get(chosen);
  if (at) {
    pen.strokeStyle = probe("--focus");
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc((px(at.a) + px(at.b)) / 2, (py(at.a) + py(at.b)) / 2, 10, 0, 7);
    pen.stroke();
  }
}

function nearest(x, y) {
  let best = 14, found = "";
  for (const e of drawing.edges) {
    const ax = px(e.a), ay = py(e.a), dx = px(e.b) - ax, dy = py(e.b) - ay;
    const t = Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1)));
    let d = Math.hypot(ax + t * dx - x, ay + t * dy - y);
    if (e.kind !== "line") d = Math.min(d, Math.hypot(ax + dx / 2 - x, ay + dy / 2 - y) - 2); // a symbol is easily hit
    if (d < best) [best, found] = [d, e.id];
  }
  return found;
}

let drag = null;
canvas.addEventListener("pointerdown", (e) => { drag = { x: e.offsetX, y: e.offsetY, far: false }; });
canvas.addEventListener("pointermove", (e) => {
  if (!drag || !e.buttons) return;
  drag.far ||= Math.hypot(e.offsetX - drag.x, e.offsetY - drag.y) > 4;
  if (!drag.far) return;
  view.x += e.movementX;
  view.y += e.movementY;
  paint();
});
canvas.addEventListener("pointerup", (e) => {
  if (drag && !drag.far && drawing) choose(nearest(e.offsetX, e.offsetY));
  drag = null;
});
canvas.addEventListener("wheel", (e) => {
  e.preventDefault();
  const by = Math.exp(-e.deltaY / 400);
  view.x = e.offsetX + (view.x - e.offsetX) * by;
  view.y = e.offsetY + (view.y - e.offsetY) * by;
  view.scale *= by;
  paint();
}, { passive: false });
$("whole").addEventListener("click", fit);
addEventListener("resize", () => drawing && fit());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);

// What is chosen, and what is done with it.

function choose(id) {
  if (!id) return;
  $("asset").value = id;
  look();
}

async function look() {
  chosen = $("asset").value.trim();
  paint();
  const list = $("detail");
  if (!chosen) return list.replaceChildren();
  let a;
  try {
    a = await ask("/assets/" + encodeURIComponent(chosen));
  } catch {
    return list.replaceChildren();
  }
  const three = (x, digits, unit) => x.map((v) => v.toFixed(digits)).join(" · ") + " " + unit;
  const rows = [["Kind", a.kind]];
  if (a.position) rows.push(["Position", a.position + (a.switch?.LockedOut ? ", locked out" : a.switch?.Tripped ? ", tripped" : "")]);
  if (a.point) rows.push(["Voltage", three(a.point.Voltage, 1, "V")], ["Current", three(a.point.Current, 2, "A")],
    ["Power", three(a.point.Active, 0, "W")], ["Register", (a.point.Import / 1000).toFixed(3) + " kW·h"]);
  if (a.transformer) rows.push(["Loading", (a.transformer.Loading * 100).toFixed(1) + " %"], ["Low voltage", three(a.transformer.LowVoltage, 1, "V")]);
  if (a.switch) rows.push(["Current", three(a.switch.Current, 1, "A")], ["Operations", a.switch.Operations]);
  if (!a.point && !a.transformer) rows.push(["Levels", a.levels.join(" · ") + " %"]);
  list.replaceChildren(...rows.flatMap(([k, v]) => [make("dt", k), make("dd", v)]));
}

const wanted = () => $("asset").value.trim();
$("asset").addEventListener("change", look);
$("act").addEventListener("submit", (e) => {
  e.preventDefault();
  act("/fault", { asset: wanted(), kind: $("kind").value, phases: $("phases").value }, (f) => `Fault ${f.id} at ${f.asset}.`);
});
$("open").addEventListener("click", () => act("/switch", { id: wanted(), to: "open", phases: $("phases").value }, () => `${wanted()} opened.`));
$("close").addEventListener("click", () => act("/switch", { id: wanted(), to: "closed", phases: $("phases").value }, () => `${wanted()} closed.`));
$("speed").addEventListener("change", () => act("/speed", { speed: Number($("speed").value) }, () => ""));

// The lists.

function fill(list, items, none) {
  list.replaceChildren(...(items.length ? items : [Object.assign(make("li", none), { className: "none" })]));
}

function button(text, of, path, body, done) {
  const b = make("button", text);
  b.type = "button";
  b.setAttribute("aria-label", `${text} ${of}`);
  b.addEventListener("click", () => act(path, body, done));
  return b;
}

function show() {
  $("scenario").textContent = state.scenario;
  document.title = (state.out ? `${state.out} out · ` : "") + state.scenario + " · Busbar";
  $("summary").textContent = state.out === 0 ? `All ${state.points} service points have supply.`
    : `${state.out} of ${state.points} service points, with ${state.customers_out} customers, have no supply.`;
  $("summary").className = state.out ? "out" : "";
  if (document.activeElement !== $("speed")) {
    const s = $("speed");
    if (![...s.options].some((o) => Number(o.value) === state.speed)) s.append(Object.assign(make("option", state.speed + " ×"), { value: state.speed }));
    s.value = String(state.speed);
  }
  fill($("faults"), state.faults.map((f) => {
    const li = make("li", `${f.active ? "▲ " : ""}${f.id}: ${f.asset}, ${f.active ? f.kind : "gone"}${f.phases && f.phases !== "ABC" ? ", " + f.phases : ""}` +
      (f.opened ? `; open for it: ${f.opened.join(", ")}` : ""));
    if (f.active) li.append(button("Repair", f.id, "/repair", { fault: f.id }, () => `${f.id} repaired.`));
    li.append(button(f.active ? "Repair and close" : "Close", f.id, "/repair", { fault: f.id, close: true }, () => `${f.id} repaired, and closed what was open for it.`));
    return li;
  }), "None");
  fill($("off"), state.open.slice(0, 50).map((o) => {
    const to = o.position === "closed" ? "open" : "closed";
    return make("li", `${o.id} (${o.kind}): ${o.position}${o.locked_out ? ", locked out" : o.tripped ? ", tripped" : ""}`,
      button(to === "open" ? "Open" : "Close", o.id, "/switch", { id: o.id, to }, () => `${o.id} ${to}.`));
  }).concat(state.open.length > 50 ? [make("li", `and ${state.open.length - 50} more`)] : []), "None");
  const behind = drawing.nodes.map((id, n) => [id, drawing.points[n], n]).filter(([, points]) => points);
  const dead = new Set(state.dead);
  const out = behind.filter(([, , n]) => dead.has(n));
  fill($("out"), out.slice(0, 20).map(([id, points]) => make("li", `${points} at ${id}`)).concat(out.length > 20 ? [make("li", `and at ${out.length - 20} nodes more`)] : []),
    state.out ? "Their own fuses are open" : "None");
  fill($("news"), news.slice(-30).reverse().map((h) => make("li", undefined, make("time", clock(h.time_us).slice(11)), " " + (h.what === "supply"
    ? [h.lost && `${h.lost} service points lose supply`, h.back && `${h.back} have it again`].filter(Boolean).join(", ") || "voltages change"
    : `${h.what} ${h.of ?? ""}${h.fault ? ` (${h.fault})` : ""}`))), "Nothing");
  paint();
}

function tick() {
  if (!state) return;
  const now = Math.min(state.end_us, state.time_us + (performance.now() - arrived) * 1000 * state.speed);
  $("clock").textContent = clock(now) + " UTC" + (state.over ? ", the end" : state.speed === 0 ? ", paused" : "") +
    (state.behind > 0.5 ? ", slower than asked for" : "");
}

async function follow() {
  for (;;) {
    try {
      if (!drawing) {
        drawing = await ask("/grid");
        prepare();
      }
      const fresh = await ask("/state?since=" + since);
      const first = !state;
      if (!first && ["scenario", "seed", "start_us"].some((key) => fresh[key] !== state[key])) throw new Error("it is another one now");
      state = fresh;
      arrived = performance.now();
      since = String(fresh.next);
      news = news.concat(fresh.news).slice(-100);
      if (first) fit();
      show();
      tick();
      if (document.activeElement !== $("asset")) look();
    } catch (e) {
      $("summary").textContent = "The simulation doesn't answer: " + e.message;
      since = "";
      news = [];
      drawing = state = undefined; // another one may answer next
    }
    await new Promise((done) => setTimeout(done, state?.over ? 5000 : 250));
  }
}
setInterval(tick, 250);
follow();
