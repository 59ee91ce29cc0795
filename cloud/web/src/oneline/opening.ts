// What an outage says of its device.
import type { Outage } from "@busbar/client";
import type { Standing } from "../data/outages";

/**
 * Whether the device is open; undefined: the outage doesn't say. One that was told to be closed
 * after the outage was found, since, is open no more if a part of what was out has supply again; if
 * none has, it isn't known. As in what feeds a feeder, which has what is still out behind it.
 */
export function opening(o: Pick<Outage, "class" | "points" | "points_out" | "found_us">, standing: Standing, closed: number | undefined): "open" | "unknown" | undefined {
  if (standing === "back" || o.class === "phase-loss") {
    return undefined;
  }
  if (standing === "unsure") {
    return "unknown";
  }
  if (closed === undefined || closed <= o.found_us) {
    return "open";
  }
  return o.points_out < o.points ? undefined : "unknown";
}

/** What outages say of their devices; of several of one the surer. */
export function openings(of: readonly { device: string; says: "open" | "unknown" | undefined }[]): Map<string, "open" | "unknown"> {
  const lost = new Map<string, "open" | "unknown">();
  for (const { device, says } of of) {
    if (says && lost.get(device) !== "open") {
      lost.set(device, says);
    }
  }
  return lost;
}
