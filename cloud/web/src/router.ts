import { signal } from "@preact/signals";

/** The path and query shown now. */
export const place = signal(new URL(location.href));

export function go(url: string): void {
  history.pushState(null, "", url);
  place.value = new URL(location.href);
}

/** Like go, for a change that isn't a step to go back to. */
export function amend(url: string): void {
  history.replaceState(null, "", url);
  place.value = new URL(location.href);
}

function follow(e: MouseEvent): void {
  const link = e.target instanceof Element ? e.target.closest("a") : null;
  const plain = e.button === 0 && !e.metaKey && !e.ctrlKey && !e.shiftKey && !e.altKey && !e.defaultPrevented;
  if (link && plain && link.origin === location.origin && !link.hash && !link.target) {
    e.preventDefault();
    go(link.href);
    window.scrollTo(0, 0);
  }
}

export function route(): void {
  document.addEventListener("click", follow);
  window.addEventListener("popstate", () => {
    place.value = new URL(location.href);
  });
}
