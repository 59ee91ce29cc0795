import type { Often, Performance, Shelf, Standing, Verdict } from "@busbar/client";
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { api, reasonOf } from "../api";
import { now, nowUs } from "../clock";
import { durationText, minuteText, numberText, timeText } from "../format";
import { t } from "../messages";
import { PriorityLabel } from "../parts/Priority";
import { Age, Moment } from "../parts/Times";
import { generation } from "../stream";

const dayUs = 86_400_000_000;
const spans = [1, 7, 30] as const;

export function PerformancePage() {
  const [days, setDays] = useState<number>(1);
  const [report, failure] = useReport(days);
  return (
    <>
      <div class="heading">
        <h1 tabIndex={-1}>{t("performance.title")}</h1>
        <div class="chips" role="group" aria-label={t("performance.span")}>
          {spans.map((n) => (
            <button key={n} aria-pressed={days === n} onClick={() => setDays(n)} data-testid={`span-${n}`}>
              {t("performance.days", { n })}
            </button>
          ))}
        </div>
      </div>
      {failure && (
        <p class="failure" role="alert">
          {failure}
        </p>
      )}
      {report ? <Report report={report} /> : !failure && <p class="empty">{t("page.loading")}</p>}
    </>
  );
}

function useReport(days: number): [Performance | undefined, string] {
  const [loaded] = useState(() => signal<Performance | undefined>(undefined));
  const [failure, setFailure] = useState("");
  useEffect(() => {
    let current = true;
    const to = Math.floor(nowUs());
    api.performance(to - days * dayUs, to).then(
      (report) => {
        if (current) {
          loaded.value = report;
          setFailure("");
        }
      },
      (error: unknown) => {
        if (current) {
          setFailure(t("page.failed", { reason: reasonOf(error) }));
        }
      },
    );
    return () => {
      current = false;
    };
  }, [days, generation.value]);
  return [loaded.value, failure];
}

function Report({ report: r }: { report: Performance }) {
  const csv = `/api/v1/alarm-performance/table?from_us=${r.from_us}&to_us=${r.to_us}`;
  return (
    <>
      <p class="report-head">
        {t("performance.sum", { n: r.annunciated, from: timeText(r.from_us, now.peek()), to: timeText(r.to_us, now.peek()) })}{" "}
        <a href={csv} download target="_self">
          {t("performance.csv")}
        </a>
      </p>
      <div class="panels">
        <section class="panel" aria-labelledby="figures">
          <h2 id="figures">{t("performance.figures", { targets: r.targets })}</h2>
          <Verdicts list={r.verdicts ?? []} />
        </section>
        <section class="panel" aria-labelledby="hours">
          <h2 id="hours">{t("performance.hours")}</h2>
          <Hours report={r} />
          <p>{t("performance.windows", { over: r.over, windows: r.windows, peak: r.peak.count })}</p>
          <p>{t("performance.fleeting", { n: r.fleeting })}</p>
        </section>
        <section class="panel" aria-labelledby="split">
          <h2 id="split">{t("performance.split")}</h2>
          <ul class="split">
            {(r.priorities ?? []).map((s) => (
              <li key={s.priority}>
                <PriorityLabel priority={s.priority} quiet={s.count === 0} />
                <span>{t("performance.share", { n: s.count, share: percent(s.share) })}</span>
              </li>
            ))}
          </ul>
        </section>
        <section class="panel" aria-labelledby="floods">
          <h2 id="floods">{t("performance.floods")}</h2>
          <ul class="lines">
            {(r.floods ?? []).map((f) => (
              <li key={f.began_us}>
                <Moment us={f.began_us} /> {f.ended_us === null ? t("performance.floodGoesOn", { n: f.count, peak: f.peak }) : t("performance.flood", { lasting: durationText(f.ended_us - f.began_us), n: f.count, peak: f.peak })}
              </li>
            ))}
          </ul>
          {(r.floods ?? []).length === 0 && <p class="muted">{t("performance.none")}</p>}
        </section>
        <Conditions id="top" title={t("performance.top")} list={r.top ?? []} />
        <Conditions id="chattering" title={t("performance.chattering")} list={r.chattering ?? []} />
        <section class="panel" aria-labelledby="standing">
          <h2 id="standing">{t("performance.standing")}</h2>
          <Standings list={r.stale ?? []} />
        </section>
        <section class="panel" aria-labelledby="shelved">
          <h2 id="shelved">{t("performance.shelved")}</h2>
          <Shelves list={r.shelved ?? []} />
        </section>
      </div>
    </>
  );
}

function percent(share: number): string {
  return `${numberText(Math.round(share * 1000) / 10)} %`;
}

const shares = new Set(["over-share", "flood-share", "top-10-share", "urgent-share", "medium-share"]);

function Verdicts({ list }: { list: readonly Verdict[] }) {
  const shown = (figure: string, value: number) => (shares.has(figure) ? percent(value) : numberText(Math.round(value * 100) / 100));
  return (
    <table class="verdicts">
      <thead>
        <tr>
          <th scope="col">{t("performance.figure")}</th>
          <th scope="col">{t("performance.value")}</th>
          <th scope="col">{t("performance.target")}</th>
          <th scope="col">{t("performance.verdict")}</th>
        </tr>
      </thead>
      <tbody>
        {list.map((v) => (
          <tr key={v.figure} data-testid="verdict" data-figure={v.figure} data-met={v.met}>
            <th scope="row">{t(`figure.${v.figure}`)}</th>
            <td>{shown(v.figure, v.value)}</td>
            <td>{v.target === null ? "–" : shown(v.figure, v.target)}</td>
            <td class={v.met ? "" : "abnormal"}>{v.target === null ? "" : t(v.met ? "performance.met" : "performance.missed")}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const chart = { width: 600, height: 120 };

/** Annunciations an hour as bars; the tallest one is told below. */
function Hours({ report }: { report: Performance }) {
  const hours = report.hours ?? [];
  const most = hours.reduce((n, h) => Math.max(n, h.count), 0);
  const width = chart.width / Math.max(1, hours.length);
  const busiest = hours.find((h) => h.count === most);
  return (
    <figure>
      <svg viewBox={`0 0 ${chart.width} ${chart.height}`} class="hours" preserveAspectRatio="none" aria-hidden="true">
        {hours.map((h, i) => (
          <rect key={h.from_us} x={i * width} width={Math.max(1, width * 0.85)} y={chart.height - (h.count / Math.max(1, most)) * chart.height} height={(h.count / Math.max(1, most)) * chart.height} />
        ))}
      </svg>
      <figcaption>{most === 0 || !busiest ? t("performance.quiet") : t("performance.busiest", { n: most, time: `${timeText(busiest.from_us, now.peek())}–${minuteText(busiest.from_us + 3_600_000_000)}` })}</figcaption>
    </figure>
  );
}

function Conditions({ id, title, list }: { id: string; title: string; list: readonly Often[] }) {
  return (
    <section class="panel" aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {list.length === 0 ? (
        <p class="muted">{t("performance.none")}</p>
      ) : (
        <ul class="lines" data-testid={`list-${id}`}>
          {list.map((c) => (
            <li key={[c.gateway, c.rule, c.asset, c.device].join("\n")}>
              <PriorityLabel priority={c.priority} quiet /> {placeOf(c)} <strong>{t("performance.share", { n: c.count, share: percent(c.share) })}</strong>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function placeOf(c: { rule: string; asset: string; device: string; gateway: string }): string {
  return [c.rule, c.asset, c.device, c.gateway].filter(Boolean).join(" · ");
}

function Standings({ list }: { list: readonly Standing[] }) {
  return list.length === 0 ? (
    <p class="muted">{t("performance.none")}</p>
  ) : (
    <ul class="lines">
      {list.map((s) => (
        <li key={s.alarm}>
          <PriorityLabel priority={s.priority} quiet />{" "}
          <a href={`/alarms/${encodeURIComponent(s.alarm)}`}>{placeOf(s)}</a> <Age us={s.raised_us} />
        </li>
      ))}
    </ul>
  );
}

function Shelves({ list }: { list: readonly Shelf[] }) {
  return list.length === 0 ? (
    <p class="muted">{t("performance.none")}</p>
  ) : (
    <ul class="lines" data-testid="list-shelved">
      {list.map((s) => (
        <li key={s.alarm}>
          <PriorityLabel priority={s.priority} quiet />{" "}
          <a href={`/alarms/${encodeURIComponent(s.alarm)}`}>{placeOf(s)}</a>{" "}
          {t(s.until_us === null ? "performance.outSince" : "performance.shelvedSince", { age: durationText(now.value - s.since_us), by: s.by, reason: s.reason })}
        </li>
      ))}
    </ul>
  );
}
