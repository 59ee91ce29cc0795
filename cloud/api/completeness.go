package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/completeness"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Reason is why expected samples aren't there, and how many.
type Reason struct {
	Reason string `json:"reason" doc:"missed, gateway-down, discarded, thinned, buffer-full, disk-full, unreadable, on-the-way, undetermined (on the way or given up: the gateway couldn't say whose samples it lost), or bad (…) with the reason of the samples' quality" example:"bad (timeout)"`
	Count  uint64 `json:"count" doc:"0: no expected sample, but some that were bad or the gateway's own"`
}

// Tally is what became of the samples that were expected. Expected is the sum
// of received, suppressed, not acquired, lost and on the way, but for
// quarter-hours that are inconsistent.
type Tally struct {
	Expected    uint64         `json:"expected" doc:"Samples that the configuration asks for, as the gateway's accounts say"`
	Received    uint64         `json:"received" doc:"Of these, stored with a value"`
	Suppressed  uint64         `json:"suppressed" doc:"Of these, read and left out by a deadband"`
	NotAcquired uint64         `json:"not_acquired" doc:"Of these, without a value, not asked for, or discarded before they were committed"`
	Lost        uint64         `json:"lost" doc:"Of these, committed by the gateway and then given up"`
	OnTheWay    uint64         `json:"on_the_way" doc:"Of these, committed by the gateway, and neither stored nor given up as far as is known"`
	Stored      uint64         `json:"stored" doc:"Samples of any kind, also bad ones and the gateway's own"`
	Late        uint64         `json:"late" doc:"Of those stored, the ones stored more than two minutes after their time"`
	Reasons     []Reason       `json:"reasons" doc:"All that isn't received or suppressed, most first"`
	States      map[string]int `json:"states" doc:"Quarter-hours by state: complete, late (complete, but some came late), incomplete, open (not over, or its account isn't due), unknown (no account), inconsistent (the counts contradict each other), not-configured (at that time, or before the gateway's first start)"`
	Quarters    string         `json:"quarters" doc:"A letter for each quarter-hour: c complete, l late, o open, u unknown, x inconsistent, - not configured. One that is incomplete is named by its main reason: b bad, m missed, d gateway down, t thinned, f buffer full, k disk full, r unreadable, g discarded, w on the way, n on the way or given up, i another"`
}

// DeviceCompleteness is the completeness of one device.
type DeviceCompleteness struct {
	Gateway string `json:"gateway"`
	Device  string `json:"device"`
	Tally
}

type completenessQuery struct {
	Gateway string `query:"gateway" maxLength:"256" doc:"Only this gateway"`
	Device  string `query:"device" maxLength:"256" doc:"Only this device of the gateway"`
	Day     string `query:"day" doc:"YYYY-MM-DD; or else from_us and to_us" example:"2026-03-29"`
	Zone    string `query:"time_zone" default:"UTC" maxLength:"64" doc:"Whose day it is, by its IANA name" example:"Europe/Berlin"`
	From    int64  `query:"from_us" doc:"First instant, the beginning of a quarter-hour"`
	To      int64  `query:"to_us" doc:"The instant after the last, at most 31 days later"`
	Paging
}

// span is the range that is asked for.
func (q *completenessQuery) span() (from, to telemetry.Micros, err error) {
	from, to = telemetry.Micros(q.From), telemetry.Micros(q.To)
	switch {
	case q.Day != "" && (q.From != 0 || q.To != 0):
		return 0, 0, huma.Error422UnprocessableEntity("day excludes from_us and to_us")
	case q.Device != "" && q.Gateway == "":
		return 0, 0, huma.Error422UnprocessableEntity("device needs gateway: its name is unique within one")
	case q.Day != "":
		if from, to, err = completeness.Day(q.Day, q.Zone); err != nil {
			return 0, 0, huma.Error422UnprocessableEntity(err.Error())
		}
	case from < 0 || from >= to || uint64(to)-uint64(from) > store.LongestAccount:
		return 0, 0, huma.Error422UnprocessableEntity("want day, or from_us and to_us at most 31 days after it")
	}
	if from%telemetry.Quarter != 0 || to%telemetry.Quarter != 0 {
		return 0, 0, huma.Error422UnprocessableEntity("the range doesn't consist of whole quarter-hours of UTC")
	}
	return from, to, nil
}

type completenessAnswer struct {
	Link string `header:"Link"`
	Body struct {
		From     telemetry.Micros     `json:"from_us"`
		To       telemetry.Micros     `json:"to_us"`
		Quarters int                  `json:"quarter_hours" doc:"In the range: 92, 96 or 100 in a day"`
		Complete bool                 `json:"complete" doc:"Whether all that was expected of every device is stored"`
		Summary  Tally                `json:"summary" doc:"Over all devices; of each quarter-hour the worst state of any"`
		Devices  []DeviceCompleteness `json:"devices" doc:"By gateway and name"`
		Next
	}
}

func compareDevices(a, b store.Device) int {
	return cmp.Or(strings.Compare(a.Gateway, b.Gateway), strings.Compare(a.Name, b.Name))
}

func tallyOf(l completeness.Line) Tally {
	t := Tally{Expected: l.Expected, Received: l.Received, Suppressed: l.Suppressed, NotAcquired: l.NotAcquired, Lost: l.Lost,
		OnTheWay: l.OnTheWay, Stored: l.Stored, Late: l.Late, Reasons: []Reason{}, States: map[string]int{}, Quarters: string(l.Letters)}
	for _, c := range l.Why() {
		t.Reasons = append(t.Reasons, Reason{string(c.Reason), c.Count})
	}
	for state, n := range l.States {
		t.States[string(state)] = n
	}
	return t
}

// LinkOutage is a time in which a stream's way to the log was down or throttled.
type LinkOutage struct {
	Stream string            `json:"stream" enum:"events,telemetry,backfill"`
	State  string            `json:"state" enum:"down,throttled"`
	From   telemetry.Micros  `json:"from_us"`
	To     *telemetry.Micros `json:"to_us" doc:"null: it hasn't ended, as far as is known"`
	Cause  string            `json:"cause"`
}

type linksQuery struct {
	ID   string `path:"id"`
	From int64  `query:"from_us" required:"true" doc:"First instant"`
	To   int64  `query:"to_us" required:"true" doc:"The instant after the last, at most 31 days later"`
	Paging
}

type linksAnswer struct {
	Link string `header:"Link"`
	Body struct {
		Outages []LinkOutage `json:"outages" doc:"By stream, in the order in which they began"`
		Next
	}
}

func registerCompleteness(api huma.API, o Options) {
	huma.Register(api, huma.Operation{
		OperationID: "get-completeness", Method: http.MethodGet, Path: "/api/v1/completeness",
		Summary: "Whether the quarter-hours of a day are complete, and if not, why", Tags: []string{"Gateways"},
		Description: "What was expected is what gateways account for, each quarter-hour; without an account it isn't known. " +
			"Which of the samples that were given up or are on the way had a value isn't known either: they are charged to those that had. " +
			"For the numbers of one quarter-hour of a device ask for its from_us and to_us. Pages are of the devices; the summary is always over all.",
		Errors: noSuchPage,
	}, func(ctx context.Context, q *completenessQuery) (*completenessAnswer, error) {
		from, to, err := q.span()
		if err != nil {
			return nil, err
		}
		page, err := pageOf[store.Device](q.Paging, "completeness")
		if err != nil {
			return nil, err
		}
		report, err := completeness.Read(ctx, o.Store, completeness.Query{Gateway: q.Gateway, Device: q.Device, From: from, To: to}, telemetry.MicrosOf(time.Now()))
		if err != nil {
			return nil, o.fault(ctx, "read the accounts", err)
		}
		answer := &completenessAnswer{}
		body := &answer.Body
		body.From, body.To, body.Quarters, body.Complete, body.Summary = from, to, report.Quarters, report.Complete(), tallyOf(report.Total)
		devices := report.Devices
		byName := func(a, b completeness.Line) int { return compareDevices(a.Device, b.Device) }
		slices.SortFunc(devices, byName)
		if page.After != nil {
			at, found := slices.BinarySearchFunc(devices, completeness.Line{Device: *page.After}, byName)
			if found {
				at++
			}
			devices = devices[at:]
		}
		devices, answer.Link, body.Next = turned(q.Paging, "completeness", devices, func(l completeness.Line) store.Device { return l.Device })
		body.Devices = make([]DeviceCompleteness, len(devices))
		for i, d := range devices {
			body.Devices[i] = DeviceCompleteness{Gateway: d.Gateway, Device: d.Name, Tally: tallyOf(d)}
		}
		return answer, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "list-link-outages", Method: http.MethodGet, Path: "/api/v1/gateways/{id}/links",
		Summary: "When a gateway's links to the log were down or throttled", Tags: []string{"Gateways"},
		Errors: noSuchPage,
	}, func(ctx context.Context, q *linksQuery) (*linksAnswer, error) {
		if q.From < 0 || q.From >= q.To || q.To-q.From > store.LongestAccount {
			return nil, huma.Error422UnprocessableEntity("to_us must be after from_us, and at most 31 days after it")
		}
		page, err := pageOf[store.OutagePlace](q.Paging, "links")
		if err != nil {
			return nil, err
		}
		list, err := o.Store.Outages(ctx, q.ID, telemetry.Micros(q.From), telemetry.Micros(q.To), page)
		if err != nil {
			return nil, o.fault(ctx, "list the outages", err)
		}
		answer := &linksAnswer{}
		list, answer.Link, answer.Body.Next = turned(q.Paging, "links", list, store.Outage.Place)
		answer.Body.Outages = make([]LinkOutage, len(list))
		for i, out := range list {
			answer.Body.Outages[i] = LinkOutage{Stream: out.Stream, State: out.State, From: out.From, To: out.To, Cause: out.Cause}
		}
		return answer, nil
	})
}
