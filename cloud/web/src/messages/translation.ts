// What a catalogue of another language has to be.
import type en from "./en";

export type Key = keyof typeof en;

/** A text; by plural category (CLDR) where it depends on {n}. */
export type Text = string | ({ other: string } & Partial<Record<Intl.LDMLPluralRule, string>>);

declare const english: unique symbol;

/** A translation of the English text One, or of its two forms. Once they change it is no longer one, and the type checker says so. */
export type Of<One extends string, Other extends string = One> = Text & { readonly [english]?: [One, Other] };

type Translated<T> = T extends string ? Of<T> : T extends { one: infer One extends string; other: infer Other extends string } ? Of<One, Other> : never;

/** A whole catalogue, neither less nor more. */
export type Translation = { [K in Key]: Translated<(typeof en)[K]> };

type Form<T> = T extends string ? T : T[keyof T];
type Named<T> = T extends `${string}{${infer Name}}${infer Rest}` ? Name | Named<Rest> : never;
type Names<K extends Key> = Named<Form<(typeof en)[K]>>;

/** The texts with nothing to say in them. */
export type Plain = { [K in Key]: [Names<K>] extends [never] ? K : never }[Key];

/** What has to be said with a text: each {name} of it, and nothing where there is none. */
export type Args<K extends Key> = [Names<K>] extends [never] ? [] : [args: Record<Names<K>, string | number>];
