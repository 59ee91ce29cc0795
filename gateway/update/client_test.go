package update_test

import (
	"bytes"
	"crypto/sha256"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/busbar/busbar/firmware-config/bundle"
	"github.com/busbar/busbar/gateway"
	"github.com/busbar/busbar/gateway/status"
	"github.com/busbar/busbar/gateway/update"
)

// source is a gateway of which nothing but updates is asked.
type source struct {
	status.Source
	updates *update.Updater
}

func (s source) Report() status.Report {
	report := status.Report{Gateway: "north-gw1"}
	if s.updates != nil {
		u := s.updates.Status()
		report.Update = &u
	}
	return report
}
func (s source) Updates() *update.Updater { return s.updates }
func (s source) Health() update.Health {
	return update.Health{Writable: true, Answering: []string{"meter"}}
}

func serve(t *testing.T, s source) update.Client {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go status.Serve(t.Context(), l, s, slog.New(slog.DiscardHandler))
	return gateway.Here(l.Addr().String()).Updates()
}

func TestABundleIsBroughtByTheStatusPage(t *testing.T) {
	b := update.NewBench(t)
	u := b.Start()
	client := serve(t, source{updates: u})
	other := b.Bundle(bundle.Manifest{Version: "2.0", Epoch: 5, Target: bundle.Pi})
	if _, err := client.Install(t.Context(), bytes.NewReader(other), nil); err == nil || err.Error() != "version 2.0 is for target pi, and this is pc" {
		t.Errorf("what isn't for it: %v", err)
	}
	text := b.Bundle(update.Two)
	if err := u.Append(sha256.Sum256(text), 0, int64(len(text)), bytes.NewReader(text[:700])); err == nil { // the connection was cut then
		t.Error("a part is all")
	}
	from := int64(0)
	s, err := client.Install(t.Context(), bytes.NewReader(text), func(done, _ int64) { from = max(from, done) })
	if err != nil || s.Coming != "2.0" || s.Running.Version != "1.0" {
		t.Errorf("%+v, %v", s, err)
	}
	if from != int64(len(text)) || b.Rebooted() != "trial" {
		t.Errorf("%d bytes of %d", from, len(text))
	}
	answer, err := client.Do(t.Context(), "GET", "/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	metrics, err := io.ReadAll(answer.Body)
	if want := `busbar_gateway_update_info{version="1.0",slot="1",trial="false"} 1`; err != nil || !strings.Contains(string(metrics), want) {
		t.Errorf("the metrics lack %s: %v", want, err)
	}
}

func TestWhatIsAskedOfUpdatesInVain(t *testing.T) {
	b := update.NewBench(t)
	client := serve(t, source{updates: b.Start()})
	digest := strings.Repeat("ab", 32)
	for request, want := range map[string]int{
		"GET /update/x": 409, "PUT /update/" + digest: 409, "PUT /update/" + digest + "?from=-1&size=2": 409, "PUT /update/" + digest + "?from=5&size=9": 409,
		"POST /update/" + digest + "/install?size=1": 409, "GET /update/" + digest: 200, "GET /update": 200,
	} {
		method, path, _ := strings.Cut(request, " ")
		answer, err := client.Do(t.Context(), method, path, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %s", request, answer.Status)
		}
	}
	if _, err := serve(t, source{}).Status(t.Context()); err == nil || !strings.Contains(err.Error(), "something else than the gateway") {
		t.Errorf("a machine with a package manager: %v", err)
	}
}
