// Whether switches are open, by what measures them and what people say.
import type { Series, Switching } from "@busbar/client";
import { now } from "../clock";
import { nameOf, qualityText, timeText } from "../format";
import { t } from "../messages";
import { isGood } from "../model";
import { gateways } from "./gateways";
import { latestOf } from "./series";

export type Position = "open" | "closed" | "unknown";

export interface Operated {
  position: Position;
  /** Who says so, with which quality and when; or why it isn't known. */
  why: string;
  /** Nobody says, and so it is taken to be as in normal operation by what concludes. */
  unsaid: boolean;
  /** When it was so, as far as that is told. */
  at?: number;
}

// Of a double point after IEC 61850, whose values have no names.
const doublePoint: Record<number, string> = { 1: "open", 2: "closed" };

/** The position by a switch's series, or by what is said where there is none. */
export function positionOf(series: Series | null, said: Switching | undefined): Operated {
  if (!series) {
    if (said && said.position !== "normal") {
      return { position: said.position, why: t("position.said", { position: t(`position.${said.position}`), by: said.by, time: timeText(said.at_us, now.value) }), unsaid: false, at: said.at_us };
    }
    return { position: "unknown", why: t("oneline.notTelemetered"), unsaid: true };
  }
  const sample = latestOf(series.id) ?? series.latest;
  if (!sample || sample.v === null) {
    return { position: "unknown", why: t("signals.noValue"), unsaid: false };
  }
  const when = timeText(sample.t, now.value);
  const name = (series.states ? nameOf(sample.v, series) : (doublePoint[sample.v] ?? "")).toLowerCase();
  const position = name === "open" || name === "off" ? "open" : name === "closed" || name === "on" ? "closed" : "unknown";
  if (position === "unknown" || !isGood(sample.q)) {
    return { position: "unknown", why: t("oneline.notGood", { value: name || String(sample.v), quality: qualityText(sample.q), time: when }), unsaid: false };
  }
  const gateway = gateways.value?.find((g) => g.id === series.gateway);
  if (position === "closed" && gateway && gateway.state !== "heard") {
    // What was open when it was heard last stays open until somebody says otherwise.
    return { position: "unknown", why: t("oneline.notHeard", { value: name, time: when }), unsaid: false };
  }
  return { position, why: t("oneline.since", { position: t(`position.${position}`), quality: qualityText(sample.q), time: when }), unsaid: false, at: sample.t };
}
