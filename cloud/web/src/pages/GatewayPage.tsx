import type { Command, Gateway, LinkOutage } from "@busbar/client";
import { useEffect, useState } from "preact/hooks";
import { api, reasonOf } from "../api";
import { nowUs } from "../clock";
import { gateways, ownOf } from "../data/gateways";
import { tick } from "../data/series";
import { durationText } from "../format";
import { coded, t } from "../messages";
import { Readings } from "../parts/Readings";
import { Moment } from "../parts/Times";
import { Recent } from "../plot/Recent";
import { generation } from "../stream";
import { BufferLeft, BufferUse, Clock, Data, GatewayState, Heard, Version } from "./GatewaysPage";

const dayUs = 86_400_000_000;

export function GatewayPage({ id }: { id: string }) {
  const list = gateways.value;
  const g = list?.find((one) => one.id === id);
  return g ? (
    <Detail of={g} />
  ) : (
    <>
      <h1 tabIndex={-1}>{id}</h1>
      <p role="status">{t(list ? "fleet.missing" : "page.loading", { id })}</p>
    </>
  );
}

interface Known {
  links: readonly LinkOutage[];
  commands: readonly Command[];
}

function useKnown(id: string): [Known | undefined, string] {
  const [known, setKnown] = useState<Known | undefined>(undefined);
  const [failure, setFailure] = useState("");
  useEffect(() => {
    let current = true;
    const to = nowUs();
    Promise.all([api.outages(id, Math.floor(to - dayUs), Math.ceil(to)), api.commands(id)]).then(
      ([links, commands]) => {
        if (current) {
          setKnown({ links, commands });
          setFailure("");
        }
      },
      (error: unknown) => current && setFailure(t("page.failed", { reason: reasonOf(error) })),
    );
    return () => {
      current = false;
    };
  }, [id, generation.value]);
  return [known, failure];
}

function Detail({ of: g }: { of: Gateway }) {
  const [known, failure] = useKnown(g.id);
  tick.value;
  const plotted = (["BufUse", "BufLeft"] as const).flatMap((name) => ownOf(g, name) ?? []);
  const rows: [string, preact.ComponentChildren][] = [
    [t("fleet.state"), <GatewayState of={g} />],
    [t("fleet.heard"), <Heard of={g} />],
    [t("fleet.every"), g.every_us > 0 ? durationText(g.every_us) : <span class="muted">{t("fleet.unknown")}</span>],
    [t("fleet.clock"), <Clock of={g} />],
    [t("fleet.buffer"), <BufferUse of={g} />],
    [t("fleet.left"), <BufferLeft of={g} />],
    [t("fleet.version"), <Version of={g} />],
    [t("fleet.site"), g.site || "–"],
    [t("kind.zone"), g.zone || "–"],
    [t("outage.feeder"), g.feeder ? <a href={`/network/${encodeURIComponent(g.feeder)}`}>{g.feeder}</a> : <span class="muted">{t("fleet.unknown")}</span>],
    [t("fleet.uplink"), g.uplink || <span class="muted">{t("fleet.unknown")}</span>],
  ];
  return (
    <article class="detail" data-testid="gateway-detail" data-gateway-id={g.id}>
      <p>
        <a href="/gateways">{t("fleet.title")}</a>
      </p>
      <div class="detail-head">
        <h1 tabIndex={-1}>{g.id}</h1>
      </div>
      {failure && (
        <p class="failure" role="alert">
          {failure}
        </p>
      )}
      <div class="panels">
        <section class="panel" aria-labelledby="g-facts">
          <h2 id="g-facts">{t("fleet.facts")}</h2>
          <dl class="facts">
            {rows.map(([what, is]) => (
              <>
                <dt>{what}</dt>
                <dd>{is}</dd>
              </>
            ))}
          </dl>
        </section>
        <section class="panel" aria-labelledby="g-data">
          <h2 id="g-data">{t("gateways.label")}</h2>
          <p>
            <Data of={g} />
          </p>
          <ul class="evidence">
            {(g.totals ?? []).map((total) => (
              <li key={total.stream}>
                <strong>{t(`stream.${total.stream}`)}</strong>{" "}
                {[
                  t("gateways.received", { n: total.received }),
                  t("gateways.lost", { n: total.lost }),
                  t("gateways.missing", { n: total.missing }),
                  t("gateways.duplicates", { n: total.duplicates }),
                  t("fleet.starts", { n: total.epochs }),
                ].join(", ")}
              </li>
            ))}
          </ul>
          <p>
            <a href={`/completeness?gateway=${encodeURIComponent(g.id)}`}>{t("fleet.quarters")}</a>
          </p>
        </section>
        <section class="panel" aria-labelledby="g-own">
          <h2 id="g-own">{t("fleet.own")}</h2>
          {(g.own ?? []).length === 0 && <p class="muted">{t("fleet.noOwn")}</p>}
          <Readings series={g.own ?? []} name={(s) => <strong>{s.name}</strong>} />
        </section>
        <section class="panel wide" aria-labelledby="g-links">
          <h2 id="g-links">{t("fleet.links")}</h2>
          {known?.links.length === 0 && <p>{t("completeness.noOutage")}</p>}
          <ul class="evidence">
            {known?.links.map((o) => (
              <li key={`${o.stream} ${o.from_us}`}>
                <strong>{t(`stream.${o.stream}`)}</strong> <span class={o.to_us === null ? "abnormal" : ""}>{t(`link.${o.state}`)}</span> <Moment us={o.from_us} /> –{" "}
                {o.to_us === null ? t("fleet.goesOn") : <Moment us={o.to_us} />} <span class="muted">{o.cause}</span>
              </li>
            ))}
          </ul>
          <h3>{t("fleet.commands")}</h3>
          {known?.commands.length === 0 && <p>{t("performance.none")}</p>}
          <ul class="evidence">
            {known?.commands.map((c) => (
              <li key={c.id}>
                <strong>{coded("command", c.kind)}</strong> <span class={c.state === "refused" || c.state === "expired" ? "abnormal" : "muted"}>{t(`fleet.command.${c.state}`)}</span>{" "}
                {c.issued_us !== null && <Moment us={c.issued_us} />} <span class="muted">{[c.by, c.cause].filter(Boolean).join(": ")}</span>
              </li>
            ))}
          </ul>
        </section>
        {plotted.length > 0 && (
          <section class="panel wide" aria-labelledby="g-plots">
            <h2 id="g-plots">{t("fleet.day")}</h2>
            <Recent series={plotted} spanUs={dayUs} name={(s) => s.name} />
          </section>
        )}
      </div>
    </article>
  );
}
