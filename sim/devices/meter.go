package devices

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/busbar/busbar/sim/simbench"
)

// Span is some neighbouring addresses, both ends included.
type Span struct{ First, Last int }

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
	// Source is what it is connected to, instead of a load that follows Profile; Seed,
	// RatedPower, Speed, Energy and Clock are not used then.
	Source Source
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
	source Source

	mu       sync.Mutex
	instant  int64 // of values
	measured bool  // values are of instant
	values   image
	counted  counted // before the counters were reset
	answers  uint32
	written  [tables]map[int]uint16 // by address; bits are 0 or 1
}

// counted is energies in W.h.
type counted struct{ imported, exported float64 }

// NewMeter is a meter whose supply is live and whose energy register is 0.
func NewMeter(c MeterConfig) *Meter {
	m := &Meter{config: c, source: c.Source, values: c.Product.newImage()}
	if m.source == nil {
		m.source = newLoad(c)
	}
	return m
}

// SetSupply says that the feeder is live or dead from now on, of a meter without a
// Source. On a dead feeder it measures 0 V and 0 A, and its energy stands still.
func (m *Meter) SetSupply(live bool) {
	l, ok := m.source.(*load)
	if !ok {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if l.set(live) {
		m.measured = false
	}
}

// ResetCounters makes the meter count its energy from 0 on again, as a new one
// does.
func (m *Meter) ResetCounters() {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.source.Measure(m.source.Instant())
	m.counted, m.measured = counted{r.Imported, r.Exported}, false
}

// Works implements Worker.
func (m *Meter) Works() bool { return m.source.Powers() }

// Identification implements Identified.
func (m *Meter) Identification() []string { return m.config.Product.identification }

// Answers is the number that the last read of register 0x1000 got, 0 before the
// first.
func (m *Meter) Answers() uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.answers
}

// AnswersAddress is that of the holding registers with the number of the answer.
const AnswersAddress = 0x1000

const answersSize = 2

// Read implements Unit.
func (m *Meter) Read(table Table, address, quantity int, dst []byte) Exception {
	if table == HoldingRegisters && address >= AnswersAddress && address+quantity <= AnswersAddress+answersSize {
		m.mu.Lock()
		defer m.mu.Unlock()
		if address == AnswersAddress {
			m.answers++
		}
		var counter [2 * answersSize]byte
		binary.BigEndian.PutUint32(counter[:], m.answers)
		copy(dst, counter[2*(address-AnswersAddress):])
		return 0
	}
	if !m.config.Product.has(table, address, quantity) {
		return IllegalAddress
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.read(table, address, quantity, dst)
	return 0
}

// Change implements Changer.
func (m *Meter) Change(table Table, address, quantity int, change func(data []byte)) Exception {
	readOnly := func(s Span) bool { return address <= s.Last && s.First < address+quantity }
	if !m.config.Product.has(table, address, quantity) || slices.ContainsFunc(m.config.ReadOnly, readOnly) {
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
	m.config.Product.read(m.values, table, address, quantity, dst)
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

// measure brings values up to the present instant.
func (m *Meter) measure() {
	instant := m.source.Instant()
	if m.measured && instant == m.instant {
		return
	}
	m.instant, m.measured = instant, true
	r := m.source.Measure(instant)
	r.Imported -= m.counted.imported
	r.Exported -= m.counted.exported
	m.config.Product.show(&r, m.values)
}
