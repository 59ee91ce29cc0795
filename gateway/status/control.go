package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Control is how operating devices stands.
type Control struct {
	Enabled  bool
	Points   int // that the configuration lists
	Counts   []ControlCount
	Selected []Selected
}

// ControlCount is how many steps had an outcome since the start.
type ControlCount struct {
	Action, Outcome string
	Count           uint64
}

// Selected is a signal that somebody has selected.
type Selected struct {
	Device, Signal, By string
	Expires            time.Time
}

// ControlRequest is what is asked of a signal.
type ControlRequest struct {
	Value     string `json:"value"` // as a person writes it, in the signal's unit
	By        string `json:"by"`
	Selection string `json:"selection,omitempty"` // the ID that select has answered with
}

// ControlAnswer is what came of it.
type ControlAnswer struct {
	ID        string                   `json:"id"`
	Outcome   telemetry.ControlOutcome `json:"outcome"`
	Cause     string                   `json:"cause,omitempty"`
	Detail    string                   `json:"detail,omitempty"`
	Unit      string                   `json:"unit,omitempty"`
	Requested string                   `json:"requested,omitempty"` // the value, as it was understood
	Old       string                   `json:"old,omitempty"`       // what the device showed before
	ReadBack  string                   `json:"read_back,omitempty"` // and afterwards
	Expires   time.Time                `json:"expires,omitzero"`    // of a selection
}

var (
	// ErrUnauthorised is that whoever asks hasn't shown the gateway's token.
	ErrUnauthorised = errors.New("not authorised")
	// ErrNoAction is that there is nothing of that name to ask for.
	ErrNoAction = errors.New("there are select, operate and cancel")
)

// maxControlRequest is more than any request has.
const maxControlRequest = 4 << 10

// serveControl takes a request with the token of a file that only the gateway's user can
// read. What the Source has decided is answered with 200, whatever came of it.
func serveControl(w http.ResponseWriter, r *http.Request, source Source) {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControlRequest))
	decoder.DisallowUnknownFields()
	var request ControlRequest
	if err := decoder.Decode(&request); err != nil {
		http.Error(w, fmt.Sprintf("the request can't be read: %v", err), http.StatusBadRequest)
		return
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	answer, err := source.Operate(r.Context(), r.PathValue("device"), r.PathValue("signal"), r.PathValue("action"), token, request)
	switch {
	case errors.Is(err, ErrUnauthorised):
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, err.Error(), http.StatusUnauthorized)
	case err != nil:
		http.Error(w, err.Error(), http.StatusNotFound)
	default:
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(answer)
	}
}
