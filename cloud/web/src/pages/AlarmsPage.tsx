import type { Alarm } from "@busbar/client";
import type { RefObject } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { reasonOf } from "../api";
import { asked, counted, filter, hasOlder, highest, isOpen, listed, loaded, presently, scope, showAll, showOlder } from "../data/alarms";
import { type Filter, filters } from "../data/filters";
import { floods } from "../data/flood";
import { grouped, turned } from "../data/groups";
import { numberText } from "../format";
import { t } from "../messages";
import { quiet } from "../model";
import { acknowledging } from "../parts/AckDialog";
import { FloodBanner } from "../parts/FloodBanner";
import { useHold } from "../parts/hold";
import { mayAcknowledge } from "../session";
import { link } from "../stream";
import { AlarmList } from "./AlarmList";

export function AlarmsPage() {
  const list = useRef<HTMLDivElement>(null);
  const [held, release] = useHold(list);
  const [failure, setFailure] = useState("");
  const [byGroup, setByGroup] = useGrouping();
  const { alarms, fresh } = useOrder(listed.value, held);
  const worst = highest(fresh);

  const showFresh = () => {
    release();
    // The bar that has the focus goes away.
    document.querySelector("h1")?.focus({ preventScroll: true });
  };

  const failed = (error: unknown) => setFailure(t("page.failed", { reason: reasonOf(error) }));

  const show = (chosen: Filter | "all") => {
    setFailure("");
    release();
    if (chosen === "all") {
      showAll().catch(failed);
    } else {
      filter.value = chosen;
      scope.value = "open";
    }
  };

  const inGroups = byGroup && scope.value === "open";
  const items = useMemo(() => (inGroups ? grouped(alarms) : alarms), [inGroups, alarms, turned.value]);
  return (
    <>
      <div class="heading">
        <h1 tabIndex={-1}>{t("alarms.title")}</h1>
        {loaded.value && <span data-testid="total">{t(hasOlder.value ? "alarms.totalShown" : "alarms.total", { n: listed.value.length })}</span>}
        <a href="/alarm-performance">{t("performance.title")}</a>
        <AckVisible list={list} />
      </div>
      <Chips show={show} />
      <FloodBanner grouped={byGroup} choose={setByGroup} />
      {failure && (
        <p class="failure" role="alert">
          {failure}
        </p>
      )}
      {worst && (
        <button class="fresh" onClick={showFresh} data-testid="new-alarms">
          {t("alarms.new", { n: fresh.length, priority: t(`priority.${worst}`).toLowerCase() })}
        </button>
      )}
      <div ref={list} class={link.value.state === "reconnecting" ? "stale" : ""}>
        <AlarmList items={items} />
        {!loaded.value && link.value.state !== "reconnecting" && <p class="empty">{t("page.loading")}</p>}
        {loaded.value && alarms.length === 0 && <p class="empty">{t(scope.value === "all" ? "alarms.noneEver" : filter.value === "open" ? "alarms.none" : "alarms.noneSuch")}</p>}
        {hasOlder.value && (
          <button
            class="more"
            onClick={() => {
              setFailure("");
              showOlder().catch(failed);
            }}
            data-testid="more-alarms"
          >
            {t("alarms.older", { shown: alarms.length })}
          </button>
        )}
      </div>
    </>
  );
}

/** Whether the list is by groups: while there is a flood, unless somebody wants it otherwise. */
function useGrouping(): [boolean, (grouped: boolean) => void] {
  const [chosen, choose] = useState<boolean | undefined>(undefined);
  const flooded = floods.value.length > 0;
  useEffect(() => choose(undefined), [flooded]);
  return [chosen ?? flooded, choose];
}

function Chips({ show }: { show(chosen: Filter | "all"): void }) {
  const chip = (chosen: Filter | "all", n?: number) => (
    <button
      key={chosen}
      aria-pressed={chosen === "all" ? scope.value === "all" : scope.value === "open" && filter.value === chosen}
      onClick={() => show(chosen)}
      data-testid={`scope-${chosen}`}
      data-count={n}
    >
      {t(`filter.${chosen}`)}
      {n !== undefined && <span class="count"> {numberText(n)}</span>}
    </button>
  );
  return (
    <div class="chips filters" role="group" aria-label={t("alarms.scope")}>
      {filters.map((f) => chip(f, loaded.value ? counted.value[f] : undefined))}
      {chip("all")}
    </div>
  );
}

/** Acknowledges what is on screen, which is all that somebody can have taken note of. */
function AckVisible({ list }: { list: RefObject<HTMLElement | null> }) {
  if (!mayAcknowledge()) {
    return null;
  }
  const ask = () => {
    const top = document.querySelector("header")?.getBoundingClientRect().bottom ?? 0;
    const rows = [...(list.current?.querySelectorAll<HTMLElement>("[data-alarm-id]") ?? [])].filter((row) => {
      const at = row.getBoundingClientRect();
      return at.top >= top && at.bottom <= innerHeight;
    });
    acknowledging.value = rows.map((row) => presently(row.dataset["alarmId"] ?? "")).filter((a) => a !== undefined && !a.acknowledged && !quiet(a)) as Alarm[];
  };
  return (
    <button onClick={ask} data-testid="ack-visible">
      {t("alarms.acknowledgeVisible")}
    </button>
  );
}

interface Shown {
  alarms: readonly Alarm[];
  /** Open ones that aren't among them yet. */
  fresh: readonly Alarm[];
}

/** The alarms in their order, or while held in the order of before, each as it is now. Who asks for more gets them all the same. */
function useOrder(current: readonly Alarm[], held: boolean): Shown {
  const order = useRef<readonly Alarm[]>([]);
  const ids = useRef<ReadonlySet<string> | undefined>(undefined);
  const pages = useRef(asked.value);
  const shown = useRef("");
  const now = scope.value + filter.value;
  // There may be very many: nothing is done twice.
  return useMemo(() => {
    if (!held || order.current.length === 0 || pages.current !== asked.value || shown.current !== now) {
      order.current = current;
      ids.current = undefined;
      pages.current = asked.value;
      shown.current = now;
    }
    if (order.current === current) {
      return { alarms: current, fresh: [] };
    }
    const listed = (ids.current ??= new Set(order.current.map((a) => a.id)));
    return { alarms: order.current.map((a) => presently(a.id)).filter((a) => a !== undefined), fresh: current.filter((a) => isOpen(a) && !listed.has(a.id)) };
  }, [current, held, now, asked.value]);
}
