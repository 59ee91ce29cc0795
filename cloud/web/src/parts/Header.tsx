import { loaded, newest, unacknowledged } from "../data/alarms";
import { clockText } from "../format";
import { t } from "../messages";
import { priorities } from "../model";
import { place } from "../router";
import { signOut, signOutFailure, userName } from "../session";
import { link } from "../stream";
import { choose, theme, themes } from "../theme";
import { PriorityIcon } from "./Priority";
import { Sound } from "./Sound";

export function Header() {
  const at = place.value.pathname;
  return (
    <header class="top">
      <a class="skip" href="#content">
        {t("nav.skip")}
      </a>
      <div class="bar">
        <span class="brand">{t("app.name")}</span>
        <nav aria-label={t("nav.label")}>
          <a href="/overview" aria-current={at === "/overview" ? "page" : undefined}>
            {t("nav.overview")}
          </a>
          <a href="/desk" aria-current={at === "/desk" ? "page" : undefined}>
            {t("nav.desk")}
          </a>
          <a href="/" aria-current={at === "/" ? "page" : undefined}>
            {t("nav.alarms")}
          </a>
          <a href="/signals" aria-current={at === "/signals" ? "page" : undefined}>
            {t("nav.signals")}
          </a>
          <a href="/gateways" aria-current={at === "/gateways" ? "page" : undefined}>
            {t("nav.gateways")}
          </a>
          <a href="/completeness" aria-current={at === "/completeness" ? "page" : undefined}>
            {t("nav.completeness")}
          </a>
        </nav>
        <Counts />
        <Sound />
        <Connection />
        <ThemeChoice />
        <SignedIn />
      </div>
      <StaleBanner />
      <p class="unseen" role="status">
        {newest.value && t("alarms.announce", { priority: t(`priority.${newest.value.priority}`), summary: newest.value.summary })}
      </p>
      {signOutFailure.value && (
        <p class="failure" role="alert" data-testid="signout-error">
          {t("signin.stays", { reason: signOutFailure.value })}
        </p>
      )}
    </header>
  );
}

function Counts() {
  const counts = unacknowledged.value;
  return (
    <ul class="counts" aria-label={t("counts.label")}>
      {priorities.map((p) => {
        const text = loaded.value ? t("counts.one", { n: counts[p], priority: t(`priority.${p}`) }) : t("counts.unknown", { priority: t(`priority.${p}`) });
        return (
          <li key={p} data-testid={`count-${p}`} data-count={loaded.value ? counts[p] : undefined} title={text}>
            <PriorityIcon priority={p} quiet={counts[p] === 0} />
            <span aria-hidden="true">{loaded.value ? counts[p] : "?"}</span>
            <span class="unseen">{text}</span>
          </li>
        );
      })}
    </ul>
  );
}

function Connection() {
  const { state } = link.value;
  const text = link.value.state === "reconnecting" ? t("link.reconnecting", { time: clockText(link.value.sinceMs * 1000) }) : t(`link.${link.value.state}`);
  return (
    <span class={`connection ${state}`} role="status" data-testid="connection" data-state={state}>
      <span class="dot" aria-hidden="true" />
      {text}
    </span>
  );
}

function SignedIn() {
  const name = userName();
  return name === undefined ? null : (
    <span class="who">
      <span title={t("signin.as", { name })} data-testid="who">
        {name}
      </span>
      <button onClick={() => void signOut()} data-testid="signout">
        {t("signin.out")}
      </button>
    </span>
  );
}

function StaleBanner() {
  return link.value.state === "reconnecting" ? (
    <p class="stale-banner" data-testid="stale">
      {t("link.stale", { time: clockText(link.value.sinceMs * 1000) })}
    </p>
  ) : null;
}

function ThemeChoice() {
  return (
    <label class="theme">
      <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
        <circle cx="8" cy="8" r="6.5" fill="none" stroke="currentColor" stroke-width="1.5" />
        <path d="M8 2a6 6 0 0 1 0 12Z" fill="currentColor" />
      </svg>
      <span class="unseen">{t("theme.label")}</span>
      <select
        data-testid="theme"
        value={theme.value}
        onChange={(e) => {
          const chosen = themes.find((known) => known === e.currentTarget.value);
          if (chosen) {
            choose(chosen);
          }
        }}
      >
        {themes.map((known) => (
          <option key={known} value={known}>
            {t(`theme.${known}`)}
          </option>
        ))}
      </select>
    </label>
  );
}

/** The page's title, led by what is unacknowledged. */
export function titleOf(page: string): string {
  const counts = unacknowledged.value;
  const n = priorities.reduce((sum, p) => sum + counts[p], 0);
  const worst = priorities.find((p) => counts[p] > 0);
  const name = `${page} · ${t("app.name")}`;
  return worst ? t("counts.title", { n, priority: t(`priority.${worst}`).toLowerCase(), page: name }) : name;
}
