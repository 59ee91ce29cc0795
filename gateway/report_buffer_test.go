package gateway

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// A file of the buffer that can't be read is an event in the log and a problem on
// the status page, which knows the buffer's figures.
func TestDamagedBufferIsReported(t *testing.T) {
	b := newBench(t)
	stop := b.run()
	b.read(func(l log) bool { return l.samples > 0 })
	stop()
	dir := string(b.config.Buffer.Path)
	files, err := filepath.Glob(filepath.Join(dir, "telemetry", "q-*.db"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	if err := os.WriteFile(files[0], make([]byte, 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	stop = b.run()
	l := b.read(func(l log) bool { return len(l.of(telemetry.BufferDamaged)) > 0 })
	stop()
	if d := l.of(telemetry.BufferDamaged)[0].Damage; d == nil || d.File != "telemetry/"+filepath.Base(files[0])+".unreadable" {
		t.Errorf("damage %+v", d)
	}
	g, err := New(b.config, Options{Version: "test", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	r := source{g, time.Now()}.Report()
	if !strings.Contains(strings.Join(r.Problems, "\n"), "1 files of the buffer are unreadable") {
		t.Errorf("problems %q", r.Problems)
	}
	if r.Buffer.Limit != 1<<30 || r.Buffer.Reserve != 64<<20 || r.Buffer.SetAside != 1<<16 || r.Buffer.Books == 0 {
		t.Errorf("%+v", r.Buffer)
	}
}
