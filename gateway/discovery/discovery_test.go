package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	goburrow "github.com/goburrow/modbus"

	"github.com/busbar/busbar/adapters/modbus"
	firmware "github.com/busbar/busbar/firmware-config"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/profile"
	"github.com/busbar/busbar/sim/devices"
	"github.com/busbar/busbar/sim/simbench"
)

var profiles = must(firmware.Profiles().LoadBy(profile.Modbus))

func must(list []profile.Profile, err error) []profile.Profile {
	if err != nil {
		panic(err)
	}
	return list
}

func load1(t *testing.T, name string) profile.Profile {
	t.Helper()
	p, err := firmware.Profiles().Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// meterOf is a simulated meter that is of a product.
func meterOf(t *testing.T, product *devices.Product, err error) *devices.Meter {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	load, err := simbench.Load("H0-A")
	if err != nil {
		t.Fatal(err)
	}
	return devices.NewMeter(devices.MeterConfig{
		ID: "meter", Product: product, Profile: load, RatedPower: 20e3, Speed: 1,
		Clock: func() time.Duration { return time.Hour },
	})
}

// unnamed is a unit that doesn't say what it is.
type unnamed struct{ devices.Unit }

// sunSpecOf is a simulated device with some of SunSpec's models.
func sunSpecOf(t *testing.T, models ...int) *devices.Meter {
	t.Helper()
	var list []profile.Profile
	for _, id := range models {
		list = append(list, load1(t, fmt.Sprintf("sunspec/%d", id)))
	}
	product, err := devices.NewSunSpec(list...)
	return meterOf(t, product, err)
}

// serve has units behind one endpoint.
func serve(t *testing.T, units map[byte]devices.Unit) (*devices.Server, *modbus.Prober) {
	t.Helper()
	s, err := devices.Listen("127.0.0.1:0", units, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { s.Serve(context.Background()); close(served) }()
	t.Cleanup(func() { s.Close(); <-served })
	e, err := modbus.ParseEndpoint("tcp://" + s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p := modbus.NewProber(t.Context(), e, 5*time.Second, 0)
	t.Cleanup(p.Close)
	return s, p
}

// scanAll is what a scan of some units finds.
func scanAll(t *testing.T, bus Bus, units ...uint8) Endpoint {
	t.Helper()
	e := Endpoint{Endpoint: "tcp://10.0.0.11"}
	if err := (Scanner{Profiles: profiles}).Scan(t.Context(), bus, units, e.Take); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEveryMeterIsKnownByItsProfile(t *testing.T) {
	for _, p := range profiles {
		name := p.Name
		if strings.HasPrefix(name, sunSpecProfiles) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			product, err := devices.NewProduct(devices.Part{Profile: load1(t, name)})
			meter := meterOf(t, product, err)
			_, p := serve(t, map[byte]devices.Unit{1: unnamed{meter}})
			u := scanAll(t, p, 1).Units[0]
			if best := u.likely(); len(best) != 1 || best[0].Profile != name || len(best[0].Reasons) == 0 {
				t.Errorf("%+v", u.Candidates)
			}
			meter.SetSupply(false)
			u = scanAll(t, p, 1).Units[0]
			if best := u.likely(); len(best) != 0 {
				t.Errorf("by values of 0: %+v", best)
			}
		})
	}
}

func TestSunSpecModelsAreWalked(t *testing.T) {
	_, p := serve(t, map[byte]devices.Unit{1: sunSpecOf(t, 1, 103, 203, 802)})
	u := scanAll(t, p, 1).Units[0]
	var got []string
	for _, c := range u.Candidates {
		got = append(got, fmt.Sprintf("%s@%d=%d", c.Profile, c.Base, c.Score))
	}
	if want := []string{"sunspec/103@40069=100", "sunspec/203@40121=100", "sunspec/802@40228=100"}; !slices.Equal(got, want) {
		t.Errorf("%q, expected %q", got, want)
	}
	if s := u.SunSpec; s.Base != 40000 || len(s.Models) != 4 || s.Incomplete != "" || s.Serial == "" {
		t.Errorf("%+v", s)
	}
}

// tables is a unit of fixed holding registers.
type tables map[int]uint16

func (r tables) Read(table devices.Table, address, quantity int, dst []byte) devices.Exception {
	for i := range quantity {
		v, there := r[address+i]
		if table != devices.HoldingRegisters || !there {
			return devices.IllegalAddress
		}
		dst[2*i], dst[2*i+1] = byte(v>>8), byte(v)
	}
	return 0
}

// sunSpecAt is a list of models, of as many registers as they say they have.
func sunSpecAt(base int, words ...uint16) tables {
	r := tables{base: 0x5375, base + 1: 0x6E53}
	for i, w := range words {
		r[base+2+i] = w
	}
	return r
}

func TestSunSpecListsWithoutAnEnd(t *testing.T) {
	long := sunSpecAt(40000)
	for i := range 2 * maxModels {
		long[40002+2*i], long[40003+2*i] = 64000, 0
	}
	for name, c := range map[string]struct {
		unit       tables
		models     int
		incomplete string
	}{
		"at 50000":             {sunSpecAt(50000, 64001, 2, 0, 0, 64002, 1, 0, 0xFFFF, 0), 2, ""},
		"at 0":                 {sunSpecAt(0, 0xFFFF, 0), 0, ""},
		"no end":               {sunSpecAt(40000, 64001, 2, 0, 0), 1, "no model and no end at 40006"},
		"zeros":                {sunSpecAt(40000, 64001, 0, 0, 0), 1, "no model and no end at 40004, but 0"},
		"beyond all addresses": {sunSpecAt(40000, 64001, 65000), 1, "doesn't end before the last address"},
		"too many":             {long, maxModels, "more than 128 models"},
		"shorter than known":   {sunSpecAt(40000, 103, 3, 0, 0, 0, 0xFFFF, 0), 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, p := serve(t, map[byte]devices.Unit{1: c.unit})
			u := scanAll(t, p, 1).Units[0]
			if u.SunSpec == nil || len(u.SunSpec.Models) != c.models || !strings.Contains(u.SunSpec.Incomplete, c.incomplete) || (u.SunSpec.Incomplete == "") != (c.incomplete == "") {
				t.Fatalf("%+v", u.SunSpec)
			}
			if best := u.likely(); len(best) != 0 {
				t.Errorf("%+v", best)
			}
		})
	}
}

func TestWhatIsBehindAnEndpoint(t *testing.T) {
	product, err := devices.NewProduct(devices.Part{Profile: load1(t, "eastron/sdm630")})
	bank := devices.Bank{HoldingRegisters: []uint16{1, 2, 3}}
	s, p := serve(t, map[byte]devices.Unit{1: meterOf(t, product, err), 2: bank, 3: bank, 4: bank, 5: devices.Bank{}})
	s.Misbehave(3, devices.Misbehaviour{Kind: devices.Garbage, Number: 32})
	e := scanAll(t, p, 1, 2, 3, 5, 6, 7)
	var answered []uint8
	for _, u := range e.Units {
		answered = append(answered, u.Unit)
	}
	if !slices.Equal(answered, []uint8{1, 2, 5}) || e.NoUnits != 2 || e.Asked != 6 || e.AsOne {
		t.Errorf("%v answered: %+v", answered, e)
	}
	if len(e.Unclear) != 1 || e.Unclear[0].Unit != 3 {
		t.Errorf("unclear: %+v", e.Unclear)
	}
	if u := e.Units[2]; len(u.likely()) != 0 || u.Same != nil {
		t.Errorf("%+v", u)
	}

	e1, err := modbus.ParseEndpoint("tcp://" + s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	impatient := modbus.NewProber(t.Context(), e1, 20*time.Millisecond, 0)
	defer impatient.Close()
	s.Misbehave(4, devices.Misbehaviour{Kind: devices.Silent})
	if e := scanAll(t, impatient, 4); len(e.Units)+len(e.Unclear)+e.NoUnits != 0 || e.Asked != 1 {
		t.Errorf("a silent unit: %+v", e)
	}
}

// A device that answers for whatever unit it is asked is one device; equal ones
// behind a gateway, which doesn't answer for itself, are several.
func TestADeviceUnderManyNumbersIsOne(t *testing.T) {
	inverter := sunSpecOf(t, 1, 103)
	_, p := serve(t, map[byte]devices.Unit{0: inverter, 1: inverter, 255: inverter, 9: devices.Bank{}})
	e := scanAll(t, p, 1, 0, 255, 9)
	if text := Proposal([]Endpoint{e}, nil, time.Now()); len(proposed(t, text).Devices) != 1 || !strings.Contains(text, "Unit 1 also answers as 0, 255.") {
		t.Error(text)
	}
	if !e.AsOne || e.Units[0].Same != nil || e.Units[1].Same == nil || *e.Units[2].Same != 1 || e.Units[3].Same != nil {
		t.Errorf("%+v", e)
	}
	_, p = serve(t, map[byte]devices.Unit{1: inverter, 2: inverter})
	if e := scanAll(t, p, 1, 0, 255, 2); e.AsOne || e.Units[0].Same != nil || e.Units[1].Same != nil {
		t.Errorf("%+v", e)
	}
	// One that is configured stands for the others.
	_, p = serve(t, map[byte]devices.Unit{0: inverter, 1: inverter, 7: inverter})
	e = Endpoint{Endpoint: "tcp://10.0.0.11"}
	s := Scanner{Profiles: profiles, Device: func(unit uint8) string { return map[uint8]string{7: "known"}[unit] }}
	if err := s.Scan(t.Context(), p, []uint8{1, 0, 7}, e.Take); err != nil {
		t.Fatal(err)
	}
	if text := Proposal([]Endpoint{e}, nil, time.Now()); strings.Contains(text, "devices:") || !strings.Contains(text, "Unit 7 is device known already") || !strings.Contains(text, "Unit 7 also answers as 1, 0.") {
		t.Error(text)
	}
}

func TestAScanEndsWithItsContextOrEndpoint(t *testing.T) {
	s, p := serve(t, map[byte]devices.Unit{1: devices.Bank{}, 2: devices.Bank{}})
	ctx, cancel := context.WithCancel(t.Context())
	var e Endpoint
	err := Scanner{Profiles: profiles}.Scan(ctx, p, []uint8{1, 2, 3}, func(p Progress) {
		e.Take(p)
		cancel()
	})
	if !errors.Is(err, context.Canceled) || len(e.Units) != 1 || e.Asked != 1 || e.Of != 3 {
		t.Errorf("%+v, %v", e, err)
	}
	e = Endpoint{}
	err = Scanner{Profiles: profiles}.Scan(t.Context(), p, []uint8{1, 2, 3}, func(p Progress) {
		e.Take(p)
		s.Close()
	})
	if !errors.Is(err, modbus.ErrUnreachable) || len(e.Units) != 1 {
		t.Errorf("%+v, %v", e, err)
	}
}

// talker is a bus whose unit answers reads with an exception, and says who it is.
type talker struct{ modbus.Identification }

func (t talker) Registers(context.Context, uint8, modbus.Table, uint16, uint16) ([]byte, error) {
	return nil, &goburrow.ModbusError{FunctionCode: 0x83, ExceptionCode: 2}
}

func (t talker) Identify(context.Context, uint8) (modbus.Identification, error) {
	return t.Identification, nil
}

func (t talker) ServerID(context.Context, uint8) ([]byte, error) {
	return []byte{0x01, 0xFF, 'S', 'D', 'M', '6', '3', '0', 0}, nil
}

func TestWhatADeviceSaysOfItself(t *testing.T) {
	u := scanAll(t, talker{}, 1).Units[0]
	if !slices.Equal(u.Says, []string{"server id: SDM630"}) || u.Candidates[0].Profile != "eastron/sdm630" || u.Candidates[0].Score >= Likely {
		t.Errorf("%+v", u)
	}
	u = scanAll(t, talker{modbus.Identification{Objects: []modbus.Object{
		{ID: modbus.ObjectVendor, Value: []byte("ABB")}, {ID: modbus.ObjectProductCode, Value: []byte("2CMA")},
		{ID: modbus.ObjectRevision, Value: []byte("2.0")}, {ID: modbus.ObjectModel, Value: []byte("B23 112-100")},
	}}}, 1).Units[0]
	if u.Vendor != "ABB" || u.Model != "B23 112-100" || u.Revision != "2.0" || u.Candidates[0].Profile != "abb/b23" {
		t.Errorf("%+v", u)
	}
}

// proposed is the configuration that a proposal makes a part of.
func proposed(t *testing.T, proposal string) gatewayconfig.Config {
	t.Helper()
	c, err := gatewayconfig.Parse("gateway.yaml", []byte(`gateway: {id: gw}
forward: {kafka: {brokers: ["localhost:9092"]}}
buffer: {path: data}
`+proposal))
	if err != nil {
		t.Fatalf("%v\n%s", err, proposal)
	}
	return c
}

func TestAProposalIsAConfiguration(t *testing.T) {
	product, err := devices.NewProduct(devices.Part{Profile: load1(t, "eastron/sdm630")})
	meter := meterOf(t, product, err)
	_, p := serve(t, map[byte]devices.Unit{1: sunSpecOf(t, 1, 103, 203), 2: meter, 3: unnamed{meter}, 4: devices.Bank{}})
	e := scanAll(t, p, 1, 2, 3, 4)
	e.Units[1].Serial = "0815/A\ndevices: []"
	e.Units[1].Says = []string{"vendor: \x1b[2J evil\n  - id: evil"}
	e.Units[3].Vendor = "maker\n- id: evil"
	text := Proposal([]Endpoint{e}, []string{"sdm630-unit-3"}, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	c := proposed(t, text)
	var got []string
	for _, d := range c.Devices {
		got = append(got, fmt.Sprintf("%s %s %d %d %s", d.ID, d.Modbus.Endpoint, d.Modbus.Unit, d.Modbus.Base, d.Profile))
	}
	common := "sunspec-model-1-common-sunspec-model-1-common"
	want := []string{
		common + "-103 tcp://10.0.0.11 1 40069 sunspec/103", common + "-203 tcp://10.0.0.11 1 40121 sunspec/203",
		"sdm630-0815-a-devices tcp://10.0.0.11 2 0 eastron/sdm630", "sdm630-unit-3-2 tcp://10.0.0.11 3 0 eastron/sdm630",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nexpected %q", got, want)
	}
	for _, words := range []string{"2026-03-01 12:00 UTC", "Unit 4: maker - id: evil.", "None of the profiles", "That is a guess", "4 units asked, 4 answered"} {
		if !strings.Contains(text, words) {
			t.Errorf("%q isn't in\n%s", words, text)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Errorf("%q", text)
	}
	// Two endpoints don't get one id.
	other := e
	other.Endpoint = "tcp://10.0.0.12"
	if c := proposed(t, Proposal([]Endpoint{e, other}, nil, time.Now())); len(c.Devices) != 8 || c.Devices[3].ID != "sdm630-10-0-0-11-unit-3" {
		t.Errorf("%+v", c.Devices)
	}
	if text := Proposal([]Endpoint{{Endpoint: "tcp://h", Of: 3, Asked: 3}}, nil, time.Now()); strings.Contains(text, "devices:") {
		t.Error(text)
	}
}

func TestUnits(t *testing.T) {
	for _, c := range []struct {
		transport modbus.Transport
		text      string
		want      []uint8
	}{
		{modbus.TCP, "", []uint8{1, 0, 255}},
		{modbus.TCP, "2-4,1,9", []uint8{1, 0, 255, 2, 3, 4, 9}},
		{modbus.RTU, "3, 1-2", []uint8{3, 1, 2}},
	} {
		if got, err := Units(c.transport, c.text); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, %v", c, got, err)
		}
	}
	if all, err := Units(modbus.RTUOverTCP, ""); err != nil || len(all) != 247 || all[0] != 1 || all[246] != 247 {
		t.Errorf("%v, %v", all, err)
	}
	for _, text := range []string{"0", "248", "1-300", "5-4", "x", "1,,2", "-3"} {
		if got, err := Units(modbus.RTU, text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestNetworks(t *testing.T) {
	for _, c := range []struct {
		endpoint    string
		first, last string
		hosts       uint64
	}{
		{"tcp://10.0.0.0/24", "tcp://10.0.0.1:502", "tcp://10.0.0.254:502", 254},
		{"tcp://10.0.0.8:1502/30", "tcp://10.0.0.9:1502", "tcp://10.0.0.10:1502", 2},
		{"tcp://10.0.0.8/31", "tcp://10.0.0.8:502", "tcp://10.0.0.9:502", 2},
		{"tcp://10.0.0.8/32", "tcp://10.0.0.8:502", "tcp://10.0.0.8:502", 1},
		{"tcp://[fd00::10]:503/126", "tcp://[fd00::10]:503", "tcp://[fd00::13]:503", 4},
	} {
		n, is, err := ParseNetwork(c.endpoint)
		if err != nil || !is {
			t.Errorf("%s: %v, %v", c.endpoint, is, err)
			continue
		}
		list := slices.Collect(n.Endpoints())
		if n.Hosts() != c.hosts || uint64(len(list)) != c.hosts || list[0] != c.first || list[len(list)-1] != c.last {
			t.Errorf("%s: %d hosts, %v", c.endpoint, n.Hosts(), list)
		}
	}
	if n, _, _ := ParseNetwork("tcp://[fd00::]/8"); n.Hosts() != math.MaxUint64/2+1 {
		t.Errorf("%d", n.Hosts())
	}
	for _, wrong := range []string{"tcp://10.0.0.1/24", "tcp://host/24", "tcp://10.0.0.0/33", "tcp://10.0.0.0/x", "tcp://10.0.0.0:0/24", "tcp://10.0.0.0/24?baud=1"} {
		if _, is, err := ParseNetwork(wrong); !is || err == nil {
			t.Errorf("%s: %v, %v", wrong, is, err)
		}
	}
	for _, other := range []string{"tcp://10.0.0.1", "tcp://10.0.0.1:502", "rtu:///dev/ttyUSB0", "rtu+tcp://h:1", "%"} {
		if _, is, err := ParseNetwork(other); is || err != nil {
			t.Errorf("%s: %v, %v", other, is, err)
		}
	}
}

// Registers that only one product has so outweigh all values, and keep out every
// other product.
func TestIdentityRegistersDecide(t *testing.T) {
	own, err := profile.Parse("own/meter", "meter.yaml", []byte(`product: Own Meter
source: this test
identify: [{holding: 7, equals: 815}]
signals: [{name: W, holding: 0, type: uint16, unit: W}, {name: Hz, holding: 1, type: uint16, scale: 0.1, unit: Hz}]
examples: [{holding: 0, registers: "0001", values: {W: "1"}}]
`))
	if err != nil {
		t.Fatal(err)
	}
	s := Scanner{Profiles: append([]profile.Profile{own}, profiles...)}
	for value, want := range map[uint16]int{815: 100, 816: 0} {
		_, p := serve(t, map[byte]devices.Unit{1: devices.Bank{HoldingRegisters: []uint16{1, 500, 0, 0, 0, 0, 0, value}}})
		var e Endpoint
		if err := s.Scan(t.Context(), p, []uint8{1}, e.Take); err != nil {
			t.Fatal(err)
		}
		got := 0
		for _, c := range e.Units[0].Candidates {
			if c.Profile == own.Name {
				got = c.Score
			}
		}
		if got != want {
			t.Errorf("with %d: %d, expected %d", value, got, want)
		}
	}
}
