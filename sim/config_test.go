package sim

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/busbar/busbar/configfile"
)

const minimal = `devices:
  - {id: head, feeder: feeder-1, listen: "127.0.0.1:0", profile: H0-A, rated_power: 60 kW}
`

func TestParseConfigDefaults(t *testing.T) {
	c, err := ParseConfig("dir/sim.yaml", []byte("sim: {truth_log: truth.jsonl}\n"+minimal))
	if err != nil {
		t.Fatal(err)
	}
	want := Device{ID: "head", Feeder: "feeder-1", Listen: "127.0.0.1:0", Unit: 1, PoweredBy: Measured, Profile: "H0-A",
		RatedPower: configfile.Quantity{Value: 60, Unit: "kW"}}
	if c.Sim != (Settings{Speed: 1, TruthLog: "dir/truth.jsonl"}) || len(c.Devices) != 1 || !reflect.DeepEqual(c.Devices[0], want) {
		t.Errorf("%+v", c)
	}
}

func TestParseConfigNamesEveryError(t *testing.T) {
	_, err := ParseConfig("sim.yaml", []byte(`sim:
  speed: 0
  sped: 60
devices:
  - {id: Head, feeder: feeder-1, listen: "127.0.0.1", unit: 300, powered_by: mains, profile: H9-A, rated_power: 60 kVA}
  - {id: end, feeder: feeder-1, listen: "127.0.0.1:99999", profile: H0-A, rated_power: 60 kW}
  - {id: end, feeder: feeder-1, listen: "127.0.0.1:99999", profile: H0-A}
faults:
  - {at: 20, feeder: feeder-1, kind: outage}
  - {at: 20s, feeder: feeder-9, kind: outage}
  - {device: end, kind: misbehave, how: "late=2"}
`))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"sim.yaml:2:10: sim.speed: 0 is not above 0 and up to 44640",
		`sim.yaml:3:3: sim.sped: unknown key "sped"`,
		`sim.yaml:5:10: devices[0].id: "Head" is not`,
		`sim.yaml:5:42: devices[0].listen: "127.0.0.1" is not host:port`,
		"devices[0].unit: 300 is not from 1 to 247",
		`devices[0].powered_by: "mains" is neither measured nor auxiliary`,
		`devices[0].profile: no profile "H9-A"; there are G0-A, `,
		`devices[0].rated_power: "60 kVA" is no power`,
		`sim.yaml:6:41: devices[1].listen: "99999" is no port`,
		`sim.yaml:7:10: devices[2].id: "end" is already the id of devices[1]`,
		"devices[2].unit: devices[1] is already unit 1 at 127.0.0.1:99999",
		"devices[2].rated_power: the key is missing",
		"sim.yaml:9:10: faults[0].at: ",
		`sim.yaml:11:41: faults[2].how: "late=2": late takes a time`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing: %s", want)
		}
	}
	if t.Failed() {
		t.Logf("%v", err)
	}
}

// A fault that names a device which could not be read is not one more error.
func TestParseConfigDoesNotBlameFaultsForDevices(t *testing.T) {
	fault := "faults:\n  - {feeder: feeder-9, kind: outage}\n"
	_, err := ParseConfig("sim.yaml", []byte(minimal+fault))
	if err == nil || !strings.Contains(err.Error(), `sim.yaml:4:14: faults[0].feeder: no device is on feeder "feeder-9"; there are feeder-1`) {
		t.Errorf("unknown feeder: %v", err)
	}
	_, err = ParseConfig("sim.yaml", []byte(strings.Replace(minimal, "feeder: feeder-1", "feder: feeder-9", 1)+fault))
	if err == nil || !strings.Contains(err.Error(), "feder") || strings.Contains(err.Error(), "faults[0]") {
		t.Errorf("misspelled key: %v", err)
	}
}

func TestExample(t *testing.T) {
	c, err := LoadConfig("example/sim.yaml")
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, d := range c.Devices {
		count[d.Feeder+" "+d.PoweredBy]++
	}
	for _, feeder := range []string{"feeder-1", "feeder-2"} {
		if count[feeder+" auxiliary"] != 1 || count[feeder+" measured"] != 2 {
			t.Errorf("%s: %v, want a head meter with a supply of its own and two without", feeder, count)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	example, err := os.ReadFile("example/sim.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte(minimal + "faults: [{kind: misbehave, device: head, how: late}]"))
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := ParseConfig("sim.yaml", src)
		if err != nil {
			return
		}
		if err := c.validate(); err != nil {
			t.Fatalf("read without error, and then: %v", err)
		}
	})
}
