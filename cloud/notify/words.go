package notify

import (
	"cmp"
	"maps"
	"slices"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/telemetry"
)

// words are what mails say in a language, beside what rules and people have written.
type words struct {
	more string // how many changes there are more; of the format %d

	priorities map[telemetry.Priority]string
	actions    map[alarm.Action]string

	asset, device, site, gateway, rule, comment string
}

var languages = map[string]words{
	"en": {
		more:       "and %d more",
		priorities: map[telemetry.Priority]string{telemetry.Critical: "critical", telemetry.High: "high", telemetry.Medium: "medium", telemetry.Low: "low"},
		actions: map[alarm.Action]string{alarm.Raised: "raised", alarm.Cleared: "cleared", alarm.Acknowledged: "acknowledged", alarm.Updated: "updated",
			alarm.Shelved: "shelved", alarm.Unshelved: "unshelved", alarm.OutOfService: "out-of-service", alarm.InService: "in-service",
			alarm.Suppressed: "suppressed", alarm.Unsuppressed: "unsuppressed", Unattended: "unacknowledged"},
		asset: "asset", device: "device", site: "site", gateway: "gateway", rule: "rule", comment: "comment",
	},
	"de": {
		more:       "und %d weitere",
		priorities: map[telemetry.Priority]string{telemetry.Critical: "kritisch", telemetry.High: "hoch", telemetry.Medium: "mittel", telemetry.Low: "niedrig"},
		actions: map[alarm.Action]string{alarm.Raised: "gekommen", alarm.Cleared: "gegangen", alarm.Acknowledged: "quittiert", alarm.Updated: "geändert",
			alarm.Shelved: "zurückgestellt", alarm.Unshelved: "wieder vorgelegt", alarm.OutOfService: "außer Betrieb", alarm.InService: "in Betrieb",
			alarm.Suppressed: "unterdrückt", alarm.Unsuppressed: "nicht mehr unterdrückt", Unattended: "unquittiert"},
		asset: "Betriebsmittel", device: "Gerät", site: "Standort", gateway: "Gateway", rule: "Regel", comment: "Kommentar",
	},
	"nl": {
		more:       "en nog %d",
		priorities: map[telemetry.Priority]string{telemetry.Critical: "kritiek", telemetry.High: "hoog", telemetry.Medium: "midden", telemetry.Low: "laag"},
		actions: map[alarm.Action]string{alarm.Raised: "opgekomen", alarm.Cleared: "voorbij", alarm.Acknowledged: "bevestigd", alarm.Updated: "gewijzigd",
			alarm.Shelved: "opgeschort", alarm.Unshelved: "opschorting beëindigd", alarm.OutOfService: "buiten gebruik", alarm.InService: "in gebruik",
			alarm.Suppressed: "onderdrukt", alarm.Unsuppressed: "niet meer onderdrukt", Unattended: "onbevestigd"},
		asset: "component", device: "apparaat", site: "locatie", gateway: "gateway", rule: "regel", comment: "opmerking",
	},
}

// Languages are those that mails can be in, by their tags after BCP 47.
func Languages() []string { return slices.Sorted(maps.Keys(languages)) }

func (m Mail) words() words { return languages[cmp.Or(m.Language, "en")] }
