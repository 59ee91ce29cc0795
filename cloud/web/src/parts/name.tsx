import { type JSX } from "preact";
import { useRef } from "preact/hooks";
import { keep, recall } from "../kept";
import { t } from "../messages";
import { userName } from "../session";

/** Who does something: who has signed in, or whoever says a name, which is asked for by a field and known the next time. */
export interface Name {
  field: JSX.Element;
  /** Puts the focus where a name is missing, and says whether one is. */
  missing(): boolean;
  said(): string;
  keep(): void;
}

export function useName(): Name {
  const input = useRef<HTMLInputElement>(null);
  const user = userName();
  const said = () => user ?? input.current?.value.trim() ?? "";
  return {
    field:
      user === undefined ? (
        <label>
          {t("ack.name")}
          <input ref={input} name="by" required autoComplete="name" maxLength={80} defaultValue={recall("name")} data-testid="ack-name" />
        </label>
      ) : (
        <p>{t("signin.as", { name: user })}</p>
      ),
    missing: () => {
      if (said() === "") {
        input.current?.focus();
        return true;
      }
      return false;
    },
    said,
    keep: () => {
      if (user === undefined) {
        keep("name", said());
      }
    },
  };
}
