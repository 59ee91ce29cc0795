import type { Series } from "@busbar/client";
import { computed, signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { failure, latestOf, series, tick, want } from "../data/series";
import { nameOf, namedText, qualityText, unitText } from "../format";
import { t } from "../messages";
import { Quality } from "../parts/Quality";
import { useRows } from "../parts/rows";
import { Age } from "../parts/Times";
import { amend, place } from "../router";
import { link } from "../stream";
import { SignalPanel } from "./SignalPanel";

const filter = signal("");

const searchable = computed(() =>
  (series.value ?? []).map((s) => ({ s, text: `${s.asset} ${s.device} ${s.name} ${unitText(s.unit)} ${s.gateway}`.toLowerCase() })),
);

const matching = computed(() => {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  return searchable.value.filter(({ text }) => words.every((w) => text.includes(w))).map(({ s }) => s);
});

type Item = { group: string; key: string } | Series;

/** The matching series, each asset's and device's led by a row that names them. */
const items = computed(() => {
  const all: Item[] = [];
  let last = "";
  for (const s of matching.value) {
    const group = [s.asset, s.device].filter(Boolean).join(" · ");
    if (group !== last) {
      all.push({ group, key: `group ${s.id}` });
      last = group;
    }
    all.push(s);
  }
  return all;
});

export function SignalsPage() {
  const chosen = Number(place.value.searchParams.get("series") ?? NaN);
  const open = series.value?.find((s) => s.id === chosen);
  const total = series.value?.length ?? 0;
  const found = matching.value.length;

  useEffect(want, []);

  const close = () => {
    amend("/signals");
    document.querySelector<HTMLElement>(`[data-series="${chosen}"] button`)?.focus();
  };

  return (
    <>
      <div class="heading">
        <h1 tabIndex={-1}>{t("signals.title")}</h1>
        <label class="filter">
          <span class="unseen">{t("signals.filter")}</span>
          <input
            type="search"
            placeholder={t("signals.filter")}
            value={filter.value}
            onInput={(e) => {
              filter.value = e.currentTarget.value;
            }}
            data-testid="signal-filter"
          />
        </label>
        <span role="status" data-testid="signal-total">
          {found === total ? t("signals.total", { n: total }) : t("signals.matching", { n: found, total })}
        </span>
      </div>
      {failure.value && (
        <p class="failure" role="alert">
          {t("page.failed", { reason: failure.value })}
        </p>
      )}
      <div class={`signals-layout${open ? " with-panel" : ""}${link.value.state === "reconnecting" ? " stale" : ""}`}>
        <div>
          <List chosen={chosen} />
          {series.value === undefined && !failure.value && <p class="empty">{t("page.loading")}</p>}
          {series.value !== undefined && found === 0 && <p class="empty">{t(total === 0 ? "signals.none" : "signals.noMatch")}</p>}
        </div>
        {open && <SignalPanel key={open.id} series={open} close={close} />}
      </div>
    </>
  );
}

function List({ chosen }: { chosen: number }) {
  const body = useRef<HTMLTableSectionElement>(null);
  const rows = useRows(body, items.value.length);
  tick.value;
  return (
    <table class="signals" role="table" aria-rowcount={items.value.length + 1} data-testid="signal-list">
      <thead role="rowgroup">
        <tr role="row" aria-rowindex={1}>
          {(["name", "value", "unit", "quality", "age"] as const).map((c) => (
            <th key={c} role="columnheader" scope="col" class={c}>
              {t(`signals.${c}`)}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup" ref={body}>
        <tr class="spacer" aria-hidden="true" style={{ height: `${rows.above}px` }} />
        {items.value.slice(rows.first, rows.end).map((item, i) =>
          "group" in item ? (
            <tr key={item.key} role="row" class="group" aria-rowindex={rows.first + i + 2}>
              <th role="rowheader" colSpan={5} scope="rowgroup" title={item.group}>
                {item.group}
              </th>
            </tr>
          ) : (
            <Row key={item.id} series={item} index={rows.first + i + 2} chosen={item.id === chosen} />
          ),
        )}
        <tr class="spacer" aria-hidden="true" style={{ height: `${rows.below}px` }} />
      </tbody>
    </table>
  );
}

function Row({ series: s, index, chosen }: { series: Series; index: number; chosen: boolean }) {
  const latest = latestOf(s.id);
  const text = latest && (latest.v === null ? latest.text || "–" : namedText(latest.v, nameOf(latest.v, s)));
  return (
    <tr role="row" class={chosen ? "signal chosen" : "signal"} aria-rowindex={index} data-testid="signal-row" data-series={s.id}>
      <td role="cell" class="name">
        <button title={s.name} aria-expanded={chosen} onClick={() => amend(`/signals?series=${s.id}`)}>
          {s.name}
        </button>
      </td>
      <td role="cell" class="value" data-testid="signal-value" title={text}>
        {text ?? <span class="muted">{t("signals.noValue")}</span>}
      </td>
      <td role="cell" class="unit">
        {unitText(s.unit)}
      </td>
      <td role="cell" class="quality" data-testid="signal-quality" title={latest && qualityText(latest.q)}>
        {latest && <Quality quality={latest.q} />}
      </td>
      <td role="cell" class="age">
        {latest && <Age us={latest.t} />}
      </td>
    </tr>
  );
}
