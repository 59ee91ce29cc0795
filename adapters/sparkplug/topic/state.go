package topic

import (
	"encoding/json"
	"fmt"
)

// OfHost is the topic under which a host application says whether it is there.
func OfHost(id string) string { return Namespace + "/STATE/" + id }

// State is what it says (6.4.24).
type State struct {
	Online    bool
	Timestamp int64 // ms since 1970-01-01 UTC
}

// Payload is the state as it is published.
func (s State) Payload() []byte {
	return fmt.Appendf(nil, `{"online":%t,"timestamp":%d}`, s.Online, s.Timestamp)
}

// ParseState reads the payload of a state.
func ParseState(b []byte) (State, error) {
	var s struct {
		Online    *bool    `json:"online"`
		Timestamp *float64 `json:"timestamp"`
	}
	err := json.Unmarshal(b, &s)
	switch {
	case err != nil:
		return State{}, fmt.Errorf("state of a host application: %w", err)
	case s.Online == nil || s.Timestamp == nil || *s.Timestamp < 0 || *s.Timestamp > 1<<53:
		return State{}, fmt.Errorf("state of a host application: %.80q, expected online and timestamp", b)
	}
	return State{*s.Online, int64(*s.Timestamp)}, nil
}
