import { mute, muted, sounding, waiting } from "../data/sound";
import { t } from "../messages";

/** Whether this console sounds, and a button that changes it. */
export function Sound() {
  const text = muted.value ? t("sound.off") : waiting.value && sounding.value ? t("sound.waiting") : t("sound.on");
  return (
    <button class="sound" aria-pressed={!muted.value} title={text} onClick={() => mute(!muted.value)} data-testid="sound" data-sounding={sounding.value ?? ""}>
      <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
        <path d="M2 6h3l4-3.5v11L5 10H2Z" fill="currentColor" />
        <path d={muted.value ? "M11 6l4 4m0-4-4 4" : "M11.5 5.5a4 4 0 0 1 0 5M13 3.5a7 7 0 0 1 0 9"} fill="none" stroke="currentColor" stroke-width="1.4" />
      </svg>
      <span class="unseen">{text}</span>
    </button>
  );
}
