import { qualityText } from "../format";
import { t } from "../messages";
import { isGood } from "../model";

/** Nothing to see when good; an icon and the reason when not. */
export function Quality({ quality }: { quality: string }) {
  if (isGood(quality)) {
    return <span class="unseen">{t("quality.good")}</span>;
  }
  return (
    <span class="abnormal">
      <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
        <path d="M1.5 1.5h13v13h-13Z" fill="none" stroke="currentColor" stroke-width="1.5" stroke-dasharray="3 2" />
        <path d="m5 5 6 6M11 5l-6 6" stroke="currentColor" stroke-width="1.5" />
      </svg>
      {qualityText(quality)}
    </span>
  );
}
