package test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/completeness"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/kafka"
)

// counted is a number that the cloud shows.
func (s site) counted(t *testing.T, line string) (n int) {
	t.Helper()
	for text := range strings.Lines(get(t, "http://"+s.console+"/metrics")) {
		fmt.Sscanf(text, line+" %d", &n)
	}
	return n
}

// unenrolled gives the gateway a key that nobody has enrolled.
func (s site) unenrolled(t *testing.T) {
	t.Helper()
	if err := os.Remove(filepath.Join(s.dir, "buffer", "gateway.key")); err != nil {
		t.Fatal(err)
	}
}

// tryLateEnrolment has a gateway run for a minute and be enrolled then: everything is
// in the store, and nothing was started again for it.
func (s site) tryLateEnrolment(t *testing.T) {
	t.Helper()
	began := telemetry.QuarterOf(telemetry.MicrosOf(time.Now()))
	s.cloud(t)
	gateway := s.gateway(t)
	s.sim(t)
	s.awaitRefusal(t, "unknown-key")
	const minute = 60 * 5 // commits
	await(t, "a minute's telemetry is refused", 5*time.Minute, func() bool {
		return s.counted(t, `busbar_cloud_ingest_quarantined_total{reason="unknown-key"}`) > minute
	})
	out, errs, code := call(t, s.dir, "busbar-cloud", "gateway", "retake", "--config", "cloud.yaml", "--dry-run", "north-gw1")
	if code != 0 || !strings.Contains(out, "unknown-key") || !strings.Contains(out, "  no ") || !strings.Contains(out, gatewayKey(t, s.dir)["key_id"]) {
		t.Errorf("dry run: exit code %d: %s%s", code, out, errs)
	}
	t.Logf("before the enrolment:\n%s", out)
	started := time.Now()
	enrol(t, s.dir)
	taken := func() int {
		return s.counted(t, `busbar_cloud_ingest_retaken_total{result="taken"}`)
	}
	await(t, "what was refused is taken", time.Minute, func() bool { return taken() > minute })
	t.Logf("%d records were taken %s after the enrolment began", taken(), time.Since(started).Round(time.Millisecond))
	if out, errs, code := call(t, s.dir, "busbar-cloud", "gateway", "retake", "--config", "cloud.yaml", "north-gw1"); code != 0 {
		t.Errorf("retake: exit code %d: %s%s", code, out, errs)
	}
	s.awaitSent(t, time.Minute)
	gateway.stop()
	s.awaitComplete(t)

	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(s.dir, "cloud.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	now := telemetry.MicrosOf(time.Now())
	query := completeness.Query{From: began, To: telemetry.QuarterOf(now) + telemetry.Quarter}
	report, err := completeness.Read(t.Context(), db, query, now+24*3600*1_000_000) // as of tomorrow
	if err != nil {
		t.Fatal(err)
	}
	total := report.Total
	if total.Expected == 0 || total.OnTheWay > 0 || total.Lost > 0 || total.Expected != total.Received+total.Suppressed+total.NotAcquired {
		t.Errorf("%+v", total)
	}
	if total.NotAcquired == 0 && !report.Complete() {
		t.Errorf("not complete: %+v", total)
	}
	left, err := db.CountAside(t.Context(), store.SetAside{Gateway: "north-gw1"}, func(string, int32) int64 { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range left {
		if c.State != store.Taken {
			t.Errorf("in the quarantine: %+v", c)
		}
	}
	t.Logf("expected %d, received %d, not acquired %d, states %v", total.Expected, total.Received, total.NotAcquired, total.States)
}

func TestAGatewayIsEnrolledLate(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "")
	s.unenrolled(t)
	s.tryLateEnrolment(t)
}

func TestAGatewayIsEnrolledLateAgainstRealKafka(t *testing.T) {
	t.Parallel()
	cluster, prefix := kafka.SharedWithoutTopics(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	edge := must(cluster.Gateway(ctx, prefix, "north-gw1"))(t)
	cloud := must(cluster.Cloud(ctx, prefix))(t)
	s := newSite(t, cluster.Brokers()[0], "")
	s.onKafka(t, edge.MTLS(), cloud.SCRAM())
	s.unenrolled(t)
	s.tryLateEnrolment(t)
}

// A key that was revoked by mistake is readmitted, and nothing is missing.
func TestAKeyIsReadmitted(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "")
	s.cloud(t)
	s.sim(t)
	gateway := s.gateway(t)
	s.awaitStored(t, 0)
	id := gatewayKey(t, s.dir)["key_id"]
	change := func(what string) (text string, code int) {
		out, errs, code := call(t, s.dir, "busbar-cloud", "gateway", what, "--config", "cloud.yaml", "north-gw1", id, "--reason", "a mistake")
		return out + errs, code
	}
	if text, code := change("readmit"); code != 1 || !strings.Contains(text, "hasn't been revoked") {
		t.Errorf("readmit a valid key: exit code %d: %s", code, text)
	}
	if text, code := change("revoke"); code != 0 {
		t.Fatalf("exit code %d: %s", code, text)
	}
	await(t, "telemetry is refused", 30*time.Second, func() bool {
		return s.counted(t, `busbar_cloud_ingest_quarantined_total{reason="revoked-key"}`) > 3
	})
	if text, code := change("readmit"); code != 0 || !strings.Contains(text, "valid again") {
		t.Fatalf("exit code %d: %s", code, text)
	}
	await(t, "what was refused is taken", 30*time.Second, func() bool {
		return s.counted(t, `busbar_cloud_ingest_retaken_total{result="taken"}`) > 3
	})
	s.awaitSent(t, time.Minute)
	gateway.stop()
	s.awaitComplete(t)
}
