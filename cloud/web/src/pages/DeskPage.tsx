import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { crews, customersOut, open, outageOf, selected, storm } from "../data/outages";
import { watchSwitching } from "../data/switching";
import { entering, stepsOf } from "../desk/Actions";
import { entry, type Entry } from "../desk/Entry";
import { Details } from "../desk/Details";
import { Crews, Events, listed } from "../desk/Events";
import { Separator, useShare } from "../desk/Split";
import { keep, recall } from "../kept";
import { MapView } from "../map/MapView";
import { t } from "../messages";
import { amend, place } from "../router";
import { mayAcknowledge } from "../session";
import { generation } from "../stream";
import { OneLineView } from "./OneLine";

const panes = ["events", "crews", "map", "details"] as const;
type Pane = (typeof panes)[number];

/** The pane that a phone shows. */
const shown = signal<Pane>("events");

const picture = signal<"map" | "oneline">("map");

/** Storm mode as chosen by a person; undefined: by what goes on. */
const chosenStorm = signal<boolean | undefined>(undefined);

export function DeskPage() {
  const [leftShare, setLeft] = useShare("left", 30);
  const [rightShare, setRight] = useShare("right", 30);
  const [listShare, setList] = useShare("list", 70);
  const [shortcuts, setShortcuts] = useState(recall("shortcuts") !== "off");
  const help = useRef<HTMLDialogElement>(null);
  const stormy = chosenStorm.value ?? storm.value;
  const outage = outageOf(selected.value);

  useEffect(() => {
    const asked = place.value.searchParams.get("outage");
    if (asked) {
      selected.value = asked;
    }
  }, []);
  useEffect(() => watchSwitching(), [generation.value]);
  const before = useRef(selected.value);
  useEffect(() => {
    amend(selected.value ? `/desk?outage=${encodeURIComponent(selected.value)}` : "/desk");
    if (before.current !== selected.value && shown.value !== "map") {
      shown.value = "details";
    }
    before.current = selected.value;
  }, [selected.value]);

  const focusPane = (pane: Pane) => {
    shown.value = pane;
    requestAnimationFrame(() => document.getElementById(`pane-${pane}`)?.focus());
  };

  // Before the page is seen, so that no key is lost.
  useLayoutEffect(() => {
    const key = (e: KeyboardEvent) => {
      const target = e.target instanceof Element ? e.target : null;
      if (e.ctrlKey || e.metaKey || e.altKey || target?.closest("input, textarea, select, dialog[open], [contenteditable]")) {
        return;
      }
      if (e.key === "?") {
        help.current?.showModal();
        return;
      }
      if (!shortcuts) {
        return;
      }
      const step = (by: number) => {
        const list = listed(chosenStorm.value ?? storm.value).flatMap(([, group]) => group);
        const at = list.findIndex((o) => o.id === selected.value);
        const next = list[at < 0 ? 0 : Math.min(list.length - 1, Math.max(0, at + by))];
        if (next) {
          selected.value = next.id;
        }
      };
      // As of now, not of the last time that the page was drawn.
      const of = outageOf(selected.value);
      const may = of ? stepsOf(of) : [];
      const enter = (action: typeof entering.value) => {
        if (action !== undefined && may.includes(action)) {
          shown.value = "details";
          entering.value = action;
        }
      };
      const say = (what: Entry) => {
        if (mayAcknowledge()) {
          entry.value = what;
        }
      };
      const keys: Record<string, () => void> = {
        j: () => step(1),
        k: () => step(-1),
        "1": () => focusPane("events"),
        "2": () => focusPane("crews"),
        "3": () => focusPane("map"),
        "4": () => focusPane("details"),
        m: () => (picture.value = "map"),
        l: () => (picture.value = "oneline"),
        s: () => (chosenStorm.value = !(chosenStorm.value ?? storm.value)),
        n: () => enter(may[0]),
        c: () => enter("confirm"),
        a: () => enter("assign"),
        e: () => enter("estimate"),
        r: () => enter("restored"),
        t: () => say({ what: "call", point: "" }),
        o: () => say({ what: "operate", asset: of && of.device_kind !== "service_point" ? of.device : "" }),
        p: () => say({ what: "plan", devices: of?.device ?? "" }),
      };
      const act = keys[e.key];
      if (act) {
        e.preventDefault();
        act();
      }
    };
    document.addEventListener("keydown", key);
    return () => document.removeEventListener("keydown", key);
  }, [shortcuts]);

  const pane = (name: Pane, title: string, content: preact.ComponentChildren, tools?: preact.ComponentChildren) => (
    <section id={`pane-${name}`} class={`pane pane-${name}${shown.value === name ? " shown" : ""}`} tabIndex={-1} aria-labelledby={`title-${name}`} data-testid={`pane-${name}`}>
      <div class="pane-head">
        <h2 id={`title-${name}`}>{title}</h2>
        {tools}
      </div>
      <div class="pane-body" {...(name === "map" ? {} : { tabIndex: 0, role: "group", "aria-labelledby": `title-${name}` })}>
        {content}
      </div>
    </section>
  );

  const feeder = outage?.feeder || outage?.device || "";
  const style = { "--left": `${leftShare}%`, "--right": `${rightShare}%`, "--list": `${listShare}%` };
  return (
    <div class={`desk-page${stormy ? " storm" : ""}`}>
      <div class="heading">
        <h1 tabIndex={-1}>{t("desk.title")}</h1>
        {stormy && (
          <p class="storm-banner" role="status" data-testid="storm">
            {t("desk.storm", { n: open.value.length })} {t("outage.out", { n: customersOut.value })}
          </p>
        )}
        <div class="chips">
          {mayAcknowledge() && (
            <>
              <button onClick={() => (entry.value = { what: "call", point: "" })} data-testid="take-call">
                {t("call.title")}
              </button>
              <button onClick={() => (entry.value = { what: "operate", asset: "" })} data-testid="operate">
                {t("switching.title")}
              </button>
              <button onClick={() => (entry.value = { what: "plan", devices: "" })} data-testid="plan">
                {t("plan.title")}
              </button>
            </>
          )}
          <button aria-pressed={stormy} onClick={() => (chosenStorm.value = !stormy)} data-testid="storm-toggle">
            {t("desk.stormMode")}
          </button>
          <button onClick={() => help.current?.showModal()} data-testid="desk-help">
            {t("desk.keys")}
          </button>
        </div>
      </div>
      <div class="pane-tabs" role="group" aria-label={t("desk.panes")}>
        {panes.map((name) => (
          <button key={name} aria-pressed={shown.value === name} onClick={() => (shown.value = name)} data-testid={`tab-${name}`}>
            {t(`desk.${name}`)}
          </button>
        ))}
      </div>
      <div class="desk" style={style}>
        <div class="desk-lists" id="desk-lists">
          {pane("events", t("desk.events"), <Events storm={stormy} />)}
          <Separator label="desk.splitList" vertical={false} share={listShare} set={setList} controls="pane-events" />
          {pane("crews", t("desk.crewsOf", { n: crews.value?.length ?? 0 }), <Crews />)}
        </div>
        <Separator label="desk.splitLeft" vertical share={leftShare} set={setLeft} controls="desk-lists" />
        {pane(
          "map",
          t(picture.value === "map" ? "desk.map" : "desk.oneline"),
          picture.value === "map" ? <MapView /> : feeder ? <OneLineView key={feeder} id={feeder} /> : <p class="empty">{t("desk.choose")}</p>,
          <div class="chips">
            <button aria-pressed={picture.value === "map"} onClick={() => (picture.value = "map")}>
              {t("desk.map")}
            </button>
            <button aria-pressed={picture.value === "oneline"} onClick={() => (picture.value = "oneline")} data-testid="show-oneline">
              {t("desk.oneline")}
            </button>
          </div>,
        )}
        <Separator label="desk.splitRight" vertical share={rightShare} set={setRight} controls="pane-details" />
        {pane("details", t("desk.details"), <Details />)}
      </div>
      <dialog ref={help} class="ack" aria-labelledby="help-title" data-testid="help">
        <h2 id="help-title">{t("desk.keys")}</h2>
        <dl class="facts keys">
          {(["j", "k", "1", "m", "l", "n", "c", "a", "e", "r", "t", "o", "p", "s", "?"] as const).map((k) => (
            <>
              <dt>
                <kbd>{k === "1" ? "1 2 3 4" : k}</kbd>
              </dt>
              <dd>{t(`key.${k}`)}</dd>
            </>
          ))}
        </dl>
        <label class="check">
          <input
            type="checkbox"
            checked={shortcuts}
            onChange={(e) => {
              setShortcuts(e.currentTarget.checked);
              keep("shortcuts", e.currentTarget.checked ? "" : "off");
            }}
          />
          {t("key.enabled")}
        </label>
        <div class="actions">
          <button class="primary" onClick={() => help.current?.close()}>
            {t("signals.close")}
          </button>
        </div>
      </dialog>
    </div>
  );
}
