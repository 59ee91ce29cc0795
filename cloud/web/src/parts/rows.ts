import type { RefObject } from "preact";
import { useEffect, useState } from "preact/hooks";

const overscan = 8;

/** A window on a long list: which rows to draw, and the height left out on either side. */
export interface Rows {
  first: number;
  end: number;
  above: number;
  below: number;
}

/** The rows of a list of count equal rows that the page, scrolled as it is, shows. */
export function useRows(list: RefObject<HTMLElement | null>, count: number): Rows {
  const [view, setView] = useState({ top: 0, height: 0, row: 40 });
  useEffect(() => {
    const look = () => {
      const box = list.current;
      if (box) {
        const row = parseFloat(getComputedStyle(box).getPropertyValue("--row")) * parseFloat(getComputedStyle(document.documentElement).fontSize);
        setView({ top: Math.floor(-box.getBoundingClientRect().top / row) * row, height: innerHeight, row });
      }
    };
    look();
    window.addEventListener("scroll", look, { passive: true });
    window.addEventListener("resize", look);
    return () => {
      window.removeEventListener("scroll", look);
      window.removeEventListener("resize", look);
    };
  }, [count]);
  const first = Math.min(Math.max(0, view.top / view.row - overscan), Math.max(0, count - 1));
  const end = Math.min(count, Math.ceil((view.top + view.height) / view.row) + overscan);
  return { first: Math.floor(first), end: Math.max(end, Math.floor(first)), above: Math.floor(first) * view.row, below: Math.max(0, count - end) * view.row };
}
