package client_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/access"
	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/api"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/peer"
	"github.com/busbar/busbar/test/typescript"
)

// cloud is the API where people sign in, with alarms. It can go away and come back.
type cloud struct {
	t      *testing.T
	store  *store.Store
	addr   string
	server *httptest.Server
}

func (c *cloud) start() {
	c.t.Helper()
	at, err := net.Listen("tcp", c.addr)
	if err != nil {
		c.t.Fatal(err)
	}
	c.addr = at.Addr().String()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	who := access.New(c.store, false, quiet)
	calls := api.New(api.Options{Version: "test", Store: c.store, Live: api.NewLive(), Access: who, Log: quiet})
	c.server = httptest.NewUnstartedServer(api.Guard(access.Gate(calls, api.Rights, who, quiet), nil, false))
	c.server.Listener.Close()
	c.server.Listener = at
	c.server.Start()
}

func (c *cloud) stop() {
	c.server.CloseClientConnections()
	c.server.Close()
}

func (c *cloud) raise(asset string) {
	c.t.Helper()
	now := telemetry.MicrosOf(time.Now())
	alert := alarm.Alert{Fingerprint: asset, Rule: "dead", Asset: asset, Priority: telemetry.High, Summary: "No voltage", Began: now}
	if err := alarm.TakeAlerts(c.t.Context(), c.store, "test", []alarm.Alert{alert}, now); err != nil {
		c.t.Fatal(err)
	}
}

// The program in the documentation is right, and does what it says: it lists what there
// is, and shows what comes, once, also what comes while the cloud is away.
func TestProgramInTheDocumentation(t *testing.T) {
	c := &cloud{t: t, store: storetest.Open(t), addr: "127.0.0.1:0"}
	secret := access.TokenPrefix + access.NewSecret()
	token := store.APIToken{Name: "wall", Role: "viewer", Zones: "*", Expires: telemetry.MicrosOf(time.Now().Add(time.Hour))}
	if err := c.store.AddAPIToken(t.Context(), token, secret); err != nil {
		t.Fatal(err)
	}
	c.raise("feeder-1")
	c.start()
	defer func() { c.stop() }()

	docs, err := os.ReadFile(filepath.Join(peer.Root(), "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := os.ReadFile("client.ts")
	if err != nil {
		t.Fatal(err)
	}
	program := regexp.MustCompile("(?s)```ts\n(.*?)```").FindSubmatch(docs)
	if program == nil {
		t.Fatal("docs/api.md has no program")
	}
	with := func(secret string) string {
		return strings.NewReplacer("http://127.0.0.1:8080", c.server.URL, "bb_…", secret).Replace(string(program[1]))
	}
	dir, complaints := typescript.Project(t, string(client), map[string]string{"program.ts": with(secret), "stranger.ts": with("bb_stranger")})
	if complaints != "" {
		t.Fatal(complaints)
	}
	if out, err := typescript.Node(t, dir, "stranger.js").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "401 ") {
		t.Errorf("whoever isn't known is told %q, %v", out, err)
	}

	run := typescript.Node(t, dir, "program.js")
	run.Stderr = os.Stderr
	out, err := run.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	defer run.Wait()
	defer run.Process.Kill()
	lines := bufio.NewScanner(out)
	shown := func(asset string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != fmt.Sprintf("high %s No voltage", asset) {
			t.Fatalf("%q, want the alarm of %s", lines.Text(), asset)
		}
	}
	shown("feeder-1")
	c.raise("feeder-2")
	shown("feeder-2")
	c.stop()
	c.raise("feeder-3")
	c.start()
	shown("feeder-3")
	c.raise("feeder-4")
	shown("feeder-4")
}
