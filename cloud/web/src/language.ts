// The language of the console and how its dates and numbers are written.
import { keep, recall } from "./kept";

export const languages = ["en", "de", "nl"] as const;
export type Language = (typeof languages)[number];

function languageOf(tag: string): Language | undefined {
  return languages.find((one) => one === tag.split("-")[0]?.toLowerCase());
}

/** What was chosen here, else the first of the browser's languages that the console has. */
export const language: Language = languageOf(recall("language")) ?? navigator.languages.map(languageOf).find((one) => one !== undefined) ?? "en";

/** As the browser's region writes it, where that has the language. */
export const locale: string = navigator.languages.find((tag) => languageOf(tag) === language) ?? language;

/** What a language calls itself. */
export function autonym(one: Language): string {
  return new Intl.DisplayNames(one, { type: "language" }).of(one) ?? one;
}

/** Begins anew in another language, at the same place. */
export function choose(one: Language): void {
  keep("language", one);
  location.reload();
}
