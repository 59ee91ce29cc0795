package discovery

import (
	"fmt"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
)

// Request is what is to be scanned, and how.
type Request struct {
	Endpoint string              `json:"endpoint"` // as a configuration has it
	Units    string              `json:"units"`    // as Units takes it
	Timeout  configfile.Duration `json:"timeout"`  // for a connection, or an answer
	Pause    configfile.Duration `json:"pause"`    // after each
}

// What a scan may be asked for.
const (
	longestTimeout = 10 * time.Second
	longestPause   = modbus.MaxPause
)

// Parse is the endpoint and the units of a request, or what is wrong with it.
func (r Request) Parse() (modbus.Endpoint, []uint8, error) {
	e, err := modbus.ParseEndpoint(r.Endpoint)
	if err != nil {
		return e, nil, err
	}
	units, err := Units(e.Transport, r.Units)
	if err != nil {
		return e, nil, err
	}
	if t := time.Duration(r.Timeout); t < time.Millisecond || t > longestTimeout {
		return e, nil, fmt.Errorf("timeout %v, expected 1ms to %v", t, longestTimeout)
	}
	if p := time.Duration(r.Pause); p < 0 || p > longestPause {
		return e, nil, fmt.Errorf("pause %v, expected 0s to %v", p, longestPause)
	}
	return e, units, nil
}

// lines are the settings that serial lines have, the most frequent first. A second
// stop bit is no setting of its own: who doesn't send it is understood all the same.
var lines = []struct {
	baud   int
	parity modbus.Parity
}{
	{9600, modbus.NoParity}, {9600, modbus.Even}, {19200, modbus.Even}, {19200, modbus.NoParity},
	{38400, modbus.NoParity}, {115200, modbus.NoParity}, {4800, modbus.NoParity}, {57600, modbus.NoParity},
	{38400, modbus.Even}, {2400, modbus.Even}, {2400, modbus.NoParity}, {4800, modbus.Even}, {9600, modbus.Odd},
	{115200, modbus.Even}, {1200, modbus.NoParity},
}

// Lines is a serial port with each of the settings that are worth trying, in that
// order. The endpoint has none itself.
func Lines(endpoint string) []string {
	var list []string
	for _, l := range lines {
		list = append(list, fmt.Sprintf("%s?baud=%d&parity=%s", endpoint, l.baud, l.parity))
	}
	return list
}
