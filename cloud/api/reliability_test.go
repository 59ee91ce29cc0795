package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage/desk"
	"github.com/busbar/busbar/cloud/outage/lifecycle"
	"github.com/busbar/busbar/cloud/reliability"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/telemetry"
)

func TestReliability(t *testing.T) {
	s := storetest.Open(t)
	model, _ := gridfile.ReadYAML("town.yaml", []byte(`
name: Town
sources: [{id: in, node: bus, voltage: 20 kV}]
service_points: [{id: p1, node: bus, customers: 80}, {id: p2, node: bus, customers: 20}]
`))
	start := time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC)
	if _, err := (network.Import{Model: model, By: "ana", Now: start}).Save(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(desk.Outage{ID: "a", State: lifecycle.Completed, Class: "sustained", Report: lifecycle.Report{Cause: "tree"}})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO outage (id, state, zone, feeder, device, alarm, found, over, told, data) VALUES ('a', 'completed', '', '', '', '', 1, 1, 0, ?)`, string(data))
		if err == nil {
			_, err = tx.Exec(`INSERT INTO outage_point (outage, point, customers, since, until) VALUES ('a', 'p2', 20, ?, ?)`, start.UnixMicro(), start.Add(time.Hour).UnixMicro())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	registerReliability(humago.New(mux, huma.DefaultConfig("Busbar", "test")), Options{Store: s, Log: quiet})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	get := func(query string, want int) (a reliability.Answer) {
		t.Helper()
		answer, err := http.Get(server.URL + "/api/v1/reliability?" + query)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %s, want %d", query, answer.Status, want)
		}
		if err := json.NewDecoder(answer.Body).Decode(&a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := get("period=2026,2026-03-29&time_zone=Europe/Berlin&by=cause", http.StatusOK)
	if len(a.Rows) != 4 || !a.Rows[0].Whole || a.Rows[1].Group != "tree" || a.Rows[2].Period != "2026-03-29" {
		t.Fatalf("%+v", a)
	}
	if day := a.Rows[2]; day.To-day.From != 23*telemetry.Micros(3600e6) || day.State != "final" || day.CMI != 1200 || day.CN == nil || *day.CN != 20 {
		t.Errorf("%+v", day)
	}
	if v := a.Rows[2].Indices[0]; v.Index != "SAIDI" || v.Unit != "min" || v.Value == nil || *v.Value != 12 {
		t.Errorf("%+v", v)
	}
	for _, query := range []string{"", "period=", "period=26", "period=2026&time_zone=Nowhere", "period=2026&time_zone=Local", "period=2026&profile=mine", "period=2026&by=device",
		"period=2026" + strings.Repeat(",2026", 40)} {
		get(query, http.StatusUnprocessableEntity)
	}
}
