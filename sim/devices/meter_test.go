package devices

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"
	"time"

	firmware "github.com/busbar/busbar/firmware-config"
	"github.com/busbar/busbar/sim/simbench"
)

func testProfile(t testing.TB) simbench.Profile {
	t.Helper()
	p, err := simbench.Load("H0-A")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func productOf(t testing.TB, name string) *Product {
	t.Helper()
	p, err := firmware.Profiles().Load(name)
	if err != nil {
		t.Fatal(err)
	}
	product, err := NewProduct(Part{Profile: p})
	if err != nil {
		t.Fatal(err)
	}
	return product
}

func testMeter(t testing.TB, clock func() time.Duration) *Meter {
	t.Helper()
	return NewMeter(MeterConfig{ID: "feeder-1-head", Seed: 1, Product: productOf(t, "eastron/sdm630"), Profile: testProfile(t), RatedPower: 60e3, Speed: 60, Clock: clock})
}

func registers(t testing.TB, m *Meter) []byte {
	t.Helper()
	dst := make([]byte, 2*maxRegisters)
	if e := m.Read(InputRegisters, 0, maxRegisters, dst); e != 0 {
		t.Fatalf("exception %d", e)
	}
	return dst
}

func float(registers []byte, address int) float64 {
	return float64(math.Float32frombits(binary.BigEndian.Uint32(registers[2*address:])))
}

func TestMeterDependsOnSeedNameAndClockOnly(t *testing.T) {
	var now time.Duration
	clock := func() time.Duration { return now }
	a, b := testMeter(t, clock), testMeter(t, clock)
	config := a.config
	config.Seed = 2
	otherSeed := NewMeter(config)
	config = a.config
	config.ID = "feeder-1-end"
	otherName := NewMeter(config)
	var same int
	for now = 0; now < 20*time.Second; now += 170 * time.Millisecond {
		va := registers(t, a)
		if now > 10*time.Second && !bytes.Equal(va, registers(t, b)) { // b is asked half as often
			t.Fatalf("at %v two equal meters differ", now)
		}
		if bytes.Equal(va[:12], registers(t, otherSeed)[:12]) || bytes.Equal(va[:12], registers(t, otherName)[:12]) {
			same++
		}
	}
	if same > 3 { // three voltages in steps of 0.1 V are the same now and then
		t.Errorf("%d of 118 times, meters of another seed or name show the same voltages", same)
	}
}

func TestVoltageNoise(t *testing.T) {
	var now time.Duration
	m := testMeter(t, func() time.Duration { return now })
	var n, sum, squares, product, previous float64
	for ; now < 2000*time.Second; now += Refresh {
		r := registers(t, m)
		for address := 0; address < 6; address += 2 {
			v := float(r, address)
			if float32(v) != float32(math.Round(v*10)/10) {
				t.Fatalf("%v V has a finer resolution than 0.1 V", v)
			}
			d := v - 230
			n, sum, squares, product, previous = n+1, sum+d, squares+d*d, product+d*previous, d
		}
	}
	// 0.2 V of noise and 0.1/√12 V of rounding; 30,000 values.
	if mean, sigma := sum/n, math.Sqrt(squares/n); math.Abs(mean) > 0.006 || math.Abs(sigma-0.2021) > 0.005 {
		t.Errorf("mean 230 V %+.4f V, standard deviation %.4f V", mean, sigma)
	}
	if r := product / squares; math.Abs(r) > 0.03 {
		t.Errorf("neighbours correlate with %.3f", r)
	}
}

func TestEnergyIsPowerOverTime(t *testing.T) {
	var now time.Duration
	m := testMeter(t, func() time.Duration { return now })
	var joules, last float64
	for ; now < 10*time.Minute; now += Refresh {
		if now == 4*time.Minute {
			m.SetSupply(false)
		}
		if now == 6*time.Minute {
			m.SetSupply(true)
		}
		r := registers(t, m)
		kWh := float(r, 0x48)
		if kWh < last {
			t.Fatalf("at %v the register went back from %v to %v kWh", now, last, kWh)
		}
		last = kWh
		if math.Abs(kWh-joules/3.6e6) > 0.002 {
			t.Fatalf("at %v the register shows %v kWh, power adds up to %v kWh", now, kWh, joules/3.6e6)
		}
		joules += float(r, 0x34) * Refresh.Seconds()
	}
	if last < 0.5 {
		t.Errorf("%v kWh after 10 minutes", last)
	}
}

// The supply comes and goes within refreshes, at a power that makes a
// millisecond of energy visible.
func TestEnergyNeverGoesBack(t *testing.T) {
	var now time.Duration
	c := testMeter(t, func() time.Duration { return now }).config
	c.RatedPower = 60e6
	m := NewMeter(c)
	live, last := true, 0.0
	for i := range 1000 {
		now += 37 * time.Millisecond
		if i%7 == 0 {
			live = !live
			m.SetSupply(live)
		}
		kWh := float(registers(t, m), 0x48)
		if kWh < last {
			t.Fatalf("at %v the register went back from %v to %v kWh", now, last, kWh)
		}
		last = kWh
	}
}

func TestDeadFeederReadsZero(t *testing.T) {
	now := time.Minute
	m := testMeter(t, func() time.Duration { return now })
	before := float(registers(t, m), 0x48)
	m.SetSupply(false)
	r := registers(t, m) // within the same refresh
	for address := 0; address < 0x48; address += 2 {
		if v := float(r, address); v != 0 {
			t.Errorf("register %#x reads %v on a dead feeder", address, v)
		}
	}
	if e := float(r, 0x48); e < before || before == 0 {
		t.Errorf("energy %v kWh, before %v kWh", e, before)
	}
	m.SetSupply(true)
	if v := float(registers(t, m), 0); math.Abs(v-230) > 1.2 {
		t.Errorf("%v V after the supply came back", v)
	}
}

func TestAnswersCountsReadsOfItsFirstRegister(t *testing.T) {
	m := testMeter(t, func() time.Duration { return 0 })
	read := func(address, quantity int) []byte {
		dst := make([]byte, 2*quantity)
		if e := m.Read(HoldingRegisters, address, quantity, dst); e != 0 {
			return nil
		}
		return dst
	}
	for _, c := range []struct {
		address, quantity int
		want              []byte
	}{
		{0x1000, 2, []byte{0, 0, 0, 1}},
		{0x1001, 1, []byte{0, 1}},
		{0x1000, 1, []byte{0, 0}},
		{0x1001, 1, []byte{0, 2}},
		{0x1000, 3, nil},
		{0x0FFF, 2, nil},
		{0x1000, 2, []byte{0, 0, 0, 3}},
	} {
		if got := read(c.address, c.quantity); !bytes.Equal(got, c.want) {
			t.Errorf("%d registers from %#x: % x, want % x", c.quantity, c.address, got, c.want)
		}
	}
}
