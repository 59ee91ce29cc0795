import { type AssetDetail, type Outage, Refusal } from "@busbar/client";
import { useEffect, useState } from "preact/hooks";
import { api, reasonOf } from "../api";
import { markOf } from "../data/alarms";
import { open } from "../data/outages";
import { switching, watchSwitching } from "../data/switching";
import { Said } from "../desk/Entries";
import { entry } from "../desk/Entry";
import { t } from "../messages";
import { OutageState } from "../parts/OutageIcon";
import { PriorityLabel } from "../parts/Priority";
import { Readings } from "../parts/Readings";
import { Moment } from "../parts/Times";
import { Recent } from "../plot/Recent";
import { mayAcknowledge } from "../session";
import { generation } from "../stream";
import { Health } from "./Health";
import { Timeline } from "./Timeline";

const spanUs = 3_600_000_000;
const mostPlotted = 8;

export function AssetPage({ id }: { id: string }) {
  const [asset, setAsset] = useState<AssetDetail | undefined>(undefined);
  const [outages, setOutages] = useState<readonly Outage[] | undefined>(undefined);
  const [failure, setFailure] = useState("");
  const outagesNow = open.value.flatMap((o) => (o.feeder === asset?.feeder ? [o.id, o.revision] : [])).join();
  useEffect(() => {
    let current = true;
    api
      .asset(id)
      .then(async (detail) => {
        const list = detail.feeder ? await api.outagesOf(detail.feeder) : [];
        if (current) {
          setAsset(detail);
          setOutages(list);
          setFailure("");
        }
      })
      .catch((error: unknown) => {
        if (current) {
          setFailure(error instanceof Refusal && error.status === 404 ? t("asset.missing", { id }) : t("page.failed", { reason: reasonOf(error) }));
        }
      });
    return () => {
      current = false;
    };
  }, [id, generation.value, markOf(id), outagesNow]);
  if (!asset) {
    return (
      <>
        <h1 tabIndex={-1}>{id}</h1>
        <p role="status">{failure || t("page.loading")}</p>
      </>
    );
  }
  return <Detail asset={asset} outages={outages ?? []} />;
}

function Detail({ asset, outages }: { asset: AssetDetail; outages: readonly Outage[] }) {
  const series = asset.series ?? [];
  const operable = asset.kind === "switch" || asset.kind === "line" || asset.kind === "transformer";
  const said = switching.value?.get(asset.id);
  const changes = `${markOf(asset.id)} ${outages.map((o) => o.revision).join()} ${said?.at_us}`;
  useEffect(() => watchSwitching(), [generation.value]);
  const plotted = series.filter((s) => s.latest === null || s.latest.text === undefined).slice(0, mostPlotted);
  return (
    <article class="detail" data-testid="asset" data-asset={asset.id}>
      <div class="detail-head">
        <h1 tabIndex={-1}>{asset.name || asset.id}</h1>
        <p>{[t(`kind.${asset.kind}`), asset.type, asset.name ? asset.id : ""].filter(Boolean).join(" · ")}</p>
        {mayAcknowledge() && operable && (
          <button onClick={() => (entry.value = { what: "operate", asset: asset.id })} data-testid="asset-operate">
            {t("switching.title")}
          </button>
        )}
        {mayAcknowledge() && (operable || asset.kind === "service_point") && (
          <button onClick={() => (entry.value = { what: "plan", devices: asset.id })} data-testid="asset-plan">
            {t("plan.title")}
          </button>
        )}
        {mayAcknowledge() && asset.kind === "service_point" && (
          <button onClick={() => (entry.value = { what: "call", point: asset.id })} data-testid="asset-call">
            {t("call.title")}
          </button>
        )}
      </div>
      <div class="panels">
        <section class="panel" aria-labelledby="a-supply">
          <h2 id="a-supply">{t("asset.supply")}</h2>
          {operable && (
            <p data-testid="asset-switching">
              {!switching.value ? <span class="muted">{t("asset.switchingUnknown")}</span> : said ? <Said of={said} /> : t("asset.normal")}
            </p>
          )}
          <dl class="facts">
            {asset.feeder && (
              <>
                <dt>{t("outage.feeder")}</dt>
                <dd>
                  <a href={`/feeders/${encodeURIComponent(asset.feeder)}`}>{asset.feeder}</a>
                </dd>
              </>
            )}
            {(["zone", "substation", "transformer"] as const).map(
              (key) =>
                asset[key] && (
                  <>
                    <dt>{t(`kind.${key}`)}</dt>
                    <dd>
                      <a href={`/network/${encodeURIComponent(asset[key])}`}>{asset[key]}</a>
                    </dd>
                  </>
                ),
            )}
            <dt>{t("asset.behind")}</dt>
            <dd>{t("outage.customers", { n: asset.behind.customers })}</dd>
            {Object.entries(asset.properties).map(([key, value]) => (
              <>
                <dt>{key}</dt>
                <dd>{value}</dd>
              </>
            ))}
          </dl>
          <p>
            {t("asset.way")}{" "}
            {(asset.supplied_by ?? []).map((ref, i) => (
              <>
                {i > 0 && " ← "}
                <a href={`/network/${encodeURIComponent(ref.id)}`}>{ref.name || ref.id}</a>
              </>
            ))}
            {(asset.supplied_by ?? []).length === 0 && t("asset.noWay")}
          </p>
        </section>
        <section class="panel" aria-labelledby="a-alarms">
          <h2 id="a-alarms">{t("alarms.title")}</h2>
          {(asset.alarms ?? []).length === 0 && <p class="muted">{t("alarms.none")}</p>}
          <ul class="evidence">
            {(asset.alarms ?? []).map((a) => (
              <li key={a.id}>
                <PriorityLabel priority={a.priority} quiet={a.acknowledged} /> <a href={`/alarms/${encodeURIComponent(a.id)}`}>{a.summary}</a> <Moment us={a.raised_us} />
              </li>
            ))}
          </ul>
          <h2>{t("asset.outages")}</h2>
          {outages.length === 0 && <p class="muted">{t("outage.none")}</p>}
          <ul class="evidence">
            {outages.map((o) => (
              <li key={o.id}>
                <OutageState outage={o} /> <a href={`/desk?outage=${encodeURIComponent(o.id)}`}>{o.device_name || o.device || t("outage.deviceUnknown")}</a> <Moment us={o.began_us} />{" "}
                {t("outage.outOf", { n: o.customers_out, of: o.customers })}
              </li>
            ))}
          </ul>
        </section>
        <section class="panel" aria-labelledby="a-signals">
          <h2 id="a-signals">{t("signals.title")}</h2>
          {series.length === 0 && <p>{t("asset.unmeasured")}</p>}
          <Readings
            series={series}
            name={(s) => (
              <>
                {s.device} <strong>{s.name}</strong>
              </>
            )}
          />
        </section>
        <section class="panel wide" aria-labelledby="a-health">
          <h2 id="a-health">{t("health.title")}</h2>
          <Health id={asset.id} newer={changes} />
        </section>
        <section class="panel wide" aria-labelledby="a-timeline">
          <h2 id="a-timeline">{t("outage.timeline")}</h2>
          <Timeline id={asset.id} newer={changes} />
        </section>
        <section class="panel wide" aria-labelledby="a-plots">
          <h2 id="a-plots">{t("asset.plots")}</h2>
          <Recent
            series={plotted}
            spanUs={spanUs}
            name={(s) => `${s.device} ${s.name}`}
            marks={(asset.alarms ?? []).map((a) => ({ atUs: a.raised_us, label: a.summary }))}
          />
        </section>
      </div>
    </article>
  );
}
