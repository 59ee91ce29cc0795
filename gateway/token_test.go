package gateway

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/telemetry/record"
)

// A gateway that starts with a token enrols itself by it, once, and the token is gone then;
// so it is if the cloud refuses it.
func TestAGatewayEnrolsItselfByItsToken(t *testing.T) {
	for _, refuses := range []bool{false, true} {
		certificate, ca := selfSigned(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		asked := make(chan record.Enrolment, 10)
		far := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/enrolment") {
				text, _ := io.ReadAll(r.Body)
				var e record.Enrolment
				if json.Unmarshal(text, &e) == nil {
					asked <- e
				}
				if refuses {
					w.WriteHeader(http.StatusForbidden)
				}
			}
			json.NewEncoder(w).Encode(record.UplinkAnswer{})
		}))
		far.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
		far.StartTLS()
		defer far.Close()
		dir := t.TempDir()
		for name, text := range map[string]string{"ca.crt": string(ca), "token": "MFRGG\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		b := newBench(t)
		b.config.Forward.Kafka = nil
		b.config.Forward.Uplink = &gatewayconfig.Uplink{URL: far.URL, CA: configfile.Path(filepath.Join(dir, "ca.crt")), TokenFile: configfile.Path(filepath.Join(dir, "token"))}
		stop := b.run()
		select {
		case e := <-asked:
			if e.Gateway != "gw" || e.Token != "MFRGG" {
				t.Errorf("%+v", e)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("the gateway doesn't enrol itself")
		}
		for limit := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if _, err := os.Stat(filepath.Join(dir, "token")); os.IsNotExist(err) {
				break
			}
			if time.Now().After(limit) {
				t.Fatalf("refused %v: the token is still there", refuses)
			}
		}
		stop()
		if len(asked) > 0 {
			t.Errorf("refused %v: it is asked again", refuses)
		}
	}
}
