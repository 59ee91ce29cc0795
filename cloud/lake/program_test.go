package lake

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/peer"
)

func TestTheProgramTellsHowItIs(t *testing.T) {
	w := newWorld(t, "gw")
	w.send(birth(t, "gw"), blockRecord(t, "gw", 0, 9))
	dir, listen := t.TempDir(), peer.Address(t)
	config, err := ParseConfig(filepath.Join(dir, "lake.yaml"), fmt.Appendf(nil, "log: {kafka: {brokers: ['%s']}}\nstore: {path: %s}\ntable: {path: %s}\ncommit: {every: 1h}\nlisten: %s\n",
		w.broker.ListenAddrs()[0], w.database, w.dir, listen))
	if err != nil {
		t.Fatal(err)
	}
	nowhere := config
	nowhere.Commit.Spool = "nowhere"
	if _, err := New(t.Context(), nowhere, Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "commit.spool") {
		t.Errorf("a spool that isn't there: %v", err)
	}
	l, err := New(t.Context(), config, Options{Version: "test", Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	ask := func(path string) string {
		answer, err := http.Get("http://" + listen + path)
		if err != nil {
			return err.Error()
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		return string(text)
	}
	await.True(t, "a block that waits", func() bool { return strings.Contains(ask("/metrics"), "busbar_lake_waiting_samples 10\n") })
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ok\n", "/livez": "ok\n"} {
		if got := ask(path); got != want {
			t.Errorf("%s says %q", path, got)
		}
	}
	stop() // what was read is committed
	if err := <-ended; err != nil {
		t.Error(err)
	}
	st, err := ReadStatus(t.Context(), w.files)
	if err != nil || st.Samples != "10" || st.Gateways != 1 {
		t.Errorf("%+v, %v", st, err)
	}
}
