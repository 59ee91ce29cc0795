import type { Gateway } from "@busbar/client";
import { gateways, sumOf } from "../data/gateways";
import { t } from "../messages";
import { LanguageChoice } from "./LanguageChoice";
import { Age } from "./Times";

export function Footer() {
  const all = gateways.value;
  return (
    <footer>
      <h2>{t("gateways.label")}</h2>
      {all?.length === 0 ? (
        <p>{t("gateways.none")}</p>
      ) : (
        <ul>
          {all?.map((g) => (
            <Completeness key={g.id} gateway={g} />
          ))}
        </ul>
      )}
      <LanguageChoice />
    </footer>
  );
}

function Completeness({ gateway }: { gateway: Gateway }) {
  const sum = sumOf(gateway);
  return (
    <li data-testid="gateway" data-gateway={gateway.id}>
      <strong>{gateway.id}</strong>
      <span>{[gateway.site, gateway.zone].filter(Boolean).join(" · ")}</span>
      <span data-testid="gateway-received">{t("gateways.received", { n: sum.received })}</span>
      <span class={sum.lost > 0 ? "abnormal" : ""} data-testid="gateway-lost">
        {t("gateways.lost", { n: sum.lost })}
      </span>
      {(["missing", "parked"] as const).map(
        (what) =>
          sum[what] > 0 && (
            <span key={what} class="abnormal" data-testid={`gateway-${what}`}>
              {t(`gateways.${what}`, { n: sum[what] })}
            </span>
          ),
      )}
      <span data-testid="gateway-duplicates">{t("gateways.duplicates", { n: sum.duplicates })}</span>
      {gateway.last_record_us ? <LastRecord us={gateway.last_record_us} /> : null}
    </li>
  );
}

function LastRecord({ us }: { us: number }) {
  const [before, after] = t("gateways.last", { age: "\n" }).split("\n");
  return (
    <span>
      {before}
      <Age us={us} />
      {after}
    </span>
  );
}
