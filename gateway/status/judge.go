package status

import (
	"fmt"
	"mime"
	"net"
	"net/http"
	"strings"
)

// judged serves what this machine asks, and nothing that the page of another site makes
// a browser on it ask: a name that somebody else has pointed at this machine is no
// name of it.
func judged(answer http.Handler) http.Handler {
	return http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !local(r.Host) {
			http.Error(w, fmt.Sprintf("%q isn't a name of this machine that this is answered for: localhost and loopback addresses are", r.Host), http.StatusMisdirectedRequest)
			return
		}
		answer.ServeHTTP(w, r)
	}))
}

// asked serves what has the gateway do something. A page has to ask before a browser
// sends that content type elsewhere, also one that knows nothing of origins.
func asked(source Source, answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			http.Error(w, "expected Content-Type: application/json", http.StatusUnsupportedMediaType)
			return
		}
		w.Header().Set(GatewayHeader, source.Report().Gateway)
		answer(w, r)
	}
}

// local reports whether a host name in a request means this machine. None does, which
// old checks of health send and no browser.
func local(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "" || host == "localhost" || ip != nil && ip.IsLoopback()
}
