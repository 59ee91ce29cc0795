import type { AssetEntry } from "@busbar/client";
import { useEffect, useState } from "preact/hooks";
import { api, reasonOf } from "../api";
import { now } from "../clock";
import { timeText } from "../format";
import { coded, t } from "../messages";
import { Moment } from "../parts/Times";
import { generation } from "../stream";

/** What has happened to an asset, newest first. It is asked for anew when newer changes. */
export function Timeline({ id, newer }: { id: string; newer: string }) {
  const [list, setList] = useState<readonly AssetEntry[] | undefined>(undefined);
  const [next, setNext] = useState<string | null>(null);
  const [failure, setFailure] = useState("");
  const load = (cursor: string | null, current: () => boolean) => {
    api.timeline(id, cursor).then(
      (page) => {
        if (current()) {
          setList((before) => [...(cursor === null ? [] : (before ?? [])), ...(page.entries ?? [])]);
          setNext(page.next);
          setFailure("");
        }
      },
      (error: unknown) => current() && setFailure(t("page.failed", { reason: reasonOf(error) })),
    );
  };
  useEffect(() => {
    let current = true;
    load(null, () => current);
    return () => {
      current = false;
    };
  }, [id, newer, generation.value]);
  return (
    <>
      {failure && (
        <p class="failure" role="alert">
          {failure}
        </p>
      )}
      {!list && !failure && <p>{t("page.loading")}</p>}
      {list?.length === 0 && <p class="muted">{t("asset.noTimeline")}</p>}
      <ol class="history">
        {list?.map((e, i) => (
          <li key={`${e.kind} ${e.of} ${e.at_us} ${i}`} data-testid="asset-entry" data-kind={e.kind}>
            <Moment us={e.at_us} />
            <span class="muted">{t(`timeline.${e.kind}`)}</span>
            <strong>{actionText(e)}</strong>
            {e.by && <span>{t("action.by", { by: e.by })}</span>}
            <About of={e} />
            {e.since_us > 0 && <span class="muted">{t("timeline.since", { time: timeText(e.since_us, now.value) })}</span>}
            {e.comment && <q>{e.comment}</q>}
          </li>
        ))}
      </ol>
      {next !== null && (
        <p>
          <button onClick={() => load(next, () => true)} data-testid="timeline-older">
            {t("asset.older")}
          </button>
        </p>
      )}
    </>
  );
}

function About({ of: e }: { of: AssetEntry }) {
  const link = linkOf(e);
  return link ? <a href={link}>{e.text || e.of}</a> : <span>{e.text}</span>;
}

function linkOf(e: AssetEntry): string | undefined {
  switch (e.kind) {
    case "alarm":
      return `/alarms/${encodeURIComponent(e.of)}`;
    case "outage":
      return `/desk?outage=${encodeURIComponent(e.of)}`;
  }
  return undefined;
}

const groups = { alarm: "action", outage: "entry", planned: "plan.was", switching: "switching.was", call: "call", command: undefined, control: undefined, meter: "meter", quality: "disturbance" } as const;

/** What was done, in words where it has them: other programs may do what this one has no word for. */
function actionText(e: AssetEntry): string {
  const group = groups[e.kind];
  return group === undefined ? e.action : coded(group, e.action);
}
