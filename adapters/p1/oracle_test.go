package p1

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/busbar/busbar/adapters/obis"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/peer"
)

// judged is what dsmr-parser makes of a value.
type judged struct {
	Value any
	Unit  string
	At    float64
	Log   [][2]float64
}

// oracle is dsmr-parser's reading of a telegram, by its own names.
func oracle(t *testing.T, telegram []byte, args ...string) map[string]judged {
	t.Helper()
	python := cmp.Or(os.Getenv("BUSBAR_PYTHON"), "python3")
	if out, err := exec.Command(python, "-c", "import dsmr_parser").CombinedOutput(); err != nil {
		peer.Missing(t, "%s has no dsmr-parser: make peers-python\n%v %s", python, err, out)
	}
	c := exec.Command(python, append([]string{"testdata/oracle.py"}, args...)...)
	var said, wrong bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(telegram), &said, &wrong
	if err := c.Run(); err != nil {
		t.Fatalf("%v: %s", err, wrong.String())
	}
	var values map[string]judged
	if err := json.Unmarshal(said.Bytes(), &values); err != nil {
		t.Fatal(err)
	}
	return values
}

// same are the codes of what dsmr-parser calls by these names.
var same = map[string]string{
	"ELECTRICITY_USED_TARIFF_1": "1-0:1.8.1", "ELECTRICITY_USED_TARIFF_2": "1-0:1.8.2",
	"ELECTRICITY_DELIVERED_TARIFF_1": "1-0:2.8.1", "ELECTRICITY_DELIVERED_TARIFF_2": "1-0:2.8.2",
	"CURRENT_ELECTRICITY_USAGE": "1-0:1.7.0", "CURRENT_ELECTRICITY_DELIVERY": "1-0:2.7.0",
	"LONG_POWER_FAILURE_COUNT": "0-0:96.7.9", "SHORT_POWER_FAILURE_COUNT": "0-0:96.7.21",
	"VOLTAGE_SAG_L1_COUNT": "1-0:32.32.0", "VOLTAGE_SAG_L2_COUNT": "1-0:52.32.0", "VOLTAGE_SAG_L3_COUNT": "1-0:72.32.0",
	"VOLTAGE_SWELL_L1_COUNT": "1-0:32.36.0", "VOLTAGE_SWELL_L2_COUNT": "1-0:52.36.0", "VOLTAGE_SWELL_L3_COUNT": "1-0:72.36.0",
	"INSTANTANEOUS_VOLTAGE_L1": "1-0:32.7.0", "INSTANTANEOUS_VOLTAGE_L2": "1-0:52.7.0", "INSTANTANEOUS_VOLTAGE_L3": "1-0:72.7.0",
	"INSTANTANEOUS_CURRENT_L1": "1-0:31.7.0", "INSTANTANEOUS_CURRENT_L2": "1-0:51.7.0", "INSTANTANEOUS_CURRENT_L3": "1-0:71.7.0",
	"INSTANTANEOUS_ACTIVE_POWER_L1_POSITIVE": "1-0:21.7.0", "INSTANTANEOUS_ACTIVE_POWER_L2_POSITIVE": "1-0:41.7.0", "INSTANTANEOUS_ACTIVE_POWER_L3_POSITIVE": "1-0:61.7.0",
	"INSTANTANEOUS_ACTIVE_POWER_L1_NEGATIVE": "1-0:22.7.0", "INSTANTANEOUS_ACTIVE_POWER_L2_NEGATIVE": "1-0:42.7.0", "INSTANTANEOUS_ACTIVE_POWER_L3_NEGATIVE": "1-0:62.7.0",
	"BELGIUM_CURRENT_AVERAGE_DEMAND": "1-0:1.4.0", "BELGIUM_MAXIMUM_DEMAND_MONTH": "1-0:1.6.0", "FUSE_THRESHOLD_L1": "1-0:31.4.0",
	"ACTUAL_TRESHOLD_ELECTRICITY": "0-0:17.0.0", "1 MBUS_METER_READING": "0-1:24.2.", "2 MBUS_METER_READING": "0-2:24.2.", "1 GAS_METER_READING": "0-1:24.3.0",
}

// Every number of dsmr-parser is ours, with its unit and its time, and so is the log.
func TestAsDsmrParser(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		specification string
		least         int
	}{"dsmr5": {"V5", 26}, "dsmr3": {"V3", 8}, "fluvius": {"BELGIUM_FLUVIUS", 14}} {
		telegram := fixture(t, name, name != "dsmr3")
		compare(t, name, telegram, c.least, oracle(t, telegram, c.specification))
	}
}

func compare(t *testing.T, name string, telegram []byte, least int, theirs map[string]judged) {
	t.Helper()
	ours, err := Parse(telegram, amsterdam(t))
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for of, j := range theirs {
		code, known := same[of]
		if !known {
			continue
		}
		compared++
		r, found := register(ours.Registers, code)
		want, isNumber := j.Value.(float64)
		if text, is := j.Value.(string); is {
			n, ok := obis.ParseNumber([]byte(text))
			want, isNumber = n.Float(), ok
		}
		unit, scale := j.Unit, 1.0
		if strings.HasPrefix(unit, "k") {
			unit, scale = strings.Replace(unit[1:], "Wh", "W.h", 1), 1000
		}
		value, _ := r.Value.Float()
		if !found || !isNumber || math.Abs(value-want*scale) > 1e-9*math.Abs(value) || r.Unit != unit {
			t.Errorf("%s: %s is %v %s, theirs is %v %s", name, of, r.Value, r.Unit, j.Value, j.Unit)
		}
		if at := float64(r.Time.Unix()); j.At != 0 && at != j.At && code != "0-1:24.3.0" { // they take DSMR 3's for UTC or local time as the machine is
			t.Errorf("%s: %s is of %v, theirs of %v", name, of, at, j.At)
		}
	}
	if at, told := theirs["P1_MESSAGE_TIMESTAMP"]; told && float64(ours.Time.Unix()) != at.At {
		t.Errorf("%s: it is %v, theirs %v", name, ours.Time, at.At)
	}
	log := theirs["POWER_EVENT_FAILURE_LOG"].Log
	if len(log) != len(ours.Failures) {
		t.Fatalf("%s: %d failures, theirs are %d", name, len(ours.Failures), len(log))
	}
	for i, f := range ours.Failures {
		if float64(f.End.Unix()) != log[i][0] || f.Lasted.Seconds() != log[i][1] {
			t.Errorf("%s: failure %v, theirs %v", name, f, log[i])
		}
	}
	if compared < least {
		t.Errorf("%s: only %d values were compared", name, compared)
	}
}

func register(registers []obis.Register, code string) (obis.Register, bool) {
	for _, r := range registers {
		if strings.HasPrefix(r.Code.String(), code) && r.Value.Kind() == telemetry.Float64 {
			return r, true
		}
	}
	return obis.Register{}, false
}

// dsmr-parser decrypts what our tests encrypt.
func TestDsmrParserDecrypts(t *testing.T) {
	t.Parallel()
	telegram := fixture(t, "dsmr5", true)
	theirs := oracle(t, encrypt(t, telegram, 1), "AUSTRIA_ENERGIENETZE_STEIERMARK", hex.EncodeToString(testKey), hex.EncodeToString(SmartyAuthentication))
	if v := theirs["CURRENT_ELECTRICITY_USAGE"]; v.Value != 1.193 {
		t.Errorf("%v", theirs)
	}
}
