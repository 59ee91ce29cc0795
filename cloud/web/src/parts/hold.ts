import type { RefObject } from "preact";
import { useEffect, useState } from "preact/hooks";

const restMs = 10_000;

/**
 * Whether a list has to keep its order for now, because someone may be about
 * to act on a row: the pointer moved or a key was pressed in it within the last
 * seconds, or its head is scrolled out of sight.
 */
export function useHold(list: RefObject<HTMLElement | null>): [held: boolean, release: () => void] {
  const [touched, setTouched] = useState(false);
  const [scrolled, setScrolled] = useState(false);

  useEffect(() => {
    const box = list.current;
    if (!box) {
      return;
    }
    let timer: ReturnType<typeof setTimeout> | undefined;
    const touch = () => {
      clearTimeout(timer);
      timer = setTimeout(leave, restMs);
      setTouched(true);
    };
    const leave = () => {
      clearTimeout(timer);
      setTouched(false);
    };
    const scroll = () => {
      const header = document.querySelector("header");
      setScrolled(box.getBoundingClientRect().top < (header?.getBoundingClientRect().bottom ?? 0));
    };
    box.addEventListener("pointermove", touch);
    box.addEventListener("pointerdown", touch);
    box.addEventListener("pointerleave", leave);
    box.addEventListener("keydown", touch);
    window.addEventListener("scroll", scroll, { passive: true });
    return () => {
      clearTimeout(timer);
      box.removeEventListener("pointermove", touch);
      box.removeEventListener("pointerdown", touch);
      box.removeEventListener("pointerleave", leave);
      box.removeEventListener("keydown", touch);
      window.removeEventListener("scroll", scroll);
    };
  }, []);

  const release = () => {
    window.scrollTo(0, 0);
    setTouched(false);
    setScrolled(false);
  };
  return [touched || scrolled, release];
}
