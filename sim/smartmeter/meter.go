// Package smartmeter plays a household's meter with a P1 port: it sends a telegram of DSMR 5 by
// itself, again and again, with what it has noted of its supply.
package smartmeter

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/busbar/busbar/adapters/crc16"
	"github.com/busbar/busbar/sim/simbench"
)

// Config says what a meter measures, and what becomes of its supply.
type Config struct {
	Seed       uint64 // the same meter for the same seed
	Profile    simbench.Profile
	RatedPower float64        // W, at which Profile is 1; MostPower at most
	Zone       *time.Location // of the meter's clock

	Logged int // interruptions of three minutes and more that are in its log at the start; MostLogged at most
	// Every so often there is an interruption of so long, a sag, and a swell; 0: none.
	InterruptionEvery, InterruptionLasts time.Duration
	SagEvery, SwellEvery                 time.Duration
}

const (
	MostPower  = 90_000.0 // W, of two digits of kW
	MostLogged = 10       // as DSMR P1 5.0.2, 6.12

	longInterruption = 3 * time.Minute
)

// Meter is one that began to count long ago. It isn't safe for concurrent use.
type Meter struct {
	config Config
	random *rand.Rand
	start  time.Time
	energy [2]float64 // kWh of the two tariffs at the start
	shares [3]float64 // of the power, of each phase

	log                           []interruption // the newest last
	short, long                   int
	sags, swells                  [3]int
	interruptions, dips, overtops int // that have been since the start
}

type interruption struct {
	end    time.Time
	lasted time.Duration
}

// New is a meter that is looked at from now on.
func New(c Config, now time.Time) *Meter {
	m := &Meter{config: c, random: rand.New(rand.NewPCG(c.Seed, 0)), start: now}
	m.energy = [2]float64{2000 + 8000*m.random.Float64(), 2000 + 8000*m.random.Float64()}
	sum := 0.0
	for i := range m.shares {
		m.shares[i] = 0.2 + m.random.Float64()
		sum += m.shares[i]
		m.sags[i], m.swells[i] = m.random.IntN(5), m.random.IntN(2)
	}
	for i := range m.shares {
		m.shares[i] /= sum
	}
	at := now.Add(-time.Duration(c.Logged+1) * 60 * 24 * time.Hour)
	for range c.Logged {
		at = at.Add(time.Duration((10 + 50*m.random.Float64()) * 24 * float64(time.Hour)))
		m.noted(at, longInterruption+time.Duration(m.random.IntN(7200))*time.Second)
	}
	m.short += m.random.IntN(20)
	return m
}

// noted is what the meter notes of an interruption when it is over.
func (m *Meter) noted(end time.Time, lasted time.Duration) {
	m.short++
	if lasted < longInterruption {
		return
	}
	m.long++
	m.log = append(m.log, interruption{end, lasted})
	m.log = m.log[max(0, len(m.log)-MostLogged):]
}

// supplied takes the meter on to a time and reports whether it has supply then.
func (m *Meter) supplied(since time.Duration) bool {
	c := m.config
	of := func(every time.Duration) int { // how many there have been
		if every <= 0 {
			return 0
		}
		return int(since / every)
	}
	for ; m.dips < of(c.SagEvery); m.dips++ {
		m.sags[m.random.IntN(3)]++
	}
	for ; m.overtops < of(c.SwellEvery); m.overtops++ {
		m.swells[m.random.IntN(3)]++
	}
	for ; m.interruptions < of(c.InterruptionEvery); m.interruptions++ {
		end := time.Duration(m.interruptions+1)*c.InterruptionEvery + c.InterruptionLasts
		if since < end {
			return false
		}
		m.noted(m.start.Add(end), c.InterruptionLasts)
	}
	return true
}

var crc = crc16.Of(0xA001)

// Telegram is what the meter says at a time that isn't before those of the calls before. Nothing
// while it has no supply.
func (m *Meter) Telegram(now time.Time) []byte {
	since := now.Sub(m.start)
	if !m.supplied(since) {
		return nil
	}
	stamp := func(at time.Time) string {
		at = at.In(m.config.Zone)
		return at.Format("060102150405") + map[bool]string{true: "S", false: "W"}[at.IsDST()]
	}
	second := func(at time.Time) float64 { return float64(at.UnixMilli()%(365*86400_000)) / 1000 }
	kilowatts := m.config.RatedPower / 1000 * m.config.Profile.At(second(now))
	used := m.config.RatedPower / 3.6e6 * max(0, m.config.Profile.Integral(second(m.start)+since.Seconds())-m.config.Profile.Integral(second(m.start)))
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("/BUS5\\busbar-sim\r\n")
	line("1-3:0.2.8(50)")
	line("0-0:1.0.0(%s)", stamp(now))
	line("0-0:96.1.1(%X)", fmt.Sprintf("BUS%013d", m.config.Seed%1e13))
	line("1-0:1.8.1(%010.3f*kWh)", m.energy[0])
	line("1-0:1.8.2(%010.3f*kWh)", m.energy[1]+used)
	line("1-0:2.8.1(000000.000*kWh)")
	line("1-0:2.8.2(000000.000*kWh)")
	line("0-0:96.14.0(0002)")
	line("1-0:1.7.0(%06.3f*kW)", kilowatts)
	line("1-0:2.7.0(00.000*kW)")
	line("0-0:96.7.21(%05d)", m.short)
	line("0-0:96.7.9(%05d)", m.long)
	fmt.Fprintf(&b, "1-0:99.97.0(%d)(0-0:96.7.19)", len(m.log))
	for i := len(m.log) - 1; i >= 0; i-- {
		fmt.Fprintf(&b, "(%s)(%010d*s)", stamp(m.log[i].end), int(m.log[i].lasted.Seconds()))
	}
	line("")
	phases := func(offset int, code, format string, value func(i int) any) {
		for i := range 3 {
			line("1-0:%d.%s("+format+")", 20*(i+1)+offset, code, value(i))
		}
	}
	volts := [3]float64{}
	for i := range volts {
		volts[i] = 230 + 0.5*m.random.NormFloat64()
	}
	phases(12, "32.0", "%05d", func(i int) any { return m.sags[i] })
	phases(12, "36.0", "%05d", func(i int) any { return m.swells[i] })
	line("0-0:96.13.0()")
	phases(12, "7.0", "%05.1f*V", func(i int) any { return volts[i] })
	phases(11, "7.0", "%03d*A", func(i int) any { return int(math.Round(1000 * kilowatts * m.shares[i] / volts[i])) })
	phases(1, "7.0", "%06.3f*kW", func(i int) any { return kilowatts * m.shares[i] })
	phases(2, "7.0", "%06.3f*kW", func(i int) any { return 0.0 })
	b.WriteByte('!')
	line("%04X", crc.Update(0, []byte(b.String())))
	return []byte(b.String())
}
