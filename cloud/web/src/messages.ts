// The texts of the console in the language of whoever looks at it. English comes with the
// program, another language when it is used; docs/console.md says how to translate.
import { type Language, language, locale } from "./language";
import en from "./messages/en";
import type { Args, Key, Plain, Text, Translation } from "./messages/translation";

export type { Plain } from "./messages/translation";

const catalogues: Record<Exclude<Language, "en">, () => Promise<{ default: Translation }>> = {
  de: () => import("./messages/de"),
  nl: () => import("./messages/nl"),
};

// One that doesn't come, as after an update of the server, is no reason to show nothing.
const translation = language === "en" ? undefined : await catalogues[language]().then(
  (module) => module.default,
  () => undefined,
);

const texts: Record<Key, Text> = translation ?? en;
const spoken = translation ? language : "en";
document.documentElement.lang = spoken;

const plural = new Intl.PluralRules(spoken);
const number = new Intl.NumberFormat(locale);

/** Groups of texts whose last part is a code of the API. */
type Coded = "action" | "call" | "cause" | "command" | "disturbance" | "entry" | "evidence" | "failure" | "meter" | "plan.was" | "quality" | "remedy" | "switching.was";

/** What a code is called. One that there is no word for, as a newer server may have, is otherwise, by default itself. */
export function coded(group: Coded, code: string, otherwise = code): string {
  const key = `${group}.${code}`;
  return Object.hasOwn(en, key) ? t(key as Plain) : otherwise;
}

/** The text of key with each {name} replaced; n chooses the plural. */
export function t<K extends Key>(key: K, ...[given]: Args<K>): string {
  const args: Record<string, string | number | undefined> = given ?? {};
  const entry = texts[key];
  const text = typeof entry === "string" ? entry : (entry[plural.select(Number(args["n"]))] ?? entry.other);
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = args[name];
    return value === undefined ? whole : typeof value === "number" ? number.format(value) : value;
  });
}
