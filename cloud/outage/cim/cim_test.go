package cim

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

func example() Document {
	at := func(h int) telemetry.Micros {
		return telemetry.MicrosOf(time.Date(2026, 3, 17, h, 0, 0, 500000, time.UTC))
	}
	n := func(v int64) *int64 { return &v }
	return Document{Version: Version, Made: at(12), Outages: []Outage{
		{ID: "a", Name: "Feeder 7", Status: "confirmed", Reported: at(9), Cause: "tree", Comment: "access by the lane", Began: at(8), ExpectedEnd: at(13), Restored: at(13), Confidence: 80,
			Customers: n(1234), CustomersOut: n(0), Equipment: "b1", Feeder: "f7"},
		{ID: "b"},
		{ID: "c", Planned: true, Cause: "a transformer is replaced", ExpectedStart: at(14), ExpectedEnd: at(16)},
	}}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	text, err := Write(example())
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read(text)
	if err != nil || !reflect.DeepEqual(got, example()) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, part := range []string{`"format": "busbar-cim-outage/0-experimental"`, `"timeStamp": "2026-03-17T12:00:00.0005Z"`, `"UnplannedOutage": [`, `"mRID": "a"`, `"actualPeriod": {`,
		`"start": "2026-03-17T08:00:00.0005Z"`, `"confidencePercent": 80`, `"customersStillOut": 0`, `"PlannedOutage": [`, `"reason": "a transformer is replaced"`} {
		if !strings.Contains(string(text), part) {
			t.Errorf("no %s in\n%s", part, text)
		}
	}
}

func TestWhatIsWrongHasAPlace(t *testing.T) {
	for text, want := range map[string]string{
		`{`:                        "cim: unexpected end",
		`{"timeStamp":"today"}`:    `cim: timeStamp: "today"`,
		`{"UnplannedOutage":[{}]}`: "cim: UnplannedOutage[0]: mRID is missing",
		`{"PlannedOutage":[{"mRID":"a"},{"mRID":"a"}]}`:                                                                        `cim: PlannedOutage[1]: mRID "a" is there twice`,
		`{"UnplannedOutage":[{"mRID":"a","actualPeriod":{"start":"1"}}]}`:                                                      `cim: UnplannedOutage[0]: actualPeriod.start: "1"`,
		`{"UnplannedOutage":[{"mRID":"a","actualPeriod":{"start":"2026-03-17T12:00:00Z","end":"2026-03-17T11:00:00Z"}}]}`:      "cim: UnplannedOutage[0]: a period ends before it begins",
		`{"UnplannedOutage":[{"mRID":"a","originalCustomersServed":-1}]}`:                                                      "cim: UnplannedOutage[0]: originalCustomersServed is below zero",
		`{"UnplannedOutage":[{"mRID":"a","EstimatedRestorationTime":{"ert":"2026-03-17T12:00:00Z","confidencePercent":101}}]}`: "cim: UnplannedOutage[0]: confidencePercent 101",
		`{"UnplannedOutage":[{"mRID":"` + strings.Repeat("a", 1025) + `"}]}`:                                                   "cim: UnplannedOutage[0]: mRID has more than 1024 bytes",
	} {
		if _, err := Read([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.80s: %v, want %s", text, err, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	text, err := Write(example())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, src []byte) {
		d, err := Read(src)
		if err != nil {
			return
		}
		d.Version = Version
		text, err := Write(d)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Read(text)
		if err != nil || !reflect.DeepEqual(again, d) {
			t.Errorf("%+v, %v, want %+v", again, err, d)
		}
	})
}
