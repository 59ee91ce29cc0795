// Package market is prices of electricity, and what a portfolio of customers was
// nominated to take, for each quarter-hour of a simulated grid. Both are made up: their
// shapes are plausible, and no market ever had them. They follow from the seed
// and the time alone.
package market

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
	_ "time/tzdata" // a simulation's days are the same on any machine
)

// Config is what a market is like. Prices are in EUR/MWh.
type Config struct {
	// The time zone whose days are traded; default Europe/Brussels.
	Zone string `yaml:"zone"`
	// The mean price of the day-ahead market; default 80.
	DayAhead float64 `yaml:"day_ahead"`
	// The share of quarter-hours in which the imbalance price is a spike; default 0.01.
	Spikes float64 `yaml:"spikes"`
	// The share of service points in the portfolio; default 1.
	Portfolio float64 `yaml:"portfolio"`
	// The standard deviation of what was nominated from what is taken; default 0.1.
	ForecastError float64 `yaml:"forecast_error"`
}

// SetDefaults says what holds where nothing is said.
func (c *Config) SetDefaults() {
	*c = Config{Zone: "Europe/Brussels", DayAhead: 80, Spikes: 0.01, Portfolio: 1, ForecastError: 0.1}
}

// Check calls wrong with each key whose value can't be.
func (c *Config) Check(wrong func(key, format string, args ...any)) {
	if _, err := time.LoadLocation(c.Zone); err != nil || c.Zone == "Local" || c.Zone == "" {
		wrong("zone", "%q is no time zone, expected one like Europe/Brussels", c.Zone)
	}
	if !(c.DayAhead > 0 && c.DayAhead <= 10000) {
		wrong("day_ahead", "%v EUR/MWh, expected more than 0 and up to 10000", c.DayAhead)
	}
	for _, s := range []struct {
		key   string
		share float64
	}{{"spikes", c.Spikes}, {"portfolio", c.Portfolio}, {"forecast_error", c.ForecastError}} {
		if !(s.share >= 0 && s.share <= 1) {
			wrong(s.key, "%v is not from 0 to 1", s.share)
		}
	}
}

// Market is the prices of a seed. It is immutable.
type Market struct {
	config Config
	seed   uint64
	zone   *time.Location
}

// New is a market; the error is that its zone isn't known.
func New(c Config, seed uint64) (*Market, error) {
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return nil, fmt.Errorf("market: %w", err)
	}
	return &Market{c, seed, zone}, nil
}

// Quarter is the length of an imbalance settlement period, in µs.
const Quarter = int64(900e6)

// Period names a quarter-hour in its day, for people: the local day, and the number from
// 1 to 96, or to 92 and 100 on the days on which clocks change.
func (m *Market) Period(start int64) (day string, number int) {
	t := time.UnixMicro(start).In(m.zone)
	midnight := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, m.zone)
	return t.Format(time.DateOnly), int((start-midnight.UnixMicro())/Quarter) + 1
}

// Price is that of a quarter-hour, in EUR/MWh.
type Price struct {
	Start     int64 // µs UTC
	DayAhead  float64
	Imbalance float64 // for shortage and surplus alike
}

// What is drawn at random.
const (
	drawDay = iota + 1
	drawHour
	drawQuarter
	drawMember
	drawForecast
	drawForecastDay
)

func (m *Market) random(what, of int64) *rand.Rand {
	return rand.New(rand.NewPCG(m.seed^uint64(what)<<56, uint64(of)))
}

// Price is high in the morning and in the evening of a working day, and low, also below 0,
// where the sun shines. The imbalance price goes up and down around it, and has spikes.
func (m *Market) Price(start int64) Price {
	t := time.UnixMicro(start).In(m.zone)
	day := m.random(drawDay, int64(t.Year())*1000+int64(t.YearDay()))
	level, sun := 1+0.2*day.NormFloat64(), day.Float64()
	hour := float64(t.Hour()) + float64(t.Minute())/60
	bump := func(at, width float64) float64 { x := (hour - at) / width; return math.Exp(-x * x / 2) }
	season := (1 - math.Cos(2*math.Pi*float64(t.YearDay()+10)/365.25)) / 2 // of the sun: 0 in winter, 1 in summer
	shape := 0.75 + 0.45*bump(8, 1.8) + 0.75*bump(19, 2.2) - 0.25*bump(3.5, 2.5) - (0.15+1.35*season)*sun*bump(13.2, 2.4)
	if w := t.Weekday(); w == time.Saturday || w == time.Sunday {
		shape -= 0.25
	}
	hourly := m.random(drawHour, start/(4*Quarter))
	p := Price{Start: start, DayAhead: round(m.config.DayAhead * (level*shape + 0.04*hourly.NormFloat64()))}
	q := m.random(drawQuarter, start/Quarter)
	off := 0.5*hourly.NormFloat64() + 0.25*q.NormFloat64()
	if q.Float64() < m.config.Spikes {
		spike := 3 + 12*q.ExpFloat64()
		if off < 0 {
			spike = -spike / 3
		}
		off += spike
	}
	p.Imbalance = round(p.DayAhead + m.config.DayAhead*off)
	return p
}

// Member reports whether a service point is in the portfolio.
func (m *Market) Member(point int) bool {
	return m.random(drawMember, int64(point)).Float64() < m.config.Portfolio
}

// Nominated is what was nominated for a quarter-hour in which a portfolio takes some
// Wh, less what it gives: a forecast, whose error is alike through a day for a half of it.
func (m *Market) Nominated(start int64, wh float64) int64 {
	t := time.UnixMicro(start).In(m.zone)
	day := m.random(drawForecastDay, int64(t.Year())*1000+int64(t.YearDay())).NormFloat64()
	quarter := m.random(drawForecast, start/Quarter).NormFloat64()
	return int64(math.Round(wh * (1 + m.config.ForecastError*(day+quarter)/math.Sqrt2)))
}

// round is to cents.
func round(x float64) float64 { return math.Round(x*100) / 100 }
