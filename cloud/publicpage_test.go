package cloud

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/public"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/test/await"
)

// The page is served beside the console, to anybody, and says what it doesn't know.
func TestThePublicPageIsServed(t *testing.T) {
	config := embedded(t)
	config.Public = &Public{}
	config.Public.SetDefaults()
	config.Public.Dir, config.Public.Operator, config.Public.Sender, config.Public.Every = "public", "Rhine Grid", "outages@grid.example", configfile.Duration(time.Second)
	config.Console.SignIn = true
	c, err := New(t.Context(), config, Options{Dir: t.TempDir(), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	model, findings := gridfile.ReadYAML("town.yaml", []byte(`
name: Town
zones: [{id: north, name: Northgate}]
sources: [{id: in, node: bus, voltage: 20 kV}]
service_points: [{id: p1, node: bus, customers: 80, zone: north}]
`))
	if _, err := (network.Import{Model: model, Read: findings, By: "ana", Now: time.Now()}).Save(t.Context(), c.store); err != nil {
		t.Fatal(err)
	}
	run(t, c)
	get := func(path string) (int, string) {
		answer, err := http.Get("http://" + config.Console.Listen + path)
		if err != nil {
			return 0, ""
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		return answer.StatusCode, string(text)
	}
	var v public.View
	await.True(t, "the page to be current", func() bool {
		code, text := get("/public/outages.json")
		return code == http.StatusOK && json.Unmarshal([]byte(text), &v) == nil && v.Current
	})
	if len(v.Areas) != 1 || v.Areas[0].Name != "Northgate" || v.Areas[0].State != public.Unknown {
		t.Errorf("nothing measures there: %+v", v.Areas)
	}
	if code, text := get("/public/"); code != http.StatusOK || !strings.Contains(text, "Rhine Grid") || !strings.Contains(text, "Not known") {
		t.Errorf("%d %s", code, text)
	}
	for _, path := range []string{"/public/told", "/public.told", "/public/../public.told", "/api/v1/reliability?period=2026"} {
		if code, text := get(path); code == http.StatusOK {
			t.Errorf("%s is served: %s", path, text)
		}
	}
}
