//go:build linux

package appliance

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"html"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// troublePort is where a status page is unless a configuration says otherwise.
const troublePort = "9464"

// ShowTrouble says over the network why no gateway runs, until ctx ends. It asks for no
// password, since none is known as long as there is no configuration, and so says no more
// than where that is wrong and how.
func (m *Machine) ShowTrouble(ctx context.Context, certificate tls.Certificate, err error) {
	listener, listening := net.Listen("tcp", ":"+troublePort)
	if listening != nil {
		m.log.Error("what is wrong can't be said over the network", "error", listening)
		return
	}
	text := problem(err)
	server := http.Server{ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		if r.URL.Path != "/" {
			http.Error(w, text, http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintf(w, troublePage, strings.ReplaceAll(html.EscapeString(text), "\n", "<br>\n"))
	})}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	tlsListener := tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	if err := server.Serve(tlsListener); !errors.Is(err, http.ErrServerClosed) {
		m.log.Error("what is wrong isn't said over the network any more", "error", err)
	}
}

const troublePage = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="5">
<title>Busbar gateway: not running</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { margin: 1.5rem auto; padding: 0 1rem; max-width: 52rem; }
  h1 { font-size: 1.4rem; margin: 0; }
  .problem { border-left: .3rem solid #c2410c; padding-left: .6rem; }
</style>
<h1>This gateway doesn't run</h1>
<p>What is wrong:</p>
<p class="problem">%s</p>
<p>To change gateway.yaml, switch the machine off, put its card into a computer, and edit it on the partition BUSBAR.</p>
</html>
`

// Sign has the board's lamp say how things are, if it has one: it beats while a gateway
// runs, and flickers while none does.
func (m *Machine) Sign(runs bool) {
	for _, lamp := range []string{"ACT", "led0"} {
		dir := filepath.Join("/sys/class/leds", lamp)
		trigger := "timer"
		if runs {
			trigger = "heartbeat"
		}
		if err := os.WriteFile(filepath.Join(dir, "trigger"), []byte(trigger), 0o644); err != nil {
			continue
		}
		if !runs {
			_ = errors.Join(os.WriteFile(filepath.Join(dir, "delay_on"), []byte("100"), 0o644), os.WriteFile(filepath.Join(dir, "delay_off"), []byte("100"), 0o644))
		}
	}
}

// Screen is what people see who stand before a machine: the kernel's console, which the
// process was started with, and its screen, if that is another one.
type Screen struct{ screen *os.File }

// Write implements io.Writer. A screen that can't be written is gone without.
func (s *Screen) Write(text []byte) (int, error) {
	if s.screen == nil {
		if active, err := os.ReadFile("/sys/class/tty/console/active"); err == nil {
			consoles := strings.Fields(string(active))
			if slices.Contains(consoles, "tty0") && consoles[len(consoles)-1] != "tty0" {
				s.screen, _ = os.OpenFile("/dev/tty0", os.O_WRONLY|unix.O_NOCTTY, 0)
			}
		}
	}
	if s.screen != nil {
		_, _ = s.screen.Write(text)
	}
	return os.Stderr.Write(text)
}

// Addresses are those by which other machines reach this one.
func (m *Machine) Addresses() []string {
	var list []string
	addresses, _ := net.InterfaceAddrs()
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			list = append(list, n.IP.String())
		}
	}
	return list
}
