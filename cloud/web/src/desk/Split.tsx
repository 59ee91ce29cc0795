import { useState } from "preact/hooks";
import { keep, recall } from "../kept";
import { t } from "../messages";

/** A share in percent that a person sets, kept in this browser. */
export function useShare(name: string, first: number): [share: number, set: (share: number) => void] {
  const [share, setShare] = useState(() => Number(recall(`desk.${name}`)) || first);
  return [
    share,
    (wanted) => {
      const next = Math.round(Math.min(80, Math.max(15, wanted)));
      keep(`desk.${name}`, String(next));
      setShare(next);
    },
  ];
}

/** What is between two panes: it moves by pointer and by arrow keys. */
export function Separator({ label, vertical, share, set, controls }: { label: "desk.splitLeft" | "desk.splitRight" | "desk.splitList"; vertical: boolean; share: number; set: (share: number) => void; controls: string }) {
  const drag = (e: PointerEvent) => {
    const bar = e.currentTarget as HTMLElement;
    const box = bar.parentElement?.getBoundingClientRect();
    if (bar.hasPointerCapture(e.pointerId) && box) {
      const at = vertical ? ((e.clientX - box.left) / box.width) * 100 : ((e.clientY - box.top) / box.height) * 100;
      set(label === "desk.splitRight" ? 100 - at : at);
    }
  };
  const key = (e: KeyboardEvent) => {
    const grow = label === "desk.splitRight" ? ["ArrowLeft"] : ["ArrowRight", "ArrowDown"];
    const shrink = label === "desk.splitRight" ? ["ArrowRight"] : ["ArrowLeft", "ArrowUp"];
    const by = grow.includes(e.key) ? 2 : shrink.includes(e.key) ? -2 : 0;
    if (by !== 0) {
      e.preventDefault();
      e.stopPropagation();
      set(share + by);
    }
  };
  return (
    <div
      class={`separator ${vertical ? "vertical" : "horizontal"}`}
      role="separator"
      tabIndex={0}
      aria-label={t(label)}
      aria-orientation={vertical ? "vertical" : "horizontal"}
      aria-valuenow={share}
      aria-valuemin={15}
      aria-valuemax={80}
      aria-controls={controls}
      data-testid={label}
      onPointerDown={(e) => (e.currentTarget as HTMLElement).setPointerCapture(e.pointerId)}
      onPointerMove={drag}
      onKeyDown={key}
    />
  );
}
