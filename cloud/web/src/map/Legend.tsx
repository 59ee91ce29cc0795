// What the map's marks mean.
import { t } from "../messages";

const marks = {
  supplied: <circle cx="8" cy="8" r="6" class="mark" />,
  unknown: (
    <>
      <circle cx="8" cy="8" r="6" class="mark" stroke-dasharray="2.5 2" />
      <path d="M3.8 12.2 12.2 3.8M2.2 8.6 8.6 2.2M7.4 13.8 13.8 7.4" class="mark" />
    </>
  ),
  partly: <circle cx="8" cy="8" r="6" class="mark" stroke-dasharray="2.5 2" />,
  unsure: (
    <>
      <rect x="2" y="2" width="12" height="12" class="mark abnormal-mark" />
      <path d="M2 9 9 2M2 14 14 2M7 14 14 7" class="mark abnormal-mark" />
    </>
  ),
  out: <rect x="2" y="2" width="12" height="12" class="abnormal-filled" />,
  closed: <rect x="5" y="5" width="6" height="6" class="text-filled" />,
  open: <rect x="5" y="5" width="6" height="6" class="mark" />,
  moved: <rect x="3" y="3" width="10" height="10" class="mark abnormal-mark" stroke-width="2" />,
  tagged: <path d="M4 15V2l9 4-9 4" class="abnormal-filled abnormal-mark" stroke-width="2" />,
};

export function Legend() {
  return (
    <ul class="map-legend" aria-label={t("map.legend")} data-testid="map-legend">
      {(Object.keys(marks) as (keyof typeof marks)[]).map((name) => (
        <li key={name}>
          <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
            {marks[name]}
          </svg>
          {t(`map.mark.${name}`)}
        </li>
      ))}
    </ul>
  );
}
