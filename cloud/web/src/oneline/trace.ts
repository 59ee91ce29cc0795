// What of a feeder's drawing is connected to a source, as it is operated.
import type { Feeding, OneLine } from "@busbar/client";
import type { Position } from "../data/positions";

/** live: connected to its source, which is; back: to another feeder only; unknown: whether it is depends on what isn't known; dead: not. */
export type Supply = "live" | "back" | "unknown" | "dead";

/** Strongest first. */
const rank: readonly Supply[] = ["live", "back", "unknown", "dead"];

/**
 * The supply of each node of a drawing. of says of a branch or tie whether it
 * conducts, by its id; feeding whether what is above the uppermost node and beyond
 * ties has supply itself, and which busbars are measured to have none. What it
 * doesn't say isn't known.
 */
export function trace(drawing: OneLine, of: (id: string) => Position, feeding: Feeding | undefined): Supply[] {
  const nodes = drawing.nodes ?? [];
  const dead = new Set(feeding?.dead);
  const beyond = new Map((feeding?.ties ?? []).map((tie) => [tie.id, tie.supply]));
  const edges: { a: number; b: number; position: Position }[] = [];
  const supplied = new Set<number>();
  for (const b of drawing.branches ?? []) {
    edges.push({ a: b.from, b: b.to, position: of(b.id) });
    supplied.add(b.to);
  }
  const starts: { at: number; supply: Supply }[] = nodes.flatMap((_, at) => (supplied.has(at) ? [] : [{ at, supply: feeding?.source ?? "unknown" }]));
  for (const tie of drawing.ties ?? []) {
    const position = of(tie.id);
    if (tie.within >= 0) {
      edges.push({ a: tie.at, b: tie.within, position });
      continue;
    }
    const other = beyond.get(tie.id) ?? "unknown";
    const sure = position === "closed" && other === "live";
    starts.push({ at: tie.at, supply: sure ? "back" : position === "open" || other === "dead" ? "dead" : "unknown" });
  }
  const known: Supply[] = nodes.map(() => "dead");
  for (const as of rank.slice(0, 3)) {
    const next = starts.flatMap((s) => (s.supply === as ? [s.at] : []));
    if (as === "unknown") {
      // Beyond what isn't known, whatever supplies it.
      next.push(...edges.flatMap(({ a, b, position }) => (position !== "unknown" ? [] : known[a] !== "dead" ? [b] : known[b] !== "dead" ? [a] : [])));
    }
    for (let n = next.pop(); n !== undefined; n = next.pop()) {
      if (known[n] !== "dead" || dead.has(n)) {
        continue;
      }
      known[n] = as;
      for (const { a, b, position } of edges) {
        if ((a === n || b === n) && (position === "closed" || (position === "unknown" && as === "unknown"))) {
          next.push(a === n ? b : a);
        }
      }
    }
  }
  return known;
}
