package gateway

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/chrony"
)

// A machine that booted in 1970 enrols itself by the time that its gateway has noted,
// beside that, or that a time server tells; and says what to do if neither is
// late enough for the certificate.
func TestEnrolInATimeThatIsNotKnown(t *testing.T) {
	from := time.Now().Add(-time.Hour)
	certificate, ca := selfSigned(t, from, from.Add(48*time.Hour))
	asked := 0
	far := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		json.NewEncoder(w).Encode(record.UplinkAnswer{})
	}))
	far.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	far.StartTLS()
	defer far.Close()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), ca, 0o600); err != nil {
		t.Fatal(err)
	}
	var config gatewayconfig.Config
	config.Gateway.ID, config.Gateway.Key = "gw", "gateway.key"
	config.Buffer.Path = "buffer"
	config.Forward.Uplink = &gatewayconfig.Uplink{URL: far.URL, CA: configfile.Path("ca.crt")}
	enrol := func() error {
		_, err := Enrol(t.Context(), config, Options{Dir: dir, Log: quiet, Kernel: &machine{booted: time.Now(), id: record.Boot{7}, atBoot: day}}, "token")
		return err
	}

	err := enrol()
	for _, want := range []string{"isn't valid yet by this machine's clock", "later than 2026-01-01", "time.ntp"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("by the floor: %v, want %q", err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "buffer")); err == nil || asked > 0 {
		t.Errorf("an enrolment made a buffer, or was asked for %d times", asked)
	}

	server := chrony.Start(t, "local stratum 8")
	config.Time.NTP = []string{server}
	for deadline := time.Now().Add(20 * time.Second); err != nil && time.Now().Before(deadline); {
		err = enrol()
	}
	if err != nil || asked != 1 {
		t.Errorf("by a time server: %v, asked %d times", err, asked)
	}

	config.Time.NTP = nil
	b, err := buffer.Open(buffer.Options{Dir: filepath.Join(dir, "buffer"), Gateway: "gw", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ran := &machine{booted: time.Now(), id: record.Boot{6}, atBoot: telemetry.MicrosOf(time.Now())}
	newClock(b, config.Time, ran, nil, quiet)
	if err := enrol(); err != nil || asked != 2 {
		t.Errorf("by what the gateway has noted: %v, asked %d times", err, asked)
	}
}
