package status

import (
	"encoding/json"
	"net/http"

	"github.com/busbar/busbar/rules"
)

// explain answers why alarms are active or aren't.
func explain(source Source) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q rules.Question
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&q); err != nil {
			http.Error(w, "malformed", http.StatusBadRequest)
			return
		}
		explanations, err := source.Explain(r.Context(), q)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(explanations)
	}
}
