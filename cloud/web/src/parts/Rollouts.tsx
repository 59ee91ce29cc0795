import type { Rollout } from "@busbar/client";
import { useEffect, useState } from "preact/hooks";
import { api, reasonOf } from "../api";
import { t } from "../messages";
import { generation, link } from "../stream";
import { Age, Moment } from "./Times";

const everyMs = 10_000;

/** How versions have come to gateways, the one tried last first; nothing if none was. */
export function Rollouts() {
  const [list, setList] = useState<readonly Rollout[]>([]);
  const [failure, setFailure] = useState("");
  useEffect(() => {
    let current = true;
    const load = () =>
      void api.rollouts().then(
        (got) => {
          if (current) {
            setList(got);
            setFailure("");
          }
        },
        (error: unknown) => {
          if (current) {
            setFailure(t("page.failed", { reason: reasonOf(error) }));
          }
        },
      );
    load();
    const timer = setInterval(() => {
      if (link.value.state === "live") {
        load();
      }
    }, everyMs);
    return () => {
      current = false;
      clearInterval(timer);
    };
  }, [generation.value]);
  const failed = failure && <p role="status">{failure}</p>;
  if (list.length === 0) {
    return failed || null;
  }
  return (
    <section class="panel" aria-labelledby="rollouts">
      <h2 id="rollouts">{t("rollouts.title")}</h2>
      {failed}
      <ul class="rollouts">
        {list.map((r) => (
          <li key={r.version} data-testid="rollout" data-version={r.version}>
            <strong>{r.version}</strong>{" "}
            {r.paused && <span class="abnormal">{t("rollouts.paused")}</span>} {t("rollouts.counts", { tried: r.tried, confirmed: r.confirmed, back: r.rolled_back })}{" "}
            <span class="muted">
              <Moment us={r.last_us} /> (<Age us={r.last_us} />)
            </span>
            <ul>
              {(r.zones ?? []).map((z) => (
                <li key={z.zone}>
                  {z.zone || t("rollouts.noZone")}: {t("rollouts.counts", { tried: z.tried, confirmed: z.confirmed, back: z.rolled_back })}
                </li>
              ))}
            </ul>
          </li>
        ))}
      </ul>
    </section>
  );
}
