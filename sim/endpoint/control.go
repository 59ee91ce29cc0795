package endpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/sim/devices"
)

// ParseMisbehaviours reads what units of an endpoint with this transport can do wrong.
func ParseMisbehaviours(text string, t modbus.Transport) ([]devices.Misbehaviour, error) {
	switch t {
	case modbus.TCP:
		return devices.ParseMisbehaviours(text, devices.OnTCP, devices.OnConnections)
	case modbus.RTUOverTCP:
		return devices.ParseMisbehaviours(text, devices.OnLines, devices.OnConnections)
	}
	return devices.ParseMisbehaviours(text, devices.OnLines)
}

// Control changes what the units do wrong while they answer:
//
//	GET    /                          what there is, and what was shown how often
//	PUT    /misbehave, /misbehave/3   what all units, or unit 3, do wrong from now on
//	DELETE /misbehave, /misbehave/3   nothing, from now on
func (e *Endpoint) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", e.showState)
	for _, path := range []string{"/misbehave", "/misbehave/{unit}"} {
		mux.HandleFunc("PUT "+path, e.change)
		mux.HandleFunc("DELETE "+path, e.change)
	}
	return mux
}

// ListenControl opens the port for Control, which must be one of this machine alone.
func ListenControl(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%q is no address of this machine alone, expected one like 127.0.0.1:5021", address)
	}
	return net.Listen("tcp", address)
}

type unitState struct {
	Unit      byte      `json:"unit"`
	Requests  uint64    `json:"requests"`
	Misbehave []showing `json:"misbehave,omitempty"`
}

type showing struct {
	How   string `json:"how"`
	Shown uint64 `json:"shown"` // to how many requests
}

func (e *Endpoint) showState(w http.ResponseWriter, _ *http.Request) {
	state := struct {
		Endpoint string      `json:"endpoint"`
		Units    []unitState `json:"units"`
	}{Endpoint: e.URL()}
	for _, unit := range e.Units() {
		s, _ := e.State(unit)
		u := unitState{Unit: unit, Requests: s.Requests}
		for _, m := range s.Misbehaviour {
			u.Misbehave = append(u.Misbehave, showing{m.String(), m.Shown})
		}
		state.Units = append(state.Units, u)
	}
	w.Header().Set("Content-Type", "application/json")
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	_ = out.Encode(state)
}

func (e *Endpoint) change(w http.ResponseWriter, r *http.Request) {
	list, units, err := e.wanted(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, unit := range units {
		e.Misbehave(unit, list...)
	}
	w.WriteHeader(http.StatusNoContent)
}

func (e *Endpoint) wanted(r *http.Request) (list []devices.Misbehaviour, units []byte, err error) {
	if r.Method == http.MethodPut {
		text, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, 1<<16))
		if err != nil {
			return nil, nil, err
		}
		if list, err = ParseMisbehaviours(string(text), e.config.Transport); err != nil {
			return nil, nil, err
		}
		if len(list) == 0 {
			return nil, nil, errors.New("no misbehaviour, expected one like late=2s,every=5, or DELETE")
		}
	}
	one := r.PathValue("unit")
	if one == "" {
		return list, e.Units(), nil
	}
	unit, err := strconv.ParseUint(one, 10, 8)
	if _, has := e.State(byte(unit)); err != nil || !has {
		return nil, nil, fmt.Errorf("there is no unit %q", one)
	}
	return list, []byte{byte(unit)}, nil
}
