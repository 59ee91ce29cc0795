package headend

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Master is what is imported beside reads and events, as CSV with a first line: each kind has
// columns of its own, and rows replace those that are known by the same.
type Master string

const (
	Meters    Master = "meters"    // meter, service_point
	Customers Master = "customers" // customer, service_point, name, contact, priority, tariff
	Tariffs   Master = "tariffs"   // tariff, register, begins, price, unit
	Weather   Master = "weather"   // station, quantity, time, issued, value, unit
)

// columns are those of a kind; the first of them are required, and empty in no row.
var masterColumns = map[Master]struct {
	columns  []Field
	required int
}{
	Meters:    {[]Field{Meter, Point}, 2},
	Customers: {[]Field{"customer", Point, "name", "contact", "priority", "tariff"}, 2},
	Tariffs:   {[]Field{"tariff", "register", "begins", "price", "unit"}, 5},
	Weather:   {[]Field{"station", "quantity", "time", "value", "unit", "issued"}, 5},
}

// Priorities are those of customers, those who need supply most last.
var Priorities = []string{"normal", "important", "critical", "life-support"}

// ReadMaster calls each with every row, as what keeps it. A *Refusal goes to refused, any
// other error ends it.
func ReadMaster(kind Master, headend string, from io.Reader, now telemetry.Micros, each func(func(*store.Tx) error) error, refused func(*Refusal)) error {
	of := masterColumns[kind]
	named := func(name string) (Field, bool) { return Field(name), slices.Contains(of.columns, Field(name)) }
	next, err := newTable(marked(from), 1, 0, named, of.columns[:of.required])
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	d := &Decoder{now: now + 366*ahead} // forecasts and prices are of the future
	for {
		at, c, err := next()
		var wrong *Refusal
		if err == io.EOF {
			return nil
		}
		var save func(*store.Tx) error
		if err == nil {
			save, err = d.master(kind, headend, now, at, c)
		}
		switch {
		case errors.As(err, &wrong):
			refused(wrong)
		case err != nil:
			return err
		default:
			if err := each(save); err != nil {
				return err
			}
		}
	}
}

func (d *Decoder) master(kind Master, headend string, now telemetry.Micros, at Place, c cells) (func(*store.Tx) error, error) {
	of := masterColumns[kind]
	for i, field := range of.columns {
		if i < of.required && !c.has(field) {
			return nil, refuse(at, "no %s", field)
		}
		if _, err := c.optional(field); err != nil {
			return nil, err
		}
	}
	number := func(f Field) (float64, error) {
		v, err := strconv.ParseFloat(c[f].text, 64)
		if err != nil || v-v != 0 || strings.Trim(c[f].text, "0123456789+-.eE") != "" {
			return 0, refuse(c[f].Place, "%s %q, expected a number such as 0.25", f, short(c[f].text))
		}
		return v, nil
	}
	switch kind {
	case Meters:
		return func(t *store.Tx) error { return t.SaveMeter(headend, c[Meter].text, c[Point].text, now) }, nil
	case Customers:
		v := store.Customer{ID: c["customer"].text, Point: c[Point].text, Name: c["name"].text, Contact: c["contact"].text, Priority: c["priority"].text, Tariff: c["tariff"].text}
		if v.Priority == "" {
			v.Priority = Priorities[0]
		}
		if !slices.Contains(Priorities, v.Priority) {
			return nil, refuse(c["priority"].Place, "priority %q, expected %s", short(v.Priority), oneOf(Priorities))
		}
		return func(t *store.Tx) error { return t.SaveCustomer(v) }, nil
	case Tariffs:
		v := store.Price{Tariff: c["tariff"].text, Register: c["register"].text, Unit: c["unit"].text}
		var err error
		if v.Price, err = number("price"); err == nil {
			v.Begins, err = d.instant(c["begins"])
		}
		return func(t *store.Tx) error { return t.SavePrice(v) }, err
	case Weather:
		v := store.Weather{Station: c["station"].text, Quantity: c["quantity"].text, Unit: c["unit"].text}
		var err error
		if v.Value, err = number("value"); err == nil {
			v.At, err = d.instant(c["time"])
		}
		if c.has("issued") && err == nil {
			v.Issued, err = d.instant(c["issued"])
		}
		return func(t *store.Tx) error { return t.SaveWeather(v) }, err
	}
	return nil, fmt.Errorf("%q is nothing that is imported", string(kind))
}

// WriteMaster writes what is known of a kind as CSV that ReadMaster reads; of tariffs, unless
// at is 0, only the prices that hold then.
func WriteMaster(ctx context.Context, s *store.Store, kind Master, at telemetry.Micros, to io.Writer) error {
	w := csv.NewWriter(to)
	var head []string
	for _, field := range masterColumns[kind].columns {
		head = append(head, string(field))
	}
	w.Write(head)
	instant := func(m telemetry.Micros) string {
		if m == 0 {
			return ""
		}
		return m.Time().Format(time.RFC3339Nano)
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	price := func(p store.Price) error {
		return w.Write([]string{p.Tariff, p.Register, instant(p.Begins), number(p.Price), p.Unit})
	}
	var err error
	switch {
	case kind == Customers:
		err = s.Customers(ctx, func(c store.Customer) error {
			return w.Write([]string{c.ID, c.Point, c.Name, c.Contact, c.Priority, c.Tariff})
		})
	case kind == Tariffs && at != 0:
		err = s.PricesAt(ctx, at, price)
	case kind == Tariffs:
		err = s.Prices(ctx, price)
	case kind == Weather:
		err = s.Weather(ctx, func(v store.Weather) error {
			return w.Write([]string{v.Station, v.Quantity, instant(v.At), number(v.Value), v.Unit, instant(v.Issued)})
		})
	default:
		return fmt.Errorf("%q is nothing that is written", string(kind))
	}
	w.Flush()
	return errors.Join(err, w.Error())
}
