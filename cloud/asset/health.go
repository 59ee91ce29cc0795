// Package asset tells how an asset of the network does, by what is measured of it and kept
// about it. It makes no score of that.
package asset

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Why says why something isn't known; "": it is.
type Why string

const (
	NotApplicable Why = "not-applicable" // such an asset has none
	NotMeasured   Why = "not-measured"   // nothing measures it
	NotHeard      Why = "not-heard"      // no gateway that measures it is heard
	NoSamples     Why = "no-samples"     // none of the period are kept
	NoAccount     Why = "no-account"     // gateways haven't accounted for what was expected
	NoRating      Why = "no-rating"      // the model doesn't say what it is rated for
	NoNominal     Why = "no-nominal"     // the model doesn't say its nominal voltage, or what is measured is of another one
	TooMany       Why = "too-many"       // it has more signals than are summed up, and those that were have no samples
	Uncertain     Why = "uncertain"      // it depends on what isn't known
)

// AssetHealth is what is known of an asset. Periods end at AsOf.
type AssetHealth struct {
	Asset         string             `json:"asset"`
	AsOf          telemetry.Micros   `json:"as_of_us"`
	Supply        AssetSupply        `json:"supply"`
	Communication AssetCommunication `json:"communication"`
	Completeness  AssetCompleteness  `json:"completeness"`
	Quality       AssetQuality       `json:"quality"`
	Alarms        AssetAlarms        `json:"alarms"`
	Interruptions AssetInterruptions `json:"interruptions"`
	Operations    AssetOperations    `json:"operations"`
	Voltage       AssetVoltage       `json:"voltage"`
	Loading       AssetLoading       `json:"loading"`
}

// AssetSupply is whether it has supply, as the network is operated.
type AssetSupply struct {
	Unknown Why      `json:"unknown" enum:"not-applicable,not-heard,uncertain," doc:"Why it isn't known; empty: it is. not-heard: nothing is heard of the service point; uncertain: a position, or a source's voltage, isn't known, an outage isn't confirmed, or what is heard of the service point isn't good or of the last hour"`
	State   string   `json:"state" enum:"live,part,dead," doc:"part: one of its ends has it, or some of its nodes; empty: not known"`
	Outages []string `json:"outages" doc:"Of a service point: the outages that go on in which it is, or may be, without supply, as far as they are seen"`
}

// AssetCommunication is whether what measures it is heard.
type AssetCommunication struct {
	Unknown   Why               `json:"unknown" enum:"not-measured,"`
	Signals   int               `json:"signals" doc:"That are measured of it"`
	Valueless int               `json:"valueless" doc:"Of these, how many have no value yet"`
	Gateways  int               `json:"gateways" doc:"That measure them"`
	Heard     int               `json:"heard" doc:"Of these, how many say how often they can be heard, and are"`
	Newest    *telemetry.Micros `json:"newest_us" doc:"The time of the newest value of any signal, whatever its quality; null: none has one"`
	Oldest    *telemetry.Micros `json:"oldest_us" doc:"Of the signals' newest values the oldest time. States and what has a deadband tell changes only"`
}

// AssetCompleteness is what became of the samples that were expected of the devices that measure
// it: of all signals of those that were looked at.
type AssetCompleteness struct {
	Unknown   Why              `json:"unknown" enum:"not-measured,no-account,"`
	From      telemetry.Micros `json:"from_us"`
	To        telemetry.Micros `json:"to_us"`
	Devices   int              `json:"devices" doc:"That measure it"`
	Looked    int              `json:"devices_looked_at" doc:"Of these, the first 8"`
	Accounted int              `json:"accounted" doc:"Quarter-hours with an account, of the devices that were looked at"`
	Quarters  int              `json:"quarter_hours" doc:"Of the devices that were looked at"`
	Expected  uint64           `json:"expected" doc:"Samples, in the quarter-hours with an account"`
	Present   uint64           `json:"present" doc:"Of these, stored with a value, or read and left out by a deadband"`
}

// AssetQuality is how many samples are of good quality.
type AssetQuality struct {
	Unknown Why              `json:"unknown" enum:"not-measured,no-samples,"`
	From    telemetry.Micros `json:"from_us"`
	Signals int              `json:"signals" doc:"That were looked at: at most 32, those of voltage and loading first"`
	Of      int              `json:"signals_of" doc:"That are measured of it"`
	Samples int64            `json:"samples" doc:"Of these, that are stored"`
	Good    int64            `json:"good"`
}

// AssetAlarms counts those whose asset it is.
type AssetAlarms struct {
	Unknown   Why              `json:"unknown" enum:"not-measured," doc:"not-measured: and there has never been one"`
	Active    int64            `json:"active"`
	Month     int64            `json:"raised_30d"`
	Year      int64            `json:"raised_365d"`
	MonthFrom telemetry.Micros `json:"from_30d_us"`
	YearFrom  telemetry.Micros `json:"from_365d_us"`
}

// AssetInterruptions are, of a service point, the times that it was without supply, and of a line,
// switch, transformer or feeder the outages in which it had opened, or that were on it.
// Momentary ones of a service point lasted at most 5 min (IEEE 1366). Those of dismissed
// outages don't count.
type AssetInterruptions struct {
	Unknown   Why              `json:"unknown" enum:"not-applicable,"`
	From      telemetry.Micros `json:"from_us" doc:"365 days ago"`
	Sustained int64            `json:"sustained" doc:"Those that go on included"`
	Momentary int64            `json:"momentary"`
	Planned   int64            `json:"planned" doc:"Among both, how many were planned switching"`
	Minutes   *float64         `json:"minutes" doc:"Of a service point: how long all of them took"`
}

// AssetOperations counts how often a switch was opened or closed.
type AssetOperations struct {
	Unknown   Why               `json:"unknown" enum:"not-applicable,not-measured," doc:"not-measured: and nobody has said a position"`
	Month     int64             `json:"changes_30d" doc:"Between open and closed, as measured or said. Those of which both positions fell between two samples aren't seen"`
	Year      int64             `json:"changes_365d"`
	Since     *telemetry.Micros `json:"since_us" doc:"Of the last position before these 365 days, or else of the first one in them; null: none is known"`
	Counter   *float64          `json:"counter" doc:"OpCnt, which the device counts itself; null: it isn't measured in good quality"`
	CounterAt *telemetry.Micros `json:"counter_us"`
}

// AssetVoltage is how much of the last week the voltage was outside of 10 % around its nominal
// value, by means of Interval. It isn't a statistic of EN 50160, which is of devices that
// measure without gaps.
type AssetVoltage struct {
	Unknown   Why              `json:"unknown" enum:"not-measured,no-samples,no-nominal,too-many,"`
	From      telemetry.Micros `json:"from_us"`
	Interval  telemetry.Micros `json:"interval_us" doc:"Ten minutes, or wider where these aren't kept"`
	Nominal   float64          `json:"nominal_v" doc:"Between phases"`
	Signals   int              `json:"signals"`
	Intervals int              `json:"intervals" doc:"Of all signals, those with values"`
	Of        int              `json:"intervals_of" doc:"In the week, of all signals"`
	Without   int              `json:"without" doc:"Of these, with no voltage: at most 5 % of the nominal one"`
	Outside   int              `json:"outside" doc:"Of the others, those outside of the band"`
	Least     *float64         `json:"least_pu" doc:"The least mean of these others, of the nominal voltage; null: there are none"`
	Most      *float64         `json:"most_pu"`
}

// AssetLoading is the greatest mean of the last week of a current, or of the apparent power,
// against what it is rated for.
type AssetLoading struct {
	Unknown   Why              `json:"unknown" enum:"not-applicable,not-measured,no-samples,no-rating,too-many,"`
	From      telemetry.Micros `json:"from_us"`
	Interval  telemetry.Micros `json:"interval_us" doc:"Ten minutes, or wider where these aren't kept"`
	Rated     float64          `json:"rated"`
	Unit      string           `json:"unit" enum:"A,V.A,"`
	Peak      float64          `json:"peak"`
	PeakAt    telemetry.Micros `json:"peak_us" doc:"When that interval began"`
	Signal    string           `json:"signal" example:"A.phsA"`
	Intervals int              `json:"intervals" doc:"Of all signals, those with values"`
	Of        int              `json:"intervals_of" doc:"In the week, of all signals"`
}

const (
	day  = telemetry.Micros(24 * time.Hour / time.Microsecond)
	week = 7 * day
)

// mostSignals bounds the signals of an asset that are listed, mostSummed those whose
// samples are summed up, and mostDevices those whose accounts are read.
const (
	mostSignals = 1000
	mostSummed  = 32
	mostDevices = 8
)

// look is what is gathered about one asset.
type look struct {
	store  *store.Store
	net    *network.Network
	id     string
	row    store.GridAsset
	now    telemetry.Micros
	series []store.Series
	heard  map[string]bool // by gateway that is heard
	out    AssetHealth
}

// HealthOf is what is known of an asset at a time. ErrNoAsset: there is none that the
// context may see. Of what gateways of other zones measure, it says nothing.
func HealthOf(ctx context.Context, s *store.Store, n *network.Network, id string, now telemetry.Micros) (AssetHealth, error) {
	l := look{store: s, net: n, id: id, now: now, out: AssetHealth{Asset: id, AsOf: now}}
	for _, do := range []func(context.Context) error{l.find, l.communication, l.supply, l.completeness, l.history, l.summedUp} {
		if err := do(ctx); err != nil {
			return AssetHealth{}, err
		}
	}
	return l.out, nil
}

func (l *look) find(ctx context.Context) (err error) {
	if l.row, err = l.store.GridAsset(ctx, l.id); err != nil {
		return err
	}
	l.series, err = l.store.SeriesAt(ctx, l.id, l.net.PositionSignal(l.id), mostSignals)
	return err
}

func (l *look) communication(ctx context.Context) (err error) {
	gateways := map[string]bool{}
	for _, s := range l.series {
		gateways[s.Gateway] = true
	}
	l.heard, err = l.store.HeardOf(ctx, gateways)
	if err != nil {
		return err
	}
	c := &l.out.Communication
	c.Signals, c.Gateways, c.Heard = len(l.series), len(gateways), len(l.heard)
	if c.Signals == 0 {
		c.Unknown = NotMeasured
	}
	for _, s := range l.series {
		if s.Latest == nil {
			c.Valueless++
			continue
		}
		at := s.Latest.Time
		if c.Newest == nil || at > *c.Newest {
			c.Newest = &at
		}
		if c.Oldest == nil || at < *c.Oldest {
			c.Oldest = &at
		}
	}
	return nil
}

// devices are those that measure it.
func (l *look) devices() (list []store.Device) {
	for _, s := range l.series {
		if d := (store.Device{Gateway: s.Gateway, Name: s.Device}); !slices.Contains(list, d) {
			list = append(list, d)
		}
	}
	return list
}

// named is the signals whose names begin with one of these.
func (l *look) named(prefixes ...string) (list []store.Series) {
	for _, s := range l.series {
		if slices.ContainsFunc(prefixes, func(p string) bool { return s.Name == p || strings.HasPrefix(s.Name, p+".") }) {
			list = append(list, s)
		}
	}
	return list
}
