// What of a feeder's drawing is connected to a source, as it is operated.
import type { OneLine } from "@busbar/client";
import type { Position } from "../data/positions";

/** live: connected to its source; back: to another feeder only; unknown: whether it is depends on what isn't known; dead: not. */
export type Supply = "live" | "back" | "unknown" | "dead";

/**
 * The supply of each node of a drawing. of says of a branch or tie whether it
 * conducts, by its id. That the source and other feeders are live is assumed.
 */
export function trace(drawing: OneLine, of: (id: string) => Position): Supply[] {
  const nodes = drawing.nodes ?? [];
  const edges: { a: number; b: number; position: Position }[] = [];
  const supplied = new Set<number>();
  for (const b of drawing.branches ?? []) {
    edges.push({ a: b.from, b: b.to, position: of(b.id) });
    supplied.add(b.to);
  }
  const sources = nodes.flatMap((_, i) => (supplied.has(i) ? [] : [i]));
  const others: { at: number; position: Position }[] = [];
  for (const tie of drawing.ties ?? []) {
    if (tie.within >= 0) {
      edges.push({ a: tie.at, b: tie.within, position: of(tie.id) });
    } else {
      others.push({ at: tie.at, position: of(tie.id) });
    }
  }
  const known: Supply[] = nodes.map(() => "dead");
  const spread = (from: number[], as: Supply, may: readonly Position[]) => {
    const next = from.filter((n) => known[n] === "dead");
    next.forEach((n) => (known[n] = as));
    for (let n = next.pop(); n !== undefined; n = next.pop()) {
      for (const { a, b, position } of edges) {
        const other = a === n ? b : b === n ? a : -1;
        if (other >= 0 && may.includes(position) && known[other] === "dead") {
          known[other] = as;
          next.push(other);
        }
      }
    }
  };
  const sure: readonly Position[] = ["closed"];
  spread(sources, "live", sure);
  spread(
    others.flatMap((o) => (o.position === "closed" ? [o.at] : [])),
    "back",
    sure,
  );
  // Beyond what isn't known, whatever supplies it.
  const beyond = edges.flatMap(({ a, b, position }) => (position !== "unknown" ? [] : known[a] !== "dead" ? [b] : known[b] !== "dead" ? [a] : []));
  spread([...beyond, ...others.flatMap((o) => (o.position === "unknown" ? [o.at] : []))], "unknown", ["closed", "unknown"]);
  return known;
}
