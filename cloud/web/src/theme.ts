import { signal } from "@preact/signals";
import { keep, recall } from "./kept";

export const themes = ["system", "light", "dark"] as const;
export type Theme = (typeof themes)[number];

export const theme = signal<Theme>(themes.find((known) => known === recall("theme")) ?? "system");

/** Counts changes of the colours, whether chosen here or by the system. */
export const repaint = signal(0);

export function choose(chosen: Theme): void {
  keep("theme", chosen);
  theme.value = chosen;
  document.documentElement.dataset["theme"] = chosen;
  repaint.value++;
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  repaint.value++;
});
