package api

import (
	"net"
	"net/http"
	"strings"
)

// probes are the paths of probes. They tell of no data.
var probes = map[string]bool{"/healthz": true, "/livez": true, "/readyz": true}

// Guard refuses what another web site could make a browser send: requests that cross
// origins, and host names that were pointed here. It answers to loopback addresses and to
// those that named, unless it is nil, says are its own. Probes come by any address.
// Answers are made safe to show: no page may frame them, and with secure, which says that
// all is TLS, browsers don't come back without it.
func Guard(next http.Handler, named func(host string) bool, secure bool) http.Handler {
	var crossOrigin http.CrossOriginProtection
	return crossOrigin.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		if secure {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if strings.HasPrefix(r.URL.Path, "/api/") {
			h.Set("Cache-Control", "no-store")
		}
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		host = strings.Trim(host, "[]")
		ip := net.ParseIP(host)
		if probes[r.URL.Path] || host == "localhost" || ip != nil && ip.IsLoopback() || named != nil && named(host) {
			next.ServeHTTP(w, r)
			return
		}
		whose := "localhost and loopback addresses"
		if named != nil {
			whose += ", and to the names in its certificate,"
		}
		http.Error(w, "this server answers to "+whose+" only", http.StatusMisdirectedRequest)
	}))
}
