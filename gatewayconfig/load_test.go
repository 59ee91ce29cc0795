package gatewayconfig

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
	firmware "github.com/busbar/busbar/firmware-config"
	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
)

// minimal is the least that a gateway needs; tests add to it or replace parts.
const minimal = `gateway: {id: gw}
forward: {kafka: {brokers: [localhost:9092]}}
buffer: {path: data}
devices:
  - id: meter
    modbus: {endpoint: tcp://10.0.0.11}
    signals:
      - {name: TotW, input: 0x34, type: float32, unit: W}
      - {name: Pos, coil: 7}
`

func TestDefaults(t *testing.T) {
	got, err := Parse("gateway.yaml", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	second := configfile.Duration(time.Second)
	register, coil := uint16(52), uint16(7)
	want := Config{
		Gateway:  Gateway{ID: "gw", Key: "data/gateway.key", Control: Disabled},
		Forward:  Forward{Kafka: &kafkaconn.Config{Brokers: []string{"localhost:9092"}, TopicPrefix: "busbar"}},
		Buffer:   Buffer{Path: "data", MaxSize: configfile.GiB, ReserveForEvents: 64 * configfile.MiB},
		Status:   Status{Listen: "127.0.0.1:9464"},
		Time:     Time{Source: SourceKernel, MaxHold: configfile.Duration(10 * time.Minute)},
		Update:   Update{Every: configfile.Duration(time.Hour), ConfirmWithin: configfile.Duration(10 * time.Minute)},
		Defaults: Defaults{PollEvery: second, Timeout: second},
		Devices: []Device{{
			ID: "meter", Asset: "meter", PoweredBy: Unknown, PollEvery: second, Timeout: second,
			Modbus: &Modbus{Endpoint: "tcp://10.0.0.11", Unit: 1},
			Signals: []Signal{
				{Name: "TotW", Input: &register, Type: modbus.Float32, Scale: 1, Unit: "W", Kind: telemetry.Gauge},
				{Name: "Pos", Coil: &coil, Type: modbus.Bool, Scale: 1, Unit: "1", Kind: telemetry.State},
			},
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if p := got.Devices[0].Signals[1].Point(); p.Table != modbus.Coil || p.Address != 7 {
		t.Errorf("Pos is %+v", p)
	}
}

func TestDevicesOverrideDefaults(t *testing.T) {
	src := strings.Replace(minimal, "    signals:", "    poll_every: 10s\n    asset: feeder-1\n    signals:", 1) + "defaults: {poll_every: 5s, timeout: 300ms}\n"
	c, err := Parse("gateway.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	d := c.Devices[0]
	if d.PollEvery != configfile.Duration(10*time.Second) || d.Timeout != configfile.Duration(300*time.Millisecond) || d.Asset != "feeder-1" {
		t.Errorf("%+v", d)
	}
}

func TestExamples(t *testing.T) {
	c, err := Parse("gateway.yaml", firmware.Example)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.Devices[0].Signals) + len(c.Devices[1].Signals); len(c.Devices) != 2 || n != 13 || len(c.Rules) != 4 || c.Devices[1].Modbus.Unit != 17 {
		t.Errorf("%+v", c)
	}
	m := c.Model()
	if len(m.Signals) != 19 || m.Signals[15].Device != "north-gw1" || m.Signals[15].Name != rules.ClockState || m.Devices[2].ID != "north-gw1" || m.Assets[0].NominalVoltage != 20_000 || m.Assets[1].RatedCurrent != 250 {
		t.Errorf("%+v", m)
	}
	if s := m.Signals[8]; !reflect.DeepEqual(s, telemetry.Signal{ID: 9, Device: "feeder-1-meter", Name: "ChLiv", Unit: "1", Asset: "feeder-1", Kind: telemetry.State}) {
		t.Errorf("%+v", s)
	}
	if d := m.Devices[1]; d != (rules.Device{ID: "transformer-monitor", Asset: "T1", PoweredBy: rules.PoweredByAuxiliary, Supply: "busbar-a", Bus: "tcp://10.0.0.30:502", PollEvery: time.Second}) {
		t.Errorf("%+v", d)
	}
	if _, err := Parse("first-meter.yaml", firmware.FirstMeter); err != nil {
		t.Error(err)
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	if _, err := Load(path); err == nil || !strings.HasPrefix(err.Error(), "read the configuration: open "+path) {
		t.Errorf("missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte(minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(path); err != nil || c.Gateway.ID != "gw" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestReserveForEventsIsAtMostAQuarter(t *testing.T) {
	for buffer, want := range map[string]configfile.Size{
		"{path: data, max_size: 16MiB}":                              4 * configfile.MiB,
		"{path: data, max_size: 4GiB}":                               64 * configfile.MiB,
		"{path: data, max_size: 64MiB, reserve_for_events: 16MiB}":   16 * configfile.MiB,
		"{path: data, max_size: 64MiB, reserve_for_events: 17MiB}":   0,
		"{path: data, max_size: 64MiB, reserve_for_events: 512KiB}":  0,
		"{path: data, max_size: 64MiB, reserve_for_events: nothing}": 0,
	} {
		c, err := Parse("gateway.yaml", []byte(strings.Replace(minimal, "{path: data}", buffer, 1)))
		switch {
		case (err == nil) != (want > 0):
			t.Errorf("%s: %v", buffer, err)
		case err == nil && c.Buffer.ReserveForEvents != want:
			t.Errorf("%s: %v reserved, want %v", buffer, c.Buffer.ReserveForEvents, want)
		case err != nil && !strings.Contains(err.Error(), "buffer.reserve_for_events"):
			t.Errorf("%s: %v", buffer, err)
		}
	}
}

// What has to be known of a file to say over the network what is wrong with it.
func TestTheNetworkOfAFileThatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"gateway: {id: Wrong}\nnetwork: {address: 10.0.0.20/24}\ndevices: []\n": "10.0.0.20/24",
		"network: {address: 10.0.0.20}\n":                                       "",
		"network: {address: [1]}\n":                                             "",
		"network: {address: 10.0.0.20/24, adress: 1}\n":                         "",
		"gateway: {id: gw}\n":                                                   "",
		"network: {address: 10.0.0.20/24}\n\t{":                                 "",
	} {
		n, ok := ParseNetwork("gateway.yaml", []byte(text))
		if got := map[bool]string{true: n.Address}[ok]; got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestFilesThatAConfigurationNames(t *testing.T) {
	c, err := Parse("testdata/x.yaml", []byte(`
gateway: {id: gw, key: own.key, commands: {key: commands.pub}}
forward: {kafka: {brokers: ["127.0.0.1:9092"], tls: {ca: ca.crt, cert: gw.crt, key: gw.key}}}
buffer: {path: buffer}
status: {listen: "0.0.0.0:9464", password_file: status.password}
devices:
  - {id: ups, nut: {endpoint: "tcp://127.0.0.1", ups: ups, username: u, password_file: ups.password}, signals: [{name: OnLine, status: OL, unit: "1"}]}
  - {id: other, nut: {endpoint: "tcp://127.0.0.1", ups: other, username: u, password_file: /etc/elsewhere}, signals: [{name: OnLine, status: OL, unit: "1"}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := "commands.pub ca.crt gw.crt gw.key status.password ups.password"
	if got := strings.Join(c.Files(), " "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
