import { t } from "../messages";
import type { Priority } from "../model";

const shapes: Record<Priority, string> = {
  critical: "M12 1 23 12 12 23 1 12Z",
  high: "M12 1.5 23.5 22H.5Z",
  medium: "M2.5 2.5h19v19h-19Z",
  low: "M12 1.5a10.5 10.5 0 1 0 0 21 10.5 10.5 0 1 0 0-21Z",
};

const letterAt: Record<Priority, number> = { critical: 16.5, high: 19, medium: 16.5, low: 16.5 };

/** A priority by shape, letter and colour; quiet takes the colour away. */
export function PriorityIcon({ priority, quiet = false }: { priority: Priority; quiet?: boolean }) {
  return (
    <svg class={`shape ${priority}${quiet ? " quiet" : ""}`} viewBox="0 0 24 24" width="24" height="24" aria-hidden="true">
      <path d={shapes[priority]} />
      <text x="12" y={letterAt[priority]} text-anchor="middle">
        {t(`letter.${priority}`)}
      </text>
    </svg>
  );
}

export function PriorityLabel({ priority, quiet = false }: { priority: Priority; quiet?: boolean }) {
  return (
    <span class="priority-label">
      <PriorityIcon priority={priority} quiet={quiet} />
      {t(`priority.${priority}`)}
    </span>
  );
}
