package devices

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

func bytesOf(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The first four are the examples of the MODBUS Application Protocol
// Specification V1.1b3, §6.1 to §6.4, at the same zero-based addresses.
func TestAnswer(t *testing.T) {
	coils := make([]bool, 0x13+0x13)
	for i, set := range []byte{0xCD, 0x6B, 0x05} {
		for bit := range 8 {
			if at := 0x13 + 8*i + bit; at < len(coils) {
				coils[at] = set>>bit&1 == 1
			}
		}
	}
	inputs := make([]bool, 0xC4+0x16)
	for i, set := range []byte{0xAC, 0xDB, 0x35} {
		for bit := range 8 {
			if at := 0xC4 + 8*i + bit; at < len(inputs) {
				inputs[at] = set>>bit&1 == 1
			}
		}
	}
	holding := make([]uint16, 1<<16)
	holding[0x6B], holding[0x6C], holding[0x6D], holding[0xFFFF] = 0x022B, 0x0000, 0x0064, 0xBEEF
	input := make([]uint16, 9)
	input[8] = 0x000A
	bank := Bank{coils, inputs, holding, input}

	for _, c := range []struct{ name, request, want string }{
		{"read coils", "0100130013", "0103cd6b05"},
		{"read discrete inputs", "0200c40016", "0203acdb35"},
		{"read holding registers", "03006b0003", "0306022b00000064"},
		{"read input registers", "0400080001", "0402000a"},
		{"the last register", "03ffff0001", "0302beef"},
		{"function of writing", "0600010003", "8601"},
		{"function 0", "00", "8001"},
		{"no quantity", "0100130000", "8103"},
		{"2001 bits", "01001307d1", "8103"},
		{"126 registers", "040000007e", "8403"},
		{"request too short", "03006b00", "8303"},
		{"request too long", "03006b000300", "8303"},
		{"past the table", "0400080002", "8402"},
		{"past the last address", "03ffff0002", "8302"},
		{"past the coils", "0100000027", "8102"},
	} {
		before := []byte("before")
		got := answer(slices.Clone(before), bank, bytesOf(t, c.request))
		if want := append(before, bytesOf(t, c.want)...); !bytes.Equal(got, want) {
			t.Errorf("%s: % x, want % x", c.name, got[len("before"):], want[len("before"):])
		}
	}
}

func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{"0100130013", "03006b0003", "0410000002", "0310000002", "03ffffffff", "2b0e0100", "2b0e0404", "03",
		"0500acff00", "064a380003", "0f0013000a02cd01", "104a38000204000a0102", "164a3800f20025"} {
		b, _ := hex.DecodeString(seed)
		f.Add(b)
	}
	bank := Bank{make([]bool, 5000), make([]bool, 3), make([]uint16, 1000), nil}
	config := testMeter(f, func() time.Duration { return time.Minute }).config
	config.Product = productOf(f, "janitza/b23")
	meter := NewMeter(config)
	f.Fuzz(func(t *testing.T, request []byte) {
		if len(request) == 0 || len(request) > maxADU-headerSize {
			return
		}
		for _, u := range []Unit{bank, meter} {
			reply := answer(nil, u, request)
			switch {
			case reply[0] == request[0]|0x80 && len(reply) == 2 && reply[1] >= 1 && reply[1] <= 3:
			case reply[0] != request[0] || len(reply) > maxADU-headerSize:
				t.Fatalf("% x answers % x", request, reply)
			case reply[0] == encapsulated && len(reply) >= 7:
			case reply[0] > byte(InputRegisters) && bytes.HasPrefix(request, reply):
			case len(reply) == 2+int(reply[1]):
			default:
				t.Fatalf("% x answers % x", request, reply)
			}
		}
	})
}

// python is an interpreter that has pymodbus: $BUSBAR_PYTHON, or python3.
func python(t *testing.T) string {
	t.Helper()
	interpreter := os.Getenv("BUSBAR_PYTHON")
	if interpreter == "" {
		interpreter = "python3"
	}
	if out, err := exec.Command(interpreter, "-c", "import pymodbus.client").CombinedOutput(); err != nil {
		const install = "install it with: python3 -m venv V && V/bin/pip install pymodbus==3.16.1, and set BUSBAR_PYTHON=V/bin/python"
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s has no pymodbus (%v: %s); %s", interpreter, err, out, install)
		}
		t.Skipf("%s has no pymodbus; %s", interpreter, install)
	}
	return interpreter
}

func TestPymodbusReadsEverything(t *testing.T) {
	interpreter := python(t)
	bank := Bank{make([]bool, 21), make([]bool, 21), make([]uint16, 125), make([]uint16, 125)}
	for i := range 21 {
		bank.Coils[i] = i%3 == 0
		bank.DiscreteInputs[i] = i%5 == 3
	}
	for i := range 125 {
		bank.HoldingRegisters[i] = uint16(i * 523)
		bank.InputRegisters[i] = uint16(65535 - i)
	}
	meter := testMeter(t, func() time.Duration { return 90 * time.Second })
	s := serve(t, map[byte]Unit{1: bank, 2: meter})
	_, port, _ := splitHostPort(s)

	out, err := exec.Command(interpreter, "testdata/read_all.py", port).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderrOf(err))
	}
	var got struct {
		Coils, Discrete []bool
		Holding, Input  []uint16
		Meter           []float64
		Answers         []uint32
		Exceptions      map[string]int
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if !slices.Equal(got.Coils, bank.Coils) {
		t.Errorf("coils %v", got.Coils)
	}
	if !slices.Equal(got.Discrete, bank.DiscreteInputs[3:]) {
		t.Errorf("discrete inputs %v", got.Discrete)
	}
	if !slices.Equal(got.Holding, bank.HoldingRegisters) {
		t.Errorf("holding registers %v", got.Holding)
	}
	if !slices.Equal(got.Input, bank.InputRegisters) {
		t.Errorf("input registers %v", got.Input)
	}
	if !slices.Equal(got.Answers, []uint32{1, 2, 3}) || meter.Answers() != 3 {
		t.Errorf("answers %v and %d, want 1 2 3 and 3", got.Answers, meter.Answers())
	}
	for what, want := range map[string]int{"function": 1, "address": 2, "unit": 11} {
		if got.Exceptions[what] != want {
			t.Errorf("exception for a wrong %s: %d, want %d", what, got.Exceptions[what], want)
		}
	}

	// Python's view of the registers against the physics, not against image.
	if len(got.Meter) != 64 {
		t.Fatalf("%d floats, want 64", len(got.Meter))
	}
	at := func(address int) float64 { return got.Meter[address/2] }
	var sum, reactive float64
	for phase := range 3 {
		v, i, p, pf := at(2*phase), at(6+2*phase), at(0x0C+2*phase), at(0x1E+2*phase)
		if math.Abs(v-230) > 1.2 || math.Abs(p-v*i*pf) > 0.002*p {
			t.Errorf("phase %d: %v V %v A %v W, power factor %v", phase+1, v, i, p, pf)
		}
		sum += p
		reactive += at(0x18 + 2*phase)
	}
	// 90 s at speed 60 are 5400 s of profile: the value of 01:30, times 60 kW.
	if want := 60e3 * testProfile(t).At(5400); math.Abs(at(0x34)-want) > 0.2 || math.Abs(sum-want) > 0.2 {
		t.Errorf("power %v W, of phases %v W, want %v W", at(0x34), sum, want)
	}
	if math.Abs(at(0x3C)-reactive) > 0.1 || math.Abs(at(0x38)-math.Hypot(at(0x34), at(0x3C))) > 1 || at(0x3E) != float64(float32(0.95)) {
		t.Errorf("%v W, %v VA, %v var, power factor %v", at(0x34), at(0x38), at(0x3C), at(0x3E))
	}
	if math.Abs(at(0x46)-50) > 0.06 {
		t.Errorf("%v Hz", at(0x46))
	}
	if want := 60e3 * testProfile(t).Integral(5400) / 60 / 3.6e6; math.Abs(at(0x48)-want) > 0.0006 {
		t.Errorf("%v kWh, want %v kWh", at(0x48), want)
	}
	used := map[int]bool{0x34: true, 0x38: true, 0x3C: true, 0x3E: true, 0x46: true, 0x48: true}
	for address := 0x24; address < 0x80; address += 2 {
		if !used[address] && at(address) != 0 {
			t.Errorf("register %#x: %v, want 0", address, at(address))
		}
	}
}
