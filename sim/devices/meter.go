package devices

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/busbar/busbar/sim/simbench"
)

// Span is some neighbouring addresses, both ends included.
type Span struct{ First, Last int }

// Refresh is how often a meter measures anew. Between two refreshes its values
// stand still.
const Refresh = 200 * time.Millisecond

const (
	nominalVoltage = 230.0 // V, phase to neutral
	voltageNoise   = 0.2   // V, standard deviation
	nominalHz      = 50.0
	frequencyNoise = 0.01 // Hz, standard deviation
	powerFactor    = 0.95 // inductive
	unbalance      = 0.05 // standard deviation of a phase's share, relative
)

// reading is what a meter has measured at one time.
type reading struct {
	voltage   [3]float64 // V, phase to neutral
	current   [3]float64 // A
	power     [3]float64 // W, imported
	apparent  [3]float64 // VA
	share     [3]float64 // of the energy
	frequency float64    // Hz
	energy    float64    // J, imported
}

func (r reading) activePower(phase int) float64   { return round(r.power[phase], 10) }
func (r reading) apparentPower(phase int) float64 { return round(r.apparent[phase], 10) }

func (r reading) reactivePower(phase int) float64 {
	p, s := r.activePower(phase), r.apparentPower(phase)
	return round(math.Sqrt(max(0, s*s-p*p)), 10)
}

// MeterConfig says what a meter measures.
type MeterConfig struct {
	ID         string // with Seed, what makes this meter's noise its own
	Seed       uint64
	Product    *Product
	Profile    simbench.Profile
	RatedPower float64 // W, of the three phases together
	Speed      float64 // seconds of profile that pass in a second
	Energy     float64 // J, what its registers show at the start
	ReadOnly   []Span  // coils and holding registers that can't be written
	// Clock is the time since the start, which never goes back. It is called
	// from many goroutines.
	Clock func() time.Duration
}

// Meter is a three-phase meter. What it measures depends on nothing but its
// configuration, the clock, and when its supply came and went. It is safe for
// concurrent use.
//
// What is written into its coils and holding registers stays there, and is read
// from then on in place of what it measures.
//
// Two holding registers are its own: 0x1000 and 0x1001, a big-endian uint32, the
// number of reads of register 0x1000 that the meter has served, this one
// included. So no two reads see the same number and none is left out, whoever
// asks; a number that no client got is an answer that was lost on the way.
type Meter struct {
	config MeterConfig
	seed   uint64
	shares [3]float64 // of the power, of each phase; 1 together

	mu      sync.Mutex
	dead    bool
	since   time.Duration // when the supply came last
	energy  float64       // J, until then
	tick    int64         // of values; -1 if they are to be measured anew
	values  image
	answers uint32
	written [tables]map[int]uint16 // by address; bits are 0 or 1
}

// NewMeter is a meter whose supply is live and whose energy register is 0.
func NewMeter(c MeterConfig) *Meter {
	h := fnv.New64a()
	_, _ = h.Write([]byte(c.ID))
	m := &Meter{config: c, seed: c.Seed ^ h.Sum64(), tick: -1, values: c.Product.newImage(), energy: c.Energy}
	random := rand.New(rand.NewPCG(m.seed, math.MaxUint64))
	var sum float64
	for i := range m.shares {
		m.shares[i] = max(0.1, 1+unbalance*random.NormFloat64())
		sum += m.shares[i]
	}
	for i := range m.shares {
		m.shares[i] /= sum
	}
	return m
}

// SetSupply says that the feeder is live or dead from now on. A meter on a dead
// feeder measures 0 V and 0 A, and its energy stands still.
func (m *Meter) SetSupply(live bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead == !live {
		return
	}
	now := m.config.Clock()
	if live {
		m.since = now
	} else {
		m.energy = m.energyAt(now)
	}
	m.dead = !live
	m.tick = -1
}

// ResetCounters makes the meter count its energy from 0 on again, as a new one
// does.
func (m *Meter) ResetCounters() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.energy, m.since, m.tick = 0, m.config.Clock(), -1
}

// Identification implements Identified.
func (m *Meter) Identification() []string { return m.config.Product.identification }

// Answers is the number that the last read of register 0x1000 got, 0 before the
// first.
func (m *Meter) Answers() uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.answers
}

const (
	answersAddress = 0x1000
	answersSize    = 2
)

// Read implements Unit.
func (m *Meter) Read(table Table, address, quantity int, dst []byte) Exception {
	if table == HoldingRegisters && address >= answersAddress && address+quantity <= answersAddress+answersSize {
		m.mu.Lock()
		defer m.mu.Unlock()
		if address == answersAddress {
			m.answers++
		}
		var counter [2 * answersSize]byte
		binary.BigEndian.PutUint32(counter[:], m.answers)
		copy(dst, counter[2*(address-answersAddress):])
		return 0
	}
	if !m.has(table, address, quantity) {
		return IllegalAddress
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.read(table, address, quantity, dst)
	return 0
}

func (m *Meter) has(table Table, address, quantity int) bool {
	span := m.config.Product.spans[table]
	return address >= span.first && address+quantity <= span.end
}

// Change implements Changer.
func (m *Meter) Change(table Table, address, quantity int, change func(data []byte)) Exception {
	readOnly := func(s Span) bool { return address <= s.Last && s.First < address+quantity }
	if !m.has(table, address, quantity) || slices.ContainsFunc(m.config.ReadOnly, readOnly) {
		return IllegalAddress
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	data := make([]byte, sizeOf(table, quantity))
	m.read(table, address, quantity, data)
	change(data)
	if m.written[table] == nil {
		m.written[table] = map[int]uint16{}
	}
	for i := range quantity {
		value := uint16(data[i/8] >> (i % 8) & 1)
		if table.registers() {
			value = binary.BigEndian.Uint16(data[2*i:])
		}
		m.written[table][address+i] = value
	}
	return 0
}

// read is what Read and Change have in common: addresses that the table has.
func (m *Meter) read(table Table, address, quantity int, dst []byte) {
	m.measure()
	at := address - m.config.Product.spans[table].first
	if table.registers() {
		copy(dst, m.values[table][2*at:])
	} else {
		for i, bit := range m.values[table][at:][:quantity] {
			dst[i/8] |= bit << (i % 8)
		}
	}
	if len(m.written[table]) == 0 {
		return
	}
	for i := range quantity {
		value, is := m.written[table][address+i]
		switch {
		case !is:
		case table.registers():
			binary.BigEndian.PutUint16(dst[2*i:], value)
		default:
			dst[i/8] = dst[i/8]&^(1<<(i%8)) | byte(value)<<(i%8)
		}
	}
}

// measure brings values up to the present refresh.
func (m *Meter) measure() {
	tick := int64(m.config.Clock() / Refresh)
	if tick == m.tick {
		return
	}
	m.tick = tick
	at := time.Duration(tick) * Refresh
	if m.dead {
		m.config.Product.show(reading{energy: m.energy, share: m.shares}, m.values)
		return
	}
	r := reading{energy: m.energyAt(max(at, m.since)), share: m.shares}
	power := m.config.RatedPower * m.config.Profile.At(at.Seconds()*m.config.Speed)
	random := rand.New(rand.NewPCG(m.seed, uint64(tick)))
	for i, share := range m.shares {
		r.voltage[i] = round(nominalVoltage+voltageNoise*random.NormFloat64(), 10)
		r.power[i] = power * share
		r.apparent[i] = r.power[i] / powerFactor
		r.current[i] = round(r.apparent[i]/r.voltage[i], 1000)
	}
	r.frequency = round(nominalHz+frequencyNoise*random.NormFloat64(), 100)
	m.config.Product.show(r, m.values)
}

// energyAt is the energy in J at a time at or after since, with the supply live.
func (m *Meter) energyAt(at time.Duration) float64 {
	c := m.config
	area := c.Profile.Integral(at.Seconds()*c.Speed) - c.Profile.Integral(m.since.Seconds()*c.Speed)
	return m.energy + c.RatedPower*area/c.Speed
}

// round is v to the nearest part of 1, which is how a display and a register of
// limited resolution show it.
func round(v, parts float64) float64 { return math.Round(v*parts) / parts }
