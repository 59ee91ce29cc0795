package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/busbar/busbar/firmware-config/bundle"
	"github.com/busbar/busbar/gateway/update"
)

// Updatable is a Source whose machine can be given new versions. What it takes is signed, so
// who asks can't make it run anything else.
type Updatable interface {
	// Updates is nil if something else than the gateway updates the machine.
	Updates() *update.Updater
	Health() update.Health
}

var errNoUpdates = errors.New("something else than the gateway updates this machine")

// updates answers what has to do with versions.
func updates(mux *http.ServeMux, source Source) {
	answer := func(w http.ResponseWriter, what any, err error) {
		switch {
		case errors.Is(err, errNoUpdates):
			http.Error(w, err.Error(), http.StatusNotFound)
		case err != nil:
			http.Error(w, err.Error(), http.StatusConflict)
		default:
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set(GatewayHeader, source.Report().Gateway)
			json.NewEncoder(w).Encode(what)
		}
	}
	of := func() (u *update.Updater, h func() update.Health, err error) {
		s, ok := source.(Updatable)
		if !ok || s.Updates() == nil {
			return nil, nil, errNoUpdates
		}
		return s.Updates(), s.Health, nil
	}
	mux.HandleFunc("GET /update", func(w http.ResponseWriter, _ *http.Request) {
		u, _, err := of()
		if err != nil {
			answer(w, nil, err)
			return
		}
		answer(w, u.Status(), nil)
	})
	mux.HandleFunc("GET /update/{sha256}", func(w http.ResponseWriter, r *http.Request) {
		u, _, err := of()
		d, parseErr := digest(r)
		if err = errors.Join(err, parseErr); err != nil {
			answer(w, nil, err)
			return
		}
		answer(w, update.Gathered{Have: u.Have(d)}, nil)
	})
	mux.HandleFunc("PUT /update/{sha256}", func(w http.ResponseWriter, r *http.Request) {
		u, _, err := of()
		d, parseErr := digest(r)
		size, sizeErr := number64(r, "size")
		from, fromErr := number64(r, "from")
		if err = errors.Join(err, parseErr, sizeErr, fromErr); err == nil {
			err = u.Append(d, from, size, patient{r.Body, http.NewResponseController(w)})
		}
		if err != nil {
			io.CopyN(io.Discard, r.Body, 1<<20) // so that the answer is read
			answer(w, nil, err)
			return
		}
		answer(w, update.Gathered{Have: u.Have(d)}, nil)
	})
	mux.HandleFunc("POST /update/{sha256}/install", asked(source, func(w http.ResponseWriter, r *http.Request) {
		u, health, err := of()
		d, parseErr := digest(r)
		size, sizeErr := number64(r, "size")
		if err = errors.Join(err, parseErr, sizeErr); err == nil {
			err = u.Install(d, size, health())
		}
		if err != nil {
			answer(w, nil, err)
			return
		}
		answer(w, u.Status(), nil)
	}))
}

// stalled is how long somebody who brings a bundle may send nothing.
const stalled = time.Minute

// patient is a body that may take long, but not stand still.
type patient struct {
	io.Reader
	c *http.ResponseController
}

func (p patient) Read(b []byte) (int, error) {
	if err := p.c.SetReadDeadline(time.Now().Add(stalled)); err != nil {
		return 0, err
	}
	return p.Reader.Read(b)
}

func digest(r *http.Request) (d bundle.Digest, err error) {
	if err := d.UnmarshalText([]byte(r.PathValue("sha256"))); err != nil {
		return d, fmt.Errorf("SHA-256 %q: %w", r.PathValue("sha256"), err)
	}
	return d, nil
}

func number64(r *http.Request, name string) (int64, error) {
	n, err := strconv.ParseInt(r.URL.Query().Get(name), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s %q: expected a number of bytes", name, r.URL.Query().Get(name))
	}
	return n, nil
}
