package test

import (
	"bytes"
	"context"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/test/kafka"
)

// obey lets the gateway obey the cloud, as its operators do.
func (s site) obey(t *testing.T) {
	t.Helper()
	key, errs, code := call(t, s.dir, "busbar-cloud", "command", "key", "--config", "cloud.yaml")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	write(t, s.dir, "commands.pub", key)
	s.edit(t, "gateway.yaml", "site: north,", "site: north, commands: {key: commands.pub},")
}

// command asks the gateway to do something.
func (s site) command(t *testing.T, args ...string) (text string, code int) {
	t.Helper()
	out, errs, code := call(t, s.dir, "busbar-cloud", append([]string{"gateway"}, append(args, "--config", "cloud.yaml", "--by", "Ana", "--timeout", "60s")...)...)
	return out + errs, code
}

type alarmState struct {
	ID, Asset, Rule string
	Active          bool
	Acknowledged    bool
}

// alarms are all that the cloud knows, newest first.
func (s site) alarms(t *testing.T) []alarmState {
	t.Helper()
	var list struct{ Alarms []alarmState }
	s.ask(t, "/api/v1/alarms?state=all", &list)
	return list.Alarms
}

func (s site) acknowledge(t *testing.T, alarm, by string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"by": by})
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Post("http://"+s.console+"/api/v1/alarms/"+alarm+"/acknowledge", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("acknowledge: %s", response.Status)
	}
}

const lastingOutage = "faults:\n  - {at: 1s, feeder: feeder-2, kind: outage, for: 1h}\n"

// tryCommands asks a gateway whose feeder-2 is out for everything there is.
func (s site) tryCommands(t *testing.T) {
	t.Helper()
	await(t, "an interruption on feeder-2", time.Minute, func() bool { a := s.alarms(t); return len(a) == 1 && a[0].Active })
	first := s.alarms(t)[0].ID
	if text, code := s.command(t, "ping", "north-gw1"); code != 0 || !strings.Contains(text, "north-gw1: ping done in ") {
		t.Errorf("ping: exit code %d: %s", code, text)
	} else {
		t.Log(text)
	}

	// Acknowledged in the console, it shows at the gateway.
	page := func() string { return get(t, "http://"+s.status+"/") }
	if text := page(); !strings.Contains(text, "<td>nobody</td>") || strings.Contains(text, "<td>Ben</td>") {
		t.Errorf("the status page before: %s", text)
	}
	s.acknowledge(t, first, "Ben")
	await(t, "the status page shows who has acknowledged the alarm", 30*time.Second, func() bool { return strings.Contains(page(), "<td>Ben</td>") })
	if text, code := s.command(t, "ack", "north-gw1", "nothing"); code != 1 || !strings.Contains(text, "north-gw1 refuses ack: unknown-alarm") {
		t.Errorf("ack of no alarm: exit code %d: %s", code, text)
	}

	// The outage lasts, so the alarm that is reset is raised again.
	if text, code := s.command(t, "reset", "north-gw1", first); code != 0 {
		t.Errorf("reset: exit code %d: %s", code, text)
	}
	await(t, "the alarm is cleared and raised again", time.Minute, func() bool {
		a := s.alarms(t)
		return len(a) == 2 && a[0].Active && !a[0].Acknowledged && a[0].ID != first && !a[1].Active && a[1].ID == first
	})
	if text, code := s.command(t, "reset", "north-gw1", first); code != 1 || !strings.Contains(text, "unknown-alarm") {
		t.Errorf("reset of an alarm that has cleared: exit code %d: %s", code, text)
	}
}

// Whoever captures what is in the log can't have it obeyed again: neither by this
// process of the gateway nor by the next.
func TestCommandsOverTheEmbeddedLog(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", lastingOutage)
	s.obey(t)
	s.cloud(t)
	gateway := s.gateway(t)
	s.sim(t)
	s.tryCommands(t)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	log := connect(t, kafkaconn.Config{Brokers: []string{s.broker}}, kgo.ConsumeTopics("busbar.commands"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	captured := log.PollRecords(ctx, 1).Records()
	if len(captured) != 1 {
		t.Fatal("the log holds no command")
	}
	replay := func() {
		t.Helper()
		again := &kgo.Record{Topic: "busbar.commands", Key: captured[0].Key, Value: captured[0].Value, Headers: captured[0].Headers}
		if err := log.ProduceSync(ctx, again).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	replay()
	gateway.awaitLog("cause=repeated")
	gateway.stop()
	s.awaitRunning(t, false)
	if text, code := s.command(t, "ping", "north-gw1"); code != 1 || !strings.Contains(text, "isn't running") {
		t.Errorf("ping of a gateway that is stopped: exit code %d: %s", code, text)
	}
	gateway = s.gateway(t)
	s.awaitRunning(t, true)
	replay()
	gateway.awaitLog("cause=other-epoch")
	if text, code := s.command(t, "ping", "north-gw1"); code != 0 {
		t.Errorf("ping after a restart: exit code %d: %s", code, text)
	}
}

// awaitRunning waits until the cloud knows that a process of the gateway runs, or
// that none does.
func (s site) awaitRunning(t *testing.T, want bool) {
	t.Helper()
	await(t, fmt.Sprintf("the cloud knows whether the gateway runs, %v", want), time.Minute, func() bool {
		g, ok := s.state(t)
		running := false
		for _, of := range g.Totals {
			running = running || of.Stream == "events" && of.Running > 0
		}
		return ok && running == want
	})
}

func TestCommandsOverTheUplink(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", lastingOutage)
	s.obey(t)
	listen := freeAddress(t)
	authority, err := kafka.OpenAuthority(filepath.Join(s.dir, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := authority.Client("uplink", pkix.Name{CommonName: "uplink"})
	if err != nil {
		t.Fatal(err)
	}
	s.edit(t, "cloud.yaml", "store:", fmt.Sprintf("uplink: {listen: %q, cert: %q, key: %q}\nstore:", listen, cert, key))
	s.edit(t, "gateway.yaml", fmt.Sprintf("forward: {kafka: {brokers: [%q]}}\n", s.broker),
		fmt.Sprintf("forward: {uplink: {url: \"https://localhost:%s\", ca: %q}}\n", listen[strings.LastIndexByte(listen, ':')+1:], authority.Cert()))
	cloud := s.cloud(t)
	gateway := s.gateway(t)
	s.sim(t)
	s.tryCommands(t)

	// The cloud's key is replaced while it runs: the gateway knows it by the old one's
	// word. Once the new one alone is in its file, it obeys no other.
	old, _, _ := call(t, s.dir, "busbar-cloud", "command", "key", "--config", "cloud.yaml")
	if out, errs, code := call(t, s.dir, "busbar-cloud", "command", "rotate-key", "--config", "cloud.yaml"); code != 0 || !strings.Contains(out, "introduces key") {
		t.Fatalf("rotate-key: exit code %d: %s%s", code, out, errs)
	}
	rotated, _, _ := call(t, s.dir, "busbar-cloud", "command", "key", "--config", "cloud.yaml")
	if rotated == old {
		t.Error("the key is the same")
	}
	if text, code := s.command(t, "ping", "north-gw1"); code != 0 {
		t.Errorf("ping with the new key: exit code %d: %s", code, text)
	}
	var acked alarmState
	for _, a := range s.alarms(t) {
		if a.Active {
			acked = a
		}
	}
	s.acknowledge(t, acked.ID, "Cleo") // by the cloud that runs
	await(t, "the status page shows who has acknowledged the alarm", 30*time.Second, func() bool {
		return strings.Contains(get(t, "http://"+s.status+"/"), "<td>Cleo</td>")
	})
	var listed struct {
		Commands []struct{ Kind, By, State, Cause string }
	}
	await(t, "the answer is listed", 30*time.Second, func() bool {
		listed.Commands = nil
		return s.ask(t, "/api/v1/commands?gateway=north-gw1", &listed) && len(listed.Commands) >= 6 && listed.Commands[0].By == "Cleo" && listed.Commands[0].State == "done"
	})
	if out, errs, code := call(t, s.dir, "busbar-cloud", "command", "list", "--config", "cloud.yaml"); code != 0 || !strings.Contains(out, "unknown-alarm") || strings.Count(out, "\n") != len(listed.Commands)+1 {
		t.Errorf("list: exit code %d: %s%s", code, out, errs)
	}
	if sent, done, refused := s.counted(t, `busbar_cloud_commands_total{state="sent"}`), s.counted(t, `busbar_cloud_commands_total{state="done"}`),
		s.counted(t, `busbar_cloud_commands_total{state="refused"}`); sent != len(listed.Commands) || sent != done+refused || refused == 0 {
		t.Errorf("%d sent, %d done, %d refused of %d", sent, done, refused, len(listed.Commands))
	}
	write(t, s.dir, "commands.pub", rotated)
	gateway.stop()
	s.awaitRunning(t, false)
	gateway = s.gateway(t)
	s.awaitRunning(t, true)
	if text, code := s.command(t, "ping", "north-gw1"); code != 0 {
		t.Errorf("ping with the new key in the file: exit code %d: %s", code, text)
	}

	// A cloud that is stopped doesn't wait for the gateway that waits, and one that
	// comes back is asked again.
	cloud.stop()
	s.cloud(t)
	await(t, "the cloud is back", time.Minute, func() bool { return reachable(s.console) })
	if text, code := s.command(t, "ping", "north-gw1"); code != 0 {
		t.Errorf("ping after the cloud was away: exit code %d: %s", code, text)
	}
}

// With the rights that a gateway needs and no more, over TLS.
func TestCommandsAgainstRealKafka(t *testing.T) {
	t.Parallel()
	cluster, prefix := kafka.SharedWithoutTopics(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	edge := must(cluster.Gateway(ctx, prefix, "north-gw1"))(t)
	cloud := must(cluster.Cloud(ctx, prefix))(t)
	s := newSite(t, cluster.Brokers()[0], lastingOutage)
	s.onKafka(t, edge.MTLS(), cloud.SCRAM())
	s.obey(t)
	s.cloud(t)
	s.gateway(t)
	s.sim(t)
	s.tryCommands(t)
}

// A gateway that trusts no key doesn't answer, and one that trusts another
// refuses.
func TestAGatewayObeysNobodyElse(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "")
	s.cloud(t)
	s.sim(t)
	gateway := s.gateway(t)
	s.awaitRunning(t, true)
	out, errs, code := call(t, s.dir, "busbar-cloud", "gateway", "ping", "north-gw1", "--config", "cloud.yaml", "--timeout", "2s")
	if code != 1 || out != "" || !strings.Contains(errs, "doesn't answer ping within 2s") {
		t.Errorf("commands are off: exit code %d: %s%s", code, out, errs)
	}
	gateway.stop()
	s.awaitRunning(t, false)
	other := newSite(t, "", "")
	key, _, _ := call(t, other.dir, "busbar-cloud", "command", "key", "--config", "cloud.yaml")
	write(t, s.dir, "commands.pub", key)
	s.edit(t, "gateway.yaml", "site: north,", "site: north, commands: {key: commands.pub},")
	s.gateway(t)
	s.awaitRunning(t, true)
	if text, code := s.command(t, "ping", "north-gw1"); code != 1 || !strings.Contains(text, "north-gw1 refuses ping: unknown-key") {
		t.Errorf("another cloud's command: exit code %d: %s", code, text)
	}
	if text, code := s.command(t, "ping", "north-gw9"); code != 1 || !strings.Contains(text, "north-gw9") || !strings.Contains(text, "isn't running") {
		t.Errorf("a gateway that nobody knows: exit code %d: %s", code, text)
	}
}
