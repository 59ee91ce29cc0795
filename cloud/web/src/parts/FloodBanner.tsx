import { floods } from "../data/flood";
import { clockText } from "../format";
import { t } from "../messages";

/** Says that more alarms ask for attention than people can attend to, and offers the view that is made for it. */
export function FloodBanner({ grouped, choose }: { grouped: boolean; choose(grouped: boolean): void }) {
  if (floods.value.length === 0) {
    return null;
  }
  return (
    <div class="flood" role="status" data-testid="flood">
      <ul>
        {floods.value.map(({ zone, flood, last_10_min }) => (
          <li key={zone}>
            <strong>{zone ? t("flood.inZone", { zone }) : t("flood.title")}</strong>{" "}
            {flood && t("flood.since", { time: clockText(flood.began_us), n: flood.count, last: last_10_min })}
          </li>
        ))}
      </ul>
      <div class="chips" role="group" aria-label={t("flood.view")}>
        <button aria-pressed={grouped} onClick={() => choose(true)} data-testid="view-grouped">
          {t("flood.grouped")}
        </button>
        <button aria-pressed={!grouped} onClick={() => choose(false)} data-testid="view-single">
          {t("flood.single")}
        </button>
      </div>
    </div>
  );
}
