import { loaded as alarmsLoaded, unacknowledged } from "../data/alarms";
import { gateways, sumOf } from "../data/gateways";
import { customersOut, failure, loaded, open } from "../data/outages";
import { now } from "../clock";
import { durationText } from "../format";
import { t } from "../messages";
import { priorities } from "../model";
import { OutageState } from "../parts/OutageIcon";
import { PriorityIcon } from "../parts/Priority";
import { link } from "../stream";

/** Grey until something is abnormal. */
export function OverviewPage() {
  const live = link.value.state === "live";
  const list = gateways.value;
  const silent = (list ?? []).filter((g) => g.state === "silent");
  const unsaid = (list ?? []).filter((g) => g.state === "unknown");
  const missing = (list ?? []).filter((g) => sumOf(g).missing + sumOf(g).parked > 0);
  const states = new Map<string, (typeof open.value)[number][]>();
  for (const o of open.value) {
    states.set(o.state, [...(states.get(o.state) ?? []), o]);
  }
  return (
    <>
      <div class="heading">
        <h1 tabIndex={-1}>{t("overview.title")}</h1>
      </div>
      <div class={`panels overview${live ? "" : " stale"}`}>
        <section class="panel" aria-labelledby="o-out">
          <h2 id="o-out">{t("overview.supply")}</h2>
          {loaded.value ? (
            <p class={`big${customersOut.value > 0 ? " abnormal" : ""}`} data-testid="overview-out">
              {t("outage.out", { n: customersOut.value })}
            </p>
          ) : (
            <p class="big muted" data-testid="overview-out">
              {failure.value ? t("page.failed", { reason: failure.value }) : t("overview.unknown")}
            </p>
          )}
          <ul>
            {[...states].map(([state, group]) => (
              <li key={state}>{group[0] && <OutageState outage={group[0]} />} {group.length}</li>
            ))}
          </ul>
          <p>
            <a href="/desk">{t("nav.desk")}</a>
          </p>
        </section>
        <section class="panel" aria-labelledby="o-alarms">
          <h2 id="o-alarms">{t("overview.alarms")}</h2>
          {alarmsLoaded.value ? (
            <ul class="overview-priorities">
              {priorities.map((p) => (
                <li key={p} data-testid={`overview-${p}`}>
                  <PriorityIcon priority={p} quiet={unacknowledged.value[p] === 0} /> {t("overview.unacknowledged", { n: unacknowledged.value[p], priority: t(`priority.${p}`) })}
                </li>
              ))}
            </ul>
          ) : (
            <p class="big muted" data-testid="overview-alarms-unknown">
              {t("overview.unknown")}
            </p>
          )}
          <p>
            <a href="/">{t("nav.alarms")}</a>
          </p>
        </section>
        <section class="panel" aria-labelledby="o-gateways">
          <h2 id="o-gateways">{t("overview.gateways")}</h2>
          {list ? (
            <>
              <p class={`big${silent.length > 0 ? " abnormal" : ""}`} data-testid="overview-silent">
                {t("overview.silent", { n: silent.length, of: list.length })}
              </p>
              <ul>
                {silent.slice(0, 20).map((g) => (
                  <li key={g.id}>
                    <a href={`/gateways/${encodeURIComponent(g.id)}`}>{g.id}</a> <span class="muted">{g.last_record_us === 0 ? t("overview.never") : t("gateways.last", { age: durationText(now.value - g.last_record_us) })}</span>
                  </li>
                ))}
              </ul>
              {unsaid.length > 0 && <p data-testid="overview-unsaid">{t("overview.unsaid", { n: unsaid.length })}</p>}
              {missing.length > 0 && <p class="abnormal">{t("overview.missing", { n: missing.length })}</p>}
            </>
          ) : (
            <p class="big muted">{t("overview.unknown")}</p>
          )}
          <p>
            <a href="/gateways">{t("nav.gateways")}</a>
          </p>
        </section>
        <section class="panel" aria-labelledby="o-system">
          <h2 id="o-system">{t("overview.system")}</h2>
          <p class={`big${live ? "" : " abnormal"}`}>{live ? t("overview.live") : t("overview.notLive")}</p>
          {!live && <p>{t("overview.stale")}</p>}
        </section>
      </div>
    </>
  );
}
