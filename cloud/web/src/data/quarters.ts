// The letters by which the API names quarter-hours, and its reasons, in words.
import type { Tally } from "@busbar/client";
import { whyText } from "../format";
import { t, type Plain } from "../messages";
import type { QuarterState } from "../model";

const states: Record<string, QuarterState> = { c: "complete", l: "late", o: "open", u: "unknown", x: "inconsistent", "-": "not-configured" };

const reasonOfLetter: Record<string, Plain> = {
  b: "reason.bad",
  m: "reason.missed",
  d: "reason.gatewayDown",
  t: "reason.thinned",
  f: "reason.bufferFull",
  k: "reason.diskFull",
  r: "reason.unreadable",
  g: "reason.discarded",
  w: "reason.onTheWay",
  n: "reason.undetermined",
};

const reasons: Record<string, Plain> = {
  missed: "reason.missed",
  "gateway-down": "reason.gatewayDown",
  thinned: "reason.thinned",
  "buffer-full": "reason.bufferFull",
  "disk-full": "reason.diskFull",
  unreadable: "reason.unreadable",
  discarded: "reason.discarded",
  "on-the-way": "reason.onTheWay",
  undetermined: "reason.undetermined",
};

const stateTexts: Record<QuarterState, Plain> = {
  complete: "quarter.complete",
  late: "quarter.late",
  incomplete: "quarter.incomplete",
  open: "quarter.open",
  unknown: "quarter.unknown",
  inconsistent: "quarter.inconsistent",
  "not-configured": "quarter.notConfigured",
};

export function stateOfLetter(letter: string): QuarterState {
  return states[letter] ?? "incomplete";
}

export function stateText(state: QuarterState): string {
  return t(stateTexts[state]);
}

/** Why a quarter-hour is incomplete; empty if it isn't. */
export function whyOfLetter(letter: string): string {
  return stateOfLetter(letter) === "incomplete" ? t(reasonOfLetter[letter] ?? "reason.other") : "";
}

/** A reason in words. */
export function reasonText(reason: string): string {
  const bad = /^bad \((.+)\)$/.exec(reason)?.[1];
  if (bad !== undefined) {
    return t("reason.badBecause", { reason: whyText(bad) });
  }
  const key = reasons[reason];
  return key ? t(key) : reason;
}

/** How many expected samples aren't stored. */
export function missingOf(tally: Tally): number {
  return tally.not_acquired + tally.lost + tally.on_the_way;
}
