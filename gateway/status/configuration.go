package status

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
)

// Configurable is a Source whose configuration can be changed while it runs. Whoever
// reaches the listener, so anybody on this machine, may ask for that who knows what
// somebody has put beside the configuration's file who may write there, and gets
// that: no request carries a configuration.
type Configurable interface {
	// TryNew tries the file beside the configuration's, and returns when it has held
	// or was rolled back. The error is why it wasn't tried.
	TryNew(Trial) (Outcome, error)
	// Keep makes the one last that has held and has this hash: it is in the
	// configuration's file by now.
	Keep(sha256 string) error
}

// Trial asks for a configuration to be tried.
type Trial struct {
	SHA256 string        `json:"sha256"` // of the file, in hexadecimal
	Wait   time.Duration `json:"wait_ns"`
	By     string        `json:"by"`
}

// Outcome is what came of a trial.
type Outcome struct {
	Held      bool     `json:"held"`      // it runs
	Unchanged bool     `json:"unchanged"` // and is no other than the one before
	Causes    []string `json:"causes"`    // why it was rolled back
	Notes     []string `json:"notes"`     // what else there is to say: new devices that don't answer
}

// Why is the causes in one line.
func (o Outcome) Why() string { return strings.Join(o.Causes, "; ") }

const (
	shortestWait = time.Second
	longestWait  = time.Hour
	longestBy    = 100
)

// configure answers what asks for another configuration.
func configure(mux *http.ServeMux, source Source) {
	answer := func(path string, f func(Configurable, Trial) (Outcome, error)) {
		mux.HandleFunc("POST "+path, asked(source, func(w http.ResponseWriter, r *http.Request) {
			var t Trial
			decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&t); err != nil || len(t.By) > longestBy || strings.ContainsFunc(t.By, unicode.IsControl) {
				http.Error(w, "malformed", http.StatusBadRequest)
				return
			}
			gateway, ok := source.(Configurable)
			if !ok {
				http.Error(w, "this gateway's configuration stays as it is", http.StatusNotFound)
				return
			}
			outcome, err := f(gateway, t)
			if err != nil {
				http.Error(w, err.Error(), http.StatusConflict)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(outcome)
		}))
	}
	answer("/configuration/try", func(g Configurable, t Trial) (Outcome, error) {
		if t.Wait < shortestWait || t.Wait > longestWait {
			return Outcome{}, fmt.Errorf("wait: %v, expected %v to %v", t.Wait, shortestWait, longestWait)
		}
		return g.TryNew(t)
	})
	answer("/configuration/keep", func(g Configurable, t Trial) (Outcome, error) {
		return Outcome{Held: true}, g.Keep(t.SHA256)
	})
}
