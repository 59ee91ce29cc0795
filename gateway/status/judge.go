package status

import (
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"strings"
)

// asked serves what has the gateway do something, and it alone says which requests may.
// That pages of other sites don't make a browser send one is seen to by all of the mux,
// and by the content type, which they have to ask for first; a name that somebody else
// has pointed at this machine is no name of it.
func asked(source Source, answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if code, err := judge(r); err != nil {
			http.Error(w, err.Error(), code)
			return
		}
		w.Header().Set(GatewayHeader, source.Report().Gateway)
		answer(w, r)
	}
}

// judge says why a request is refused, and with which status.
func judge(r *http.Request) (code int, err error) {
	if !local(r.Host) {
		return http.StatusMisdirectedRequest, fmt.Errorf("%q isn't a name of this machine that this is answered for: localhost and loopback addresses are", r.Host)
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return http.StatusUnsupportedMediaType, errors.New("expected Content-Type: application/json")
	}
	return 0, nil
}

// local reports whether a host name in a request means this machine.
func local(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
