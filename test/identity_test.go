package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// keys are the lines of the cloud's list of keys, without its head.
func (s site) keys(t *testing.T) []string {
	t.Helper()
	out, errs, code := call(t, s.dir, "busbar-cloud", "gateway", "list", "--config", "cloud.yaml")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	return strings.Split(strings.TrimSpace(out), "\n")[1:]
}

func (s site) rotate(t *testing.T) {
	t.Helper()
	if _, errs, code := call(t, s.dir, "busbar-gateway", "rotate-key", "--config", "gateway.yaml"); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
}

// refusals are the summaries of the active alarms about refused records.
func (s site) refusals(t *testing.T) (summaries []string) {
	t.Helper()
	var list struct {
		Alarms []struct {
			Rule, Summary string
			Active        bool
		}
	}
	s.ask(t, "/api/v1/alarms", &list)
	for _, a := range list.Alarms {
		if a.Rule == "record-refused" && a.Active {
			summaries = append(summaries, a.Summary)
		}
	}
	return summaries
}

func (s site) awaitRefusal(t *testing.T, reason string) {
	t.Helper()
	await(t, "an alarm about "+reason, 30*time.Second, func() bool {
		return strings.Contains(strings.Join(s.refusals(t), "\n"), reason)
	})
}

func (s site) awaitStored(t *testing.T, more uint64) uint64 {
	t.Helper()
	var g gatewayState
	await(t, fmt.Sprintf("more than %d samples are stored", more), 30*time.Second, func() bool {
		g, _ = s.state(t)
		return g.Stored > more
	})
	return g.Stored
}

// The key is changed twice while the log is away, with a backlog that each of the
// three has signed: all of it is taken, though only the first key was enrolled.
func TestKeysRotateAcrossABacklog(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "")
	s.sim(t)
	for i := range 3 {
		if i > 0 {
			s.rotate(t)
		}
		gateway := s.gateway(t)
		s.awaitWaiting(t, 3*(i+1))
		gateway.stop()
	}
	gateway := s.gateway(t)
	s.cloud(t)
	s.awaitStored(t, 0)
	s.awaitSent(t, time.Minute)
	gateway.stop()
	if g := s.awaitComplete(t); g.epochs() != 8 {
		t.Errorf("%d streams of epochs, want two of each of the gateway's four runs", g.epochs())
	}
	if keys := s.keys(t); len(keys) != 3 {
		t.Errorf("keys:\n%s", strings.Join(keys, "\n"))
	}
	if refusals := s.refusals(t); len(refusals) > 0 {
		t.Errorf("refused: %q", refusals)
	}
}

func TestARevokedKeyIsRefusedFromThenOn(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "")
	s.cloud(t)
	s.sim(t)
	gateway := s.gateway(t)
	s.awaitStored(t, 0)
	id := gatewayKey(t, s.dir)["key_id"]
	if _, errs, code := call(t, s.dir, "busbar-cloud", "gateway", "revoke", "--config", "cloud.yaml", "north-gw1", id, "--reason", "stolen"); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	s.awaitRefusal(t, "revoked-key")
	refused := func() (n int) {
		for line := range strings.Lines(get(t, "http://"+s.console+"/metrics")) {
			fmt.Sscanf(line, `busbar_cloud_ingest_quarantined_total{reason="revoked-key"} %d`, &n)
		}
		return n
	}
	await(t, "telemetry is refused", 30*time.Second, func() bool { return refused() > 0 })
	before, _ := s.state(t)
	then := refused()
	await(t, "further records are refused", 30*time.Second, func() bool { return refused() > then+3 })
	if after, _ := s.state(t); after.Stored != before.Stored {
		t.Errorf("%d samples were stored after the revocation", after.Stored-before.Stored)
	}

	// A key that the revoked one introduces is refused as well, until it is enrolled.
	gateway.stop()
	s.rotate(t)
	gateway = s.gateway(t)
	s.awaitRefusal(t, "unknown-key")
	gateway.stop()
	enrol(t, s.dir)
	s.gateway(t)
	s.awaitStored(t, before.Stored)
	if keys := s.keys(t); len(keys) != 2 || !strings.Contains(strings.Join(keys, "\n"), "stolen") {
		t.Errorf("keys:\n%s", strings.Join(keys, "\n"))
	}
}

// With a valid key of its own, a gateway can't write in another's name.
func TestAGatewayCantWriteInAnothersName(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "")
	config, err := os.ReadFile(filepath.Join(s.dir, "gateway.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.dir, "gateway.yaml", strings.Replace(string(config), "id: north-gw1", "id: south-gw1", 1))
	s.cloud(t)
	s.sim(t)
	s.gateway(t)
	s.awaitRefusal(t, `north-gw1 wrote in the name of "south-gw1"`)
	if g, _ := s.state(t); g.ID != "north-gw1" || g.Stored != 0 || g.epochs() != 0 {
		t.Errorf("%+v", g)
	}
}

func TestAKeyThatOthersCanReadIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "")
	path := filepath.Join(s.dir, "buffer", "gateway.key")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"run", "key", "rotate-key"} {
		if _, errs, code := call(t, s.dir, "busbar-gateway", command, "--config", "gateway.yaml"); code != 1 || !strings.Contains(errs, path) && !strings.Contains(errs, "buffer/gateway.key") || !strings.Contains(errs, "0644") {
			t.Errorf("%s: exit code %d: %s", command, code, errs)
		}
	}
}

func TestWrongEnrolmentsAreExplained(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "")
	key := gatewayKey(t, s.dir)
	for line, c := range map[string]struct {
		code int
		want string
	}{
		"enrol North " + key["public_key"]:                             {2, "lower-case"},
		"enrol north-gw1 " + key["key_id"]:                             {2, "44 characters"},
		"enrol south-gw1 " + key["public_key"]:                         {1, "north-gw1"},
		"revoke north-gw1 " + key["key_id"]:                            {2, "--reason"},
		"revoke north-gw1 x --reason y":                                {2, "16 hexadecimal digits"},
		"revoke south-gw1 " + key["key_id"] + " --reason y":            {1, "no such key"},
		"enrol north-gw1 " + key["public_key"] + " --config none.yaml": {2, "none.yaml"},
	} {
		args := append([]string{"gateway"}, strings.Fields(line)...)
		if !strings.Contains(line, "--config") {
			args = append(args, "--config", "cloud.yaml")
		}
		if out, errs, code := call(t, s.dir, "busbar-cloud", args...); code != c.code || out != "" || !strings.Contains(errs, c.want) {
			t.Errorf("%s: exit code %d\n%s%s", line, code, out, errs)
		}
	}
}
