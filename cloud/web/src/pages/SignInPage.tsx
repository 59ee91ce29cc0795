import { Refusal, type SignInMethods } from "@busbar/client";
import { useEffect, useRef, useState } from "preact/hooks";
import { api, reasonOf } from "../api";
import { t } from "../messages";
import { LanguageChoice } from "../parts/LanguageChoice";
import { place } from "../router";
import { signIn, turnedAway } from "../session";

const askAgainMs = 10_000;

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
        <Provider />
        <LanguageChoice />
      </form>
    </main>
  );
}

/** Signing in by the OpenID Connect provider, if there is one. */
function Provider() {
  const [provider, setProvider] = useState<SignInMethods["oidc"]>();
  const [reason] = useState(turnedAway);

  useEffect(() => {
    let timer: number | undefined;
    const ask = async () => {
      try {
        const found = (await api.methods()).oidc;
        setProvider(found);
        if (found?.reachable !== false) {
          return;
        }
      } catch {
        // The server may be back later.
      }
      timer = window.setTimeout(() => void ask(), askAgainMs);
    };
    void ask();
    return () => window.clearTimeout(timer);
  }, []);

  if (!provider) {
    return null;
  }
  const back = place.value.pathname + place.value.search;
  const problem = reason ? t(`signin.oidc.${reason}`, { name: provider.name }) : "";
  return (
    <div class="provider">
      <p class="abnormal" role="alert" data-testid="signin-provider-error">
        {problem}
      </p>
      {/* It leads elsewhere, which is no matter of this page's. */}
      <a class="button" href={api.signInThere(back)} target="_self" data-testid="signin-provider">
        {t("signin.by", { name: provider.name })}
      </a>
      <p class="abnormal" role="status" data-testid="signin-provider-state">
        {!provider.reachable && reason !== "unreachable" && t("signin.oidc.unreachable", { name: provider.name })}
      </p>
    </div>
  );
}
