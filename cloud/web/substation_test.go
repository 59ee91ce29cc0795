package web

import (
	"math"
	"strings"
	"time"
)

type input struct {
	Series  int64    `json:"series"`
	Name    string   `json:"name"`
	Device  string   `json:"device"`
	Unit    string   `json:"unit"`
	Value   *float64 `json:"value"`
	State   string   `json:"state,omitempty"`
	Quality string   `json:"quality"`
	Time    int64    `json:"time_us"`
}

type transition struct {
	Seq     int64  `json:"seq"`
	At      int64  `json:"at_us"`
	Action  string `json:"action"`
	By      string `json:"by"`
	Comment string `json:"comment"`
}

type alarm struct {
	ID             string  `json:"id"`
	Gateway        string  `json:"gateway"`
	Site           string  `json:"site"`
	Rule           string  `json:"rule"`
	Asset          string  `json:"asset"`
	Device         string  `json:"device"`
	Priority       string  `json:"priority"`
	Summary        string  `json:"summary"`
	Active         bool    `json:"active"`
	Acknowledged   bool    `json:"acknowledged"`
	Raised         int64   `json:"raised_us"`
	Cleared        *int64  `json:"cleared_us"`
	Decided        int64   `json:"decided_us"`
	AcknowledgedAt *int64  `json:"acknowledged_us"`
	By             string  `json:"acknowledged_by"`
	Comment        string  `json:"comment"`
	Inputs         []input `json:"inputs"`
	Confirmed      int64   `json:"confirmed_us"`
	Version        string  `json:"rule_version"`
	Method         string  `json:"method"`
	Group          string  `json:"group"`
	FirstUp        string  `json:"first_up"`
	Captured       bool    `json:"captured"`
	Feeder         string  `json:"feeder"`
	SuppressedBy   string  `json:"suppressed_by"`
	Unannounced    bool    `json:"unannounced"`
	Chattered      int64   `json:"chattered_us"`

	Handling *handled `json:"handling"`

	history []transition
	capture *capture
}

type handled struct {
	State  string `json:"state"`
	Since  int64  `json:"since_us"`
	Until  *int64 `json:"until_us"`
	By     string `json:"by"`
	Reason string `json:"reason"`
}

type sample struct {
	Time    int64    `json:"t"`
	Value   *float64 `json:"v"`
	Quality string   `json:"q"`
	Text    string   `json:"text,omitempty"`
}

type capture struct {
	From    int64            `json:"from_us"`
	To      int64            `json:"to_us"`
	Signals []capturedSignal `json:"signals"`
}

type capturedSignal struct {
	Series    int64             `json:"series"`
	Device    string            `json:"device"`
	Name      string            `json:"name"`
	Unit      string            `json:"unit"`
	Kind      string            `json:"kind"`
	States    map[string]string `json:"states,omitempty"`
	Samples   []sample          `json:"samples"`
	Truncated bool              `json:"truncated"`
}

type latest struct {
	Series int64 `json:"series"`
	sample
}

type series struct {
	ID      int64   `json:"id"`
	Gateway string  `json:"gateway"`
	Device  string  `json:"device"`
	Name    string  `json:"name"`
	Unit    string  `json:"unit"`
	Asset   string  `json:"asset"`
	Kind    string  `json:"kind"`
	Latest  *sample `json:"latest"`

	States map[string]string `json:"states,omitempty"`
	Flags  map[string]string `json:"flags,omitempty"`
}

type counterChange struct {
	Series    int64   `json:"series"`
	Kind      string  `json:"kind"`
	Before    float64 `json:"before"`
	BeforeAt  int64   `json:"before_us"`
	After     float64 `json:"after"`
	AfterTime int64   `json:"after_us"`
	Modulus   float64 `json:"modulus"`
}

type total struct {
	Epochs     int    `json:"epochs"`
	Stream     string `json:"stream"`
	Received   int64  `json:"received"`
	Lost       int64  `json:"lost"`
	Missing    int64  `json:"missing"`
	Parked     int64  `json:"parked"`
	Duplicates int64  `json:"duplicates"`
}

type gateway struct {
	ID     string  `json:"id"`
	Site   string  `json:"site"`
	Zone   string  `json:"zone"`
	Last   int64   `json:"last_record_us"`
	Totals []total `json:"totals"`
	State  string  `json:"state"`
	Silent *int64  `json:"silent_us"`
	Every  int64   `json:"every_us"`
	Supply *int64  `json:"supply_failed_us"`
	Feeder string  `json:"feeder"`
	Uplink string  `json:"uplink"`
	Own    []any   `json:"own"`
}

// own is a series of a gateway's own, and its newest sample.
func own(id int64, gateway, name, unit string, value any, at int64, states map[string]string) map[string]any {
	latest := map[string]any{"t": at, "v": value, "q": "good"}
	if text, ok := value.(string); ok {
		latest["v"], latest["text"] = nil, text
	}
	of := map[string]any{"id": id, "gateway": gateway, "device": gateway, "name": name, "unit": unit, "asset": gateway, "kind": "gauge", "latest": latest}
	if states != nil {
		of["states"] = states
	}
	return of
}

var clockStates = map[string]string{"0": "unset", "1": "free-running", "2": "synchronised"}

// voltages are one sample a second around 230 V from a time on, with bad
// ones where bad says so.
func voltages(from int64, n int, bad func(i int) bool) []sample {
	all := make([]sample, n)
	for i := range all {
		all[i] = sample{Time: from + int64(i)*1_000_000, Quality: "good"}
		if bad(i) {
			all[i].Quality = "bad (timeout)"
		} else {
			all[i].Value = new(math.Round(2300+20*math.Sin(float64(i)/9)) / 10)
		}
	}
	return all
}

// substation fills the fake with a day at work: alarms in every state, series
// of every kind, a gateway that lost something.
func (f *fake) substation() {
	now := nowUs()
	f.series = []series{
		{ID: 1, Gateway: "north-gw1", Device: "feeder-2-head", Name: "PhV.phsA", Unit: "V", Asset: "feeder-2", Kind: "gauge"},
		{ID: 2, Gateway: "north-gw1", Device: "feeder-2-head", Name: "PhV.phsB", Unit: "V", Asset: "feeder-2", Kind: "gauge"},
		{ID: 3, Gateway: "north-gw1", Device: "feeder-2-head", Name: "TotW", Unit: "kW", Asset: "feeder-2", Kind: "gauge"},
		{ID: 4, Gateway: "north-gw1", Device: "feeder-2-head", Name: "DmdWh", Unit: "kW.h", Asset: "feeder-2", Kind: "counter"},
		{ID: 5, Gateway: "north-gw1", Device: "breaker-q1", Name: "Pos", Unit: "1", Asset: "feeder-2", Kind: "state",
			States: map[string]string{"0": "open", "1": "closed", "-1": "moving"}},
		{ID: 6, Gateway: "north-gw1", Device: "transformer-t1", Name: "HotSpotTmp", Unit: "Cel", Asset: "transformer-1", Kind: "gauge"},
		{ID: 7, Gateway: "north-gw1", Device: "transformer-t1", Name: "CoolingMode", Unit: "1", Asset: "transformer-1", Kind: "state"},
		{ID: 8, Gateway: "north-gw1", Device: "transformer-t1", Name: "OilLevel", Unit: "%", Asset: "transformer-1", Kind: "gauge"},
		{ID: 9, Gateway: "north-gw1", Device: "pv-inverter", Name: "Evt1", Unit: "1", Asset: "transformer-1", Kind: "state",
			Flags: map[string]string{"0": "GROUND_FAULT", "1": "DC_OVER_VOLT", "7": "OVER_TEMP", "40": "LATE"}},
	}
	start := now - 660_000_000
	f.store(1, voltages(start, 660, func(i int) bool { return i > 500 && i < 545 })...)
	phaseB := voltages(start+400_000, 660, func(int) bool { return false })
	for i := range phaseB[506:] {
		phaseB[506+i].Value = new(0.2)
	}
	f.store(2, phaseB...)
	f.store(3, voltages(start, 655, func(int) bool { return false })...)
	f.store(4, sample{Time: now - 4_000_000, Value: new(1834127.25), Quality: "good"})
	f.store(5, sample{Time: start, Value: new(1.0), Quality: "good"}, sample{Time: now - 90_000_000, Value: new(0.0), Quality: "good"})
	f.store(6, sample{Time: now - 75_000_000, Quality: "bad (not connected)"})
	f.store(7, sample{Time: now - 4_000_000, Quality: "good", Text: "ONAF"})

	f.store(9, sample{Time: start, Value: new(0.0), Quality: "good"}, sample{Time: now - 100_000_000, Value: new(129.0), Quality: "good"})
	f.counters = []counterChange{
		{Series: 4, Kind: "counter-rolled-over", Before: 999_999.5, BeforeAt: now - 86_401_000_000, After: 0.25, AfterTime: now - 86_400_000_000, Modulus: 1_000_000},
		{Series: 4, Kind: "counter-reset", Before: 2_100_412.5, BeforeAt: now - 301_000_000, After: 1_834_126, AfterTime: now - 300_000_000},
	}

	f.raise(alarm{ID: "a1", Rule: "feeder-dead", Asset: "feeder-2", Device: "feeder-2-head", Priority: "critical",
		Summary: "Feeder 2 is dead: no voltage on any phase, breaker open", Raised: now - 154_000_000,
		Confirmed: now - 153_000_000, Version: "3f2a9c1b", Method: "sampled", Group: "feeder-2-trip", FirstUp: "a1",
		Inputs: []input{
			{Series: 1, Name: "PhV.phsA", Device: "feeder-2-head", Unit: "V", Quality: "bad (timeout)", Time: now - 154_000_000},
			{Series: 2, Name: "PhV.phsB", Device: "feeder-2-head", Unit: "V", Value: new(0.2), Quality: "good", Time: now - 154_000_000},
			{Series: 5, Name: "Pos", Device: "breaker-q1", Unit: "1", Value: new(0.0), State: "open", Quality: "good", Time: now - 155_000_000},
		}})
	f.capture("a1", capture{From: now - 184_000_000, To: now - 124_000_000, Signals: []capturedSignal{
		{Series: 1, Device: "feeder-2-head", Name: "PhV.phsA", Unit: "V", Kind: "gauge", Samples: voltages(now-184_000_000, 60, func(i int) bool { return i > 30 }), Truncated: true},
		{Series: 5, Device: "breaker-q1", Name: "Pos", Unit: "1", Kind: "state", States: map[string]string{"0": "open", "1": "closed"}, Samples: []sample{
			{Time: now - 184_000_000, Value: new(1.0), Quality: "good"}, {Time: now - 155_000_000, Value: new(0.0), Quality: "good"}}},
	}})
	f.raise(alarm{ID: "a2", Rule: "over-temperature", Asset: "transformer-1", Device: "transformer-t1", Priority: "high",
		Summary: "Hot spot above 118 °C", Raised: now - 3_900_000_000, Group: "feeder-2-trip", FirstUp: "a1"})
	f.raise(alarm{ID: "a3", Rule: "unbalance", Asset: "feeder-7", Device: "feeder-7-head", Priority: "medium",
		Summary: "Voltage unbalance above 2 % for 10 min", Raised: now - 45_000_000,
		Inputs: []input{{Series: 3, Name: "TotW", Device: "feeder-2-head", Unit: "kW", Value: new(229.2), Quality: "good", Time: now - 45_000_000}}})
	f.raise(alarm{ID: "a4", Rule: "door", Asset: "station-4", Device: "door-contact-4", Priority: "low",
		Summary: "Station door open", Raised: now - 300_000_000})
	f.raise(alarm{ID: "a5", Rule: "feeder-dead", Asset: "feeder-9", Device: "feeder-9-head", Priority: "critical",
		Summary: "Feeder 9 is dead: no voltage on any phase", Raised: now - 90_000_000_000})
	f.raise(alarm{ID: "a6", Rule: "bus-silent", Asset: "station-4", Device: "bus-1", Priority: "medium",
		Summary: "No answer on the station bus", Raised: now - 7_200_000_000})
	f.clear("a3")
	f.acknowledge("a5", "Ana", "crew 3 is on the way, expected 04:10")
	f.clear("a6")
	f.acknowledge("a6", "Ben", "")

	f.gateways = []gateway{
		{ID: "north-gw1", Site: "North substation", Zone: "north", Last: now - 2_000_000, State: "heard", Every: 60_000_000, Feeder: "feeder-2", Uplink: "carrier-a",
			Own: []any{own(921, "north-gw1", "BufLeft", "s", 259_200.0, now-20_000_000, nil), own(922, "north-gw1", "BufUse", "By", 48_234_496.0, now-20_000_000, nil),
				own(923, "north-gw1", "ClkSt", "1", 2.0, now-900_000_000, clockStates), own(924, "north-gw1", "SwRev", "1", "v1.4.2", now-900_000_000, nil)},
			Totals: []total{
				{Stream: "telemetry", Received: 128_397, Lost: 3, Duplicates: 41},
				{Stream: "events", Received: 61},
			}},
		{ID: "south-gw1", Site: "South substation", Zone: "south", Last: now - 1_000_000, State: "heard", Every: 60_000_000,
			Own: []any{own(925, "south-gw1", "ClkSt", "1", 1.0, now-900_000_000, clockStates)},
			Totals: []total{
				{Stream: "telemetry", Received: 101_109, Missing: 12, Parked: 5},
			}},
	}

	yesterday := time.Now().UTC().AddDate(0, 0, -1).Truncate(24 * time.Hour)
	f.ledger = map[string][]ledgerDevice{yesterday.Format(time.DateOnly): yesterdayOf("north-gw1")}
	at := func(hour, minute int) int64 {
		return yesterday.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute).UnixMicro()
	}
	f.outages = []outage{
		{"telemetry", "down", at(9, 31), new(at(10, 2)), "connection refused by broker-1:9092"},
		{"backfill", "throttled", at(10, 2), new(at(10, 40)), "the broker's quota"},
		{"events", "down", at(9, 31), new(at(10, 2)), "connection refused by broker-1:9092"},
	}
}

// yesterdayOf is a day on which a gateway was down for an hour and its buffer
// was full for another.
func yesterdayOf(gateway string) []ledgerDevice {
	c := func(n int) string { return strings.Repeat("c", n) }
	return []ledgerDevice{
		{gateway, "breaker-q1", c(40) + "ll" + c(54)},
		{gateway, "feeder-1-head", c(96)},
		{gateway, "feeder-2-head", c(8) + "bbb" + c(27) + "ll" + c(20) + "tfff" + c(20) + "xx" + c(8) + "ww"},
		{gateway, "feeder-3-head", c(50) + "dddd" + c(42)},
		{gateway, "meter-with-a-rather-long-name-in-cellar-4", strings.Repeat("-", 20) + c(30) + "dddd" + c(40) + "uu"},
		{gateway, "transformer-t1", c(96)},
	}
}
