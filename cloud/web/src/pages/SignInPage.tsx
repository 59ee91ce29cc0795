import { Refusal } from "@busbar/client";
import { useEffect, useRef, useState } from "preact/hooks";
import { reasonOf } from "../api";
import { t } from "../messages";
import { signIn } from "../session";

export function SignInPage() {
  const name = useRef<HTMLInputElement>(null);
  const password = useRef<HTMLInputElement>(null);
  const [failure, setFailure] = useState("");
  const [sending, setSending] = useState(false);

  useEffect(() => name.current?.focus(), []);

  const submit = async (e: SubmitEvent) => {
    e.preventDefault();
    const empty = [name, password].find((field) => !field.current?.value);
    if (empty) {
      setFailure(t("signin.incomplete"));
      empty.current?.focus();
      return;
    }
    setSending(true);
    setFailure("");
    try {
      await signIn(name.current?.value ?? "", password.current?.value ?? "");
    } catch (error) {
      setFailure(error instanceof Refusal && error.status === 401 ? t("signin.wrong") : t("signin.failed", { reason: reasonOf(error) }));
      setSending(false);
      password.current?.select();
    }
  };

  return (
    <main id="content" class="signin">
      <form class="panel" noValidate onSubmit={(e) => void submit(e)}>
        <p class="brand">{t("app.name")}</p>
        <h1>{t("signin.title")}</h1>
        <label>
          {t("signin.name")}
          <input ref={name} name="name" required autoComplete="username" autoCapitalize="none" spellcheck={false} data-testid="signin-name" />
        </label>
        <label>
          {t("signin.password")}
          <input ref={password} name="password" type="password" required autoComplete="current-password" data-testid="signin-password" />
        </label>
        <p class="abnormal" role="alert" data-testid="signin-error">
          {failure}
        </p>
        <button type="submit" class="primary" disabled={sending} data-testid="signin-submit">
          {t(sending ? "signin.sending" : "signin.submit")}
        </button>
      </form>
    </main>
  );
}
