package status

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/busbar/busbar/gateway/discovery"
)

// ErrNoEndpoint is that a gateway doesn't read devices from an endpoint.
var ErrNoEndpoint = errors.New("the gateway doesn't read from this endpoint")

// ScanLine is one line of the answer to a scan: a unit, or in the last one neither
// that nor more than why the scan has ended early.
type ScanLine struct {
	Progress *discovery.Progress `json:"progress,omitempty"`
	Error    string              `json:"error,omitempty"`
}

// maxScanRequest bounds what a scan is asked for with.
const maxScanRequest = 16 << 10

// scan answers with a line of JSON for each unit, as soon as it was asked.
func scan(source Source) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var request discovery.Request
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxScanRequest)).Decode(&request); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if _, _, err := request.Parse(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		begun := false
		write := func(line ScanLine) {
			w.Header().Set("Content-Type", "application/x-ndjson")
			begun = true
			json.NewEncoder(w).Encode(line)
			http.NewResponseController(w).Flush()
		}
		err := source.Scan(r.Context(), request, func(p discovery.Progress) { write(ScanLine{Progress: &p}) })
		switch {
		case err == nil:
			write(ScanLine{})
		case begun:
			write(ScanLine{Error: err.Error()})
		case errors.Is(err, ErrNoEndpoint):
			http.Error(w, err.Error(), http.StatusNotFound)
		default:
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	}
}
