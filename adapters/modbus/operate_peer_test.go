package modbus

import (
	"bytes"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Each function that writes, against servers that know nothing of this code.
func TestWritesToPymodbus(t *testing.T) {
	python := python(t)
	for _, transport := range []Transport{TCP, RTUOverTCP, RTU} {
		t.Run(string(transport), func(t *testing.T) {
			endpoint, where := peerAddress(t, transport)
			writesTo(t, endpoint, exec.Command(python, "testdata/meter.py", string(transport), where), map[string]string{"W": "2049"})
		})
	}
}

func TestWritesToLibmodbus(t *testing.T) {
	program := libmodbus(t)
	for _, transport := range []Transport{TCP, RTU} {
		t.Run(string(transport), func(t *testing.T) {
			endpoint, where := peerAddress(t, transport)
			writesTo(t, endpoint, exec.Command(program, string(transport), where), map[string]string{"W": "57"})
		})
	}
}

// peerAddress is where a peer is reached, and where it listens.
func peerAddress(t *testing.T, transport Transport) (endpoint, where string) {
	if transport == RTU {
		ours, theirs, _ := twoTTYs(t)
		return "rtu://" + ours + "?baud=9600&parity=N", theirs
	}
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	return string(transport) + "://" + address, port
}

func writesTo(t *testing.T, endpoint string, server *exec.Cmd, old map[string]string) {
	var out bytes.Buffer
	_, exited := start(t, server, &out)
	d := breaker(endpoint)
	d.PollEvery = 300 * time.Millisecond
	d.Points = slices.DeleteFunc(d.Points, func(p Point) bool { return p.Name == "Scaled" }) // 5 holds no factor
	d.Points = append(d.Points, Point{Signal: 50, Name: "Missing", Table: Holding, Address: 900, Type: Uint16})
	d.Controls = slices.DeleteFunc(d.Controls, func(c Control) bool { return c.Point == "Scaled" || c.Point == "Shown" })
	d.Controls = append(d.Controls, Control{Point: "Missing"})
	awaitMeterOf(t, d, exited, &out)
	a := polled(t, d)
	for _, c := range []struct {
		point string
		value telemetry.Value
		shows string
	}{
		{"Pos", number(1), "true"}, {"Pos", number(0), "false"}, {"Many", number(1), "true"}, {"Many", number(0), "false"},
		{"W", number(4711), "4711"}, {"Pct", number(-12.3), "-12.3"}, {"Wide", number(0.5), "0.5"},
		{"Bit", number(1), "true"}, {"Bit", number(0), "false"}, {"Mask", number(5), "5"}, {"Low", number(200), "200"},
		{"Apart", number(0x1234), "4660"},
	} {
		got, err := operate(t, a, d, c.point, c.value)
		if err != nil || got.Outcome != telemetry.ControlDone || got.ReadBack.String() != c.shows {
			t.Errorf("%s: %+v, %v", c.point, got, err)
		}
		if want := old[c.point]; want != "" && got.Old.String() != want {
			t.Errorf("%s showed %v, expected %s", c.point, got.Old, want)
		}
	}
	if got, err := operate(t, a, d, "Missing", number(1)); got.Outcome != telemetry.ControlFailed || err == nil || !strings.Contains(err.Error(), "illegal data address") {
		t.Errorf("%+v, %v", got, err)
	}
}
