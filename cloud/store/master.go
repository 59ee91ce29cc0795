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

// Customers calls each with every customer, by id.
func (s *Store) Customers(ctx context.Context, each func(Customer) error) error {
	return s.master(ctx, "customers", func(r *sql.Rows) error {
		var c Customer
		if err := r.Scan(&c.ID, &c.Point, &c.Name, &c.Contact, &c.Priority, &c.Tariff); err != nil {
			return err
		}
		return each(c)
	}, `SELECT id, point, name, contact, priority, tariff FROM customer ORDER BY id`)
}

// Prices calls each with every price, by tariff, register and beginning.
func (s *Store) Prices(ctx context.Context, each func(Price) error) error {
	return s.prices(ctx, each, `SELECT tariff, register, begins, price, unit FROM tariff ORDER BY tariff, register, begins`)
}

// PricesAt calls each with the prices that hold at an instant: of each register of a tariff
// the one that began last.
func (s *Store) PricesAt(ctx context.Context, at telemetry.Micros, each func(Price) error) error {
	return s.prices(ctx, each, `SELECT tariff, register, begins, price, unit FROM tariff t
		WHERE begins = (SELECT MAX(begins) FROM tariff o WHERE o.tariff = t.tariff AND o.register = t.register AND o.begins <= ?) ORDER BY tariff, register`, int64(at))
}

func (s *Store) prices(ctx context.Context, each func(Price) error, query string, args ...any) error {
	return s.master(ctx, "tariffs", func(r *sql.Rows) error {
		var p Price
		if err := r.Scan(&p.Tariff, &p.Register, &p.Begins, &p.Price, &p.Unit); err != nil {
			return err
		}
		return each(p)
	}, query, args...)
}

// Weather calls each with all weather, by station, quantity and time, what was measured
// before what was expected.
func (s *Store) Weather(ctx context.Context, each func(Weather) error) error {
	return s.master(ctx, "weather", func(r *sql.Rows) error {
		var w Weather
		if err := r.Scan(&w.Station, &w.Quantity, &w.At, &w.Issued, &w.Value, &w.Unit); err != nil {
			return err
		}
		return each(w)
	}, `SELECT station, quantity, at, issued, value, unit FROM weather ORDER BY station, quantity, at, issued`)
}

func (s *Store) master(ctx context.Context, what string, each func(*sql.Rows) error, query string, args ...any) error {
	err := s.Ask(ctx, func(t *Tx) error { return t.Each(each, query, args...) })
	if err != nil {
		return fmt.Errorf("store: read %s: %w", what, err)
	}
	return nil
}
