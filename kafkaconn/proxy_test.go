package kafkaconn

import (
	"context"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/configfile"
)

// connectProxy is an HTTP proxy for one user that counts its tunnels.
func connectProxy(t *testing.T, user string) (url string, tunnels *atomic.Int32) {
	t.Helper()
	tunnels = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		want := ""
		if user != "" {
			want = "Basic " + base64.StdEncoding.EncodeToString([]byte(user))
		}
		if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") != want {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		far, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		tunnels.Add(1)
		near, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			far.Close()
			return
		}
		io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n")
		go func() { io.Copy(far, near); far.Close() }()
		go func() { io.Copy(near, far); near.Close() }()
	}))
	t.Cleanup(server.Close)
	return server.URL, tunnels
}

func TestThroughAProxy(t *testing.T) {
	dir, _, server := pki(t)
	plain, secure := broker(t), broker(t, kfake.TLS(server))
	open, opened := connectProxy(t, "")
	guarded, _ := connectProxy(t, "gw:s3cret")
	nobody := freeAddress(t)
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"plaintext":       {Config{Brokers: []string{plain}, Proxy: &Proxy{URL: open}}, ""},
		"TLS":             {Config{Brokers: []string{secure}, TLS: &TLS{CA: "ca.crt"}, Proxy: &Proxy{URL: open}}, ""},
		"login":           {Config{Brokers: []string{plain}, Proxy: &Proxy{URL: guarded, Username: "gw", PasswordFile: "right"}}, ""},
		"wrong password":  {Config{Brokers: []string{plain}, Proxy: &Proxy{URL: guarded, Username: "gw", PasswordFile: "wrong"}}, "the proxy gives no connection"},
		"no login":        {Config{Brokers: []string{plain}, Proxy: &Proxy{URL: guarded}}, "the proxy gives no connection"},
		"no proxy":        {Config{Brokers: []string{plain}, Proxy: &Proxy{URL: "http://" + nobody}}, "the proxy gives no connection"},
		"nobody behind":   {Config{Brokers: []string{nobody}, Proxy: &Proxy{URL: open}}, "the proxy gives no connection"},
		"not by this CA":  {Config{Brokers: []string{secure}, TLS: &TLS{CA: "other-ca.crt"}, Proxy: &Proxy{URL: open}}, "the broker's certificate comes from another CA"},
		"no HTTP, a mute": {Config{Brokers: []string{plain}, Proxy: &Proxy{URL: "http://" + mute(t)}}, "the proxy gives no connection|no broker answers in time"},
	} {
		t.Run(name, func(t *testing.T) {
			options, err := c.config.Options(dir)
			if err != nil {
				t.Fatal(err)
			}
			client, err := kgo.NewClient(options...)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			err = Check(ctx, client)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			for want := range strings.SplitSeq(c.want, "|") {
				if err != nil && strings.HasPrefix(err.Error(), "kafka: "+want) {
					return
				}
			}
			t.Errorf("%v, want kafka: %s", err, c.want)
		})
	}
	if opened.Load() == 0 {
		t.Error("nothing went through the proxy")
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	return l.Addr().String()
}

// mute accepts connections and says nothing.
func mute(t *testing.T) string {
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func TestValidateProxy(t *testing.T) {
	for src, want := range map[string]string{
		"{url: 'http://proxy.example:3128'}":                       "",
		"{url: 'https://proxy.example'}":                           "",
		"{url: 'proxy.example:3128'}":                              "is no proxy",
		"{url: 'socks5://proxy.example'}":                          "is no proxy",
		"{url: 'http://me:secret@proxy.example'}":                  "is no proxy",
		"{url: 'http://proxy.example', username: me}":              "belong together",
		"{url: 'http://proxy.example', username: me, password: x}": "a password never stands in a configuration",
		"{}": "the key is missing",
	} {
		var into struct {
			Kafka Config `yaml:"kafka,required"`
		}
		f, _ := configfile.Decode("k.yaml", []byte("kafka: {brokers: [localhost:9092], proxy: "+src+"}"), &into)
		into.Kafka.Validate(f, "kafka")
		err := f.Err()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", src, err, want)
		}
	}
}
