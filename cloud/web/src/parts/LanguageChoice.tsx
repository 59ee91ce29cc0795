import { choose, language, languages, autonym } from "../language";
import { t } from "../messages";

/** The console's language, each by what it calls itself. */
export function LanguageChoice() {
  return (
    <label class="language">
      {t("language.label")}
      <select
        data-testid="language"
        value={language}
        onChange={(e) => {
          const chosen = languages.find((one) => one === e.currentTarget.value);
          if (chosen) {
            choose(chosen);
          }
        }}
      >
        {languages.map((one) => (
          <option key={one} value={one} lang={one}>
            {autonym(one)}
          </option>
        ))}
      </select>
    </label>
  );
}
