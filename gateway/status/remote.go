package status

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/busbar/busbar/gateway/buffer"
)

// Access is what keeps a status page that other machines reach from anybody's eyes.
type Access struct {
	Certificate tls.Certificate
	Password    string
}

// Fingerprint is the SHA-256 of the certificate, as people compare it.
func (a Access) Fingerprint() string { return Fingerprint(a.Certificate.Certificate[0]) }

// Fingerprint is the SHA-256 of a certificate, in pairs of hexadecimal digits.
func Fingerprint(certificate []byte) string {
	sum := sha256.Sum256(certificate)
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = strings.ToUpper(hex.EncodeToString([]byte{b}))
	}
	return strings.Join(pairs, ":")
}

// Remote is what who has the gateway's password can ask for beside what anybody on its
// machine can. Devices aren't operated that way.
type Remote interface {
	Source
	// Configuration is the text that the gateway runs with.
	Configuration() []byte
	// Replace tries another one, and keeps it if it holds. The error is why it wasn't tried
	// or can't be kept.
	Replace(ctx context.Context, text []byte, by string, wait time.Duration) (Outcome, error)
	// Log is the last lines of the log from a number on, the next one's number, and what is
	// closed when that has come.
	Log(from uint64) (lines []byte, next uint64, more <-chan struct{})
	// Inspect says what the buffer holds.
	Inspect(ctx context.Context, signals bool) ([]buffer.File, error)
	// Export writes what is selected. The lines say what of it was passed over.
	Export(ctx context.Context, s buffer.Selection, to *buffer.Lines) (damage []string, err error)
}

// ServeRemote answers other machines on l until ctx ends, by TLS and for the password.
func ServeRemote(ctx context.Context, l net.Listener, access Access, source Remote, log *slog.Logger) {
	serve(ctx, tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{access.Certificate}, MinVersion: tls.VersionTLS12}), remoteHandler(source, access.Password), log)
}

func remoteHandler(source Remote, password string) http.Handler {
	mux := routes(source)
	mux.HandleFunc("GET /configuration", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		w.Header().Set(GatewayHeader, source.Report().Gateway)
		w.Write(source.Configuration())
	})
	mux.HandleFunc("POST /configuration", asked(source, func(w http.ResponseWriter, r *http.Request) { replace(w, r, source) }))
	mux.HandleFunc("GET /logs", func(w http.ResponseWriter, r *http.Request) { tell(w, r, source) })
	mux.HandleFunc("GET /buffer", func(w http.ResponseWriter, r *http.Request) {
		files, err := source.Inspect(r.Context(), r.URL.Query().Has("signals"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(files)
	})
	mux.HandleFunc("GET /buffer/export", func(w http.ResponseWriter, r *http.Request) { export(w, r, source) })
	guard := guard{password: sha256.Sum256([]byte(password)), tries: map[string]tries{}}
	return http.NewCrossOriginProtection().Handler(guard.admit(mux))
}

// Replacement asks for another configuration.
type Replacement struct {
	Text string        `json:"text"`
	Wait time.Duration `json:"wait_ns"`
	By   string        `json:"by"`
}

// mostConfiguration is more than the longest configuration has, in bytes.
const mostConfiguration = 8 << 20

func replace(w http.ResponseWriter, r *http.Request, source Remote) {
	var asked Replacement
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostConfiguration))
	decoder.DisallowUnknownFields()
	switch err := decoder.Decode(&asked); {
	case err != nil:
		http.Error(w, fmt.Sprintf("the request can't be read: %v", err), http.StatusBadRequest)
		return
	case len(asked.By) > longestBy || strings.ContainsFunc(asked.By, unicode.IsControl):
		http.Error(w, "malformed name", http.StatusBadRequest)
		return
	case asked.Wait < shortestWait || asked.Wait > longestWait:
		http.Error(w, fmt.Sprintf("wait: %v, expected %v to %v", asked.Wait, shortestWait, longestWait), http.StatusBadRequest)
		return
	}
	outcome, err := source.Replace(r.Context(), []byte(asked.Text), asked.By+" at "+host(r.RemoteAddr), asked.Wait)
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(outcome)
}

// tell answers with the lines of the log that are kept, and those that come, if the
// request says follow.
func tell(w http.ResponseWriter, r *http.Request, source Remote) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	follow := r.URL.Query().Has("follow")
	for from := uint64(0); ; {
		lines, next, more := source.Log(from)
		if _, err := w.Write(lines); err != nil || !follow {
			return
		}
		from = next
		http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-more:
		}
	}
}

// DamageTrailer lists behind an export what of it was passed over, separated by "; ".
const DamageTrailer = "Busbar-Damage"

func export(w http.ResponseWriter, r *http.Request, source Remote) {
	q := r.URL.Query()
	s, format, err := buffer.ParseSelection(q.Get("stream"), q.Get("format"), q.Get("from"), q.Get("to"), q.Get("device"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Trailer", DamageTrailer)
	w.Header().Set("Content-Type", map[buffer.Format]string{buffer.CSV: "text/csv", buffer.JSONLines: "application/x-ndjson"}[format])
	lines := buffer.NewLines(w, format)
	damage, err := source.Export(r.Context(), s, lines)
	if err = errors.Join(err, lines.Flush()); err != nil {
		damage = append(damage, "the export has broken off: "+err.Error())
	}
	w.Header().Set(DamageTrailer, strings.ReplaceAll(strings.Join(damage, "; "), "\n", "; "))
}

// guard lets those in who have the password, and has others wait. The name isn't looked at.
type guard struct {
	password [sha256.Size]byte

	mu    sync.Mutex
	tries map[string]tries // by who asks
}

// tries are those with a wrong password by one address.
type tries struct {
	wrong int
	last  time.Time
}

const (
	freeTries = 5           // before there is a wait
	waitTries = time.Second // after a wrong one
	mostTries = 1000        // askers that are remembered
)

func (g *guard) admit(answer http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, now := asker(r.RemoteAddr), time.Now()
		_, password, given := r.BasicAuth()
		if !g.mayTry(from, given, now) {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many wrong passwords from this address: wait a second", http.StatusTooManyRequests)
			return
		}
		sum := sha256.Sum256([]byte(password))
		if given && subtle.ConstantTimeCompare(sum[:], g.password[:]) == 1 {
			g.forget(from)
			w.Header().Set("Strict-Transport-Security", "max-age=31536000")
			answer.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="Busbar gateway, any name"`)
		http.Error(w, "expected the gateway's password", http.StatusUnauthorized)
	})
}

// mayTry reports whether a password may be tried, and counts one that is given as wrong, until
// it is forgotten: however many are given at once, no more are looked at. A browser asks
// without one first.
func (g *guard) mayTry(from string, given bool, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	t, known := g.tries[from]
	if t.wrong >= freeTries && now.Sub(t.last) < waitTries {
		return false
	}
	if !given {
		return true
	}
	if !known && len(g.tries) >= mostTries {
		g.forgetOldest()
	}
	g.tries[from] = tries{t.wrong + 1, now}
	return true
}

func (g *guard) forgetOldest() {
	var oldest string
	for from, t := range g.tries {
		if oldest == "" || t.last.Before(g.tries[oldest].last) {
			oldest = from
		}
	}
	delete(g.tries, oldest)
}

func (g *guard) forget(from string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.tries, from)
}

// asker is who asks, as wrong passwords are counted: an address, or the 64 bits of one by IPv6
// that a network has, as anybody in it has all the others.
func asker(address string) string {
	from, err := netip.ParseAddrPort(address)
	if err != nil {
		return address
	}
	ip := from.Addr().Unmap()
	if ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip.WithZone(""), 64).Masked().String()
}

func host(address string) string {
	h, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return h
}
