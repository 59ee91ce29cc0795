// The texts of the console. A further language is a further file of the same
// keys; the type checker refuses a key that isn't there.
import en from "./messages/en.json";

export type Key = keyof typeof en;
export type Args = Record<string, string | number>;

type Text = string | { one: string; other: string };

const plural = new Intl.PluralRules("en");
const number = new Intl.NumberFormat(navigator.language);

/** The text of key with {name} replaced from args; args.n chooses the plural. */
export function t(key: Key, args: Args = {}): string {
  const entry: Text = en[key];
  const text = typeof entry === "string" ? entry : plural.select(Number(args["n"])) === "one" ? entry.one : entry.other;
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = args[name];
    return value === undefined ? whole : typeof value === "number" ? number.format(value) : value;
  });
}
