package scenario

import (
	"context"

	"github.com/busbar/busbar/sim/load"
	"github.com/busbar/busbar/sim/market"
)

// Nomination is what a portfolio was nominated to take in a quarter-hour, less what it
// gives.
type Nomination struct {
	Start  int64 // µs UTC
	Day    string
	Number int // in its local day, from 1
	Wh     int64
}

// Price is that of a quarter-hour.
type Price struct {
	market.Price
	Day    string
	Number int
}

func (s *Scenario) market() (*market.Market, error) {
	var c market.Config
	if c.SetDefaults(); s.Market != nil {
		c = *s.Market
	}
	return market.New(c, s.Seed)
}

// quarters calls f with the beginning of each whole quarter-hour.
func (s *Scenario) quarters(ctx context.Context, f func(start int64) error) error {
	for start := (int64(s.Start) + quarter - 1) / quarter * quarter; start+quarter <= s.End(); start += quarter {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f(start); err != nil {
			return err
		}
	}
	return nil
}

// Prices calls f with those of each quarter-hour, in their order.
func (s *Scenario) Prices(ctx context.Context, f func(Price) error) error {
	m, err := s.market()
	if err != nil {
		return err
	}
	return s.quarters(ctx, func(start int64) error {
		p := Price{Price: m.Price(start)}
		p.Day, p.Number = m.Period(start)
		return f(p)
	})
}

// Nominations calls f with that of each quarter-hour. They are forecasts of what the
// customers of the portfolio want, whatever effects they have and whether they have supply.
func (s *Scenario) Nominations(ctx context.Context, f func(Nomination) error) error {
	m, err := s.market()
	if err != nil {
		return err
	}
	var mix load.Mix
	if mix.SetDefaults(); s.Loads != nil {
		mix = s.Loads.Mix
	}
	model, customers := Customers(s.model.At(int64(s.Start)), s.Seed, mix)
	var members []int
	for p := range customers {
		if m.Member(p) {
			members = append(members, p)
		}
	}
	var day load.Day
	of, wanted := -1, [load.Slots]float64{}
	return s.quarters(ctx, func(start int64) error {
		d, slot := load.SlotAt(start)
		if d != of {
			of, wanted = d, [load.Slots]float64{}
			for _, p := range members {
				model.Real(&customers[p], d, &day)
				for i := range wanted {
					wanted[i] += float64(day.Import[i]) - float64(day.Export[i])
				}
			}
		}
		n := Nomination{Start: start, Wh: m.Nominated(start, wanted[slot])}
		n.Day, n.Number = m.Period(start)
		return f(n)
	})
}
