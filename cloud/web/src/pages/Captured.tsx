import type { AlarmDetail, CaptureAnswerBody as Capture, CapturedSignal } from "@busbar/client";
import { useEffect, useState } from "preact/hooks";
import { api, reasonOf } from "../api";
import { now } from "../clock";
import { timeText } from "../format";
import { t } from "../messages";
import type { Mark } from "../plot/paint";
import { byUnit } from "../plot/line";
import { Plot } from "../plot/Plot";
import { generation } from "../stream";

/** What the gateway measured before and after it raised the alarm, one plot a unit. */
export function Captured({ alarm, marks }: { alarm: AlarmDetail; marks: readonly Mark[] }) {
  const [capture, failure] = useCapture(alarm.id);
  if (!capture) {
    return <p role={failure ? "alert" : "status"}>{failure ? t("page.failed", { reason: failure }) : t("page.loading")}</p>;
  }
  const signals = capture.signals ?? [];
  const short = signals.filter((s) => s.truncated);
  return (
    <>
      <p>{t("captured.span", { from: timeText(capture.from_us, now.value), to: timeText(capture.to_us, now.value) })}</p>
      {[...byUnit(signals)].map(([unit, group]) => (
        <Plot
          key={unit}
          fromUs={capture.from_us}
          toUs={capture.to_us}
          marks={marks.filter((m) => m.atUs >= capture.from_us && m.atUs <= capture.to_us)}
          lines={group.map(lineOf)}
        />
      ))}
      {short.map((s) => (
        <p key={`${s.device} ${s.name}`}>{t("captured.truncated", { name: `${s.device} ${s.name}` })}</p>
      ))}
    </>
  );
}

function lineOf(s: CapturedSignal) {
  return { name: `${s.device} ${s.name}`, unit: s.unit, stepped: s.kind === "state", names: s, samples: s.samples ?? [] };
}

/** It is loaded again at every connect: a gateway may tell of it anew. */
function useCapture(id: string): [Capture | undefined, string] {
  const [loaded, setLoaded] = useState<{ id: string; capture: Capture } | undefined>(undefined);
  const [failure, setFailure] = useState("");
  useEffect(() => {
    let current = true;
    api.capture(id).then(
      (capture) => {
        if (current) {
          setLoaded({ id, capture });
          setFailure("");
        }
      },
      (error: unknown) => {
        if (current) {
          setFailure(reasonOf(error));
        }
      },
    );
    return () => {
      current = false;
    };
  }, [id, generation.value]);
  return [loaded?.id === id ? loaded.capture : undefined, failure];
}
