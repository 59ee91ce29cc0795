package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/busbar/busbar/telemetry"
)

// Customer is who is supplied at a service point.
type Customer struct {
	ID, Point     string
	Name, Contact string // "" if they aren't kept here
	Priority      string // normal, important, critical, life-support
	Tariff        string
}

// SaveCustomer keeps a customer in the place of the one of its id.
func (t *Tx) SaveCustomer(c Customer) error {
	return t.saveMaster("customer "+c.ID, `INSERT INTO customer (id, point, name, contact, priority, tariff) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET point = excluded.point, name = excluded.name, contact = excluded.contact, priority = excluded.priority, tariff = excluded.tariff`,
		c.ID, c.Point, c.Name, c.Contact, c.Priority, c.Tariff)
}

// Price is what a register of a tariff costs from Begins on.
type Price struct {
	Tariff, Register string
	Begins           telemetry.Micros
	Price            float64
	Unit             string // such as EUR/kW.h
}

// SavePrice keeps a price in the place of the one that begins then.
func (t *Tx) SavePrice(p Price) error {
	return t.saveMaster("a price of tariff "+p.Tariff, `INSERT INTO tariff (tariff, register, begins, price, unit) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (tariff, register, begins) DO UPDATE SET price = excluded.price, unit = excluded.unit`, p.Tariff, p.Register, int64(p.Begins), p.Price, p.Unit)
}

// Weather is a quantity at a station, as it was measured, or expected when it was issued.
type Weather struct {
	Station, Quantity string
	At, Issued        telemetry.Micros // Issued is 0 of what was measured
	Value             float64
	Unit              string
}

// SaveWeather keeps a value in the place of the one of its time.
func (t *Tx) SaveWeather(w Weather) error {
	return t.saveMaster("weather of "+w.Station, `INSERT INTO weather (station, quantity, at, issued, value, unit) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (station, quantity, at, issued) DO UPDATE SET value = excluded.value, unit = excluded.unit`, w.Station, w.Quantity, int64(w.At), int64(w.Issued), w.Value, w.Unit)
}

func (t *Tx) saveMaster(what, query string, args ...any) error {
	if err := t.execLater(query, args...); err != nil {
		return fmt.Errorf("store: keep %s: %w", what, err)
	}
	return nil
}

// CustomersAt lists the customers at a service point that the context may see, by id.
func (s *Store) CustomersAt(ctx context.Context, point string) (list []Customer, err error) {
	list = []Customer{}
	err = s.Ask(ctx, func(t *Tx) error {
		return t.Each(func(r *sql.Rows) error {
			var c Customer
			err := r.Scan(&c.ID, &c.Point, &c.Name, &c.Contact, &c.Priority, &c.Tariff)
			list = append(list, c)
			return err
		}, `SELECT c.id, c.point, c.name, c.contact, c.priority, c.tariff FROM customer c JOIN grid_asset g ON g.id = c.point
			WHERE c.point = ? AND `+t.SeenAsset("g.zone")+` ORDER BY c.id`, point)
	})
	if err != nil {
		return nil, fmt.Errorf("store: list the customers of %s: %w", point, err)
	}
	return list, nil
}
