package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/busbar/busbar/telemetry"
)

// Device is a device that births, accounts or losses have named.
type Device struct{ Gateway, Name string }

// Account is what a gateway says of the samples of one of its devices that were
// due in Quarters quarter-hours from First on.
type Account struct {
	Device          int // index of the devices of the same answer
	First, Quarters int64
	Counts          telemetry.DeviceAccount
	// Uncounted says that numbers of the same epoch were given up of which the
	// gateway couldn't say whose samples they were.
	Uncounted bool
}

// DeviceLoss is how many of a device's samples of a quarter-hour were given up.
type DeviceLoss struct {
	Device  int
	Reason  telemetry.LossReason
	Samples uint64
}

// DeviceReceived is how many of a device's samples of a quarter-hour are stored, how
// many of these came late, and how many are estimates. A device may have several.
type DeviceReceived struct {
	Device                   int
	Samples, Late, Estimates uint64
}

// Quarter is what is known of one quarter-hour.
type Quarter struct {
	Number   int64
	Accounts []Account // of this quarter-hour alone
	Losses   []DeviceLoss
	Received []DeviceReceived
}

// Scope is what is known beside single quarter-hours.
type Scope struct {
	Devices []Device                    // by gateway and name
	Long    []Account                   // of several quarter-hours, that reach into the range
	Reads   []DeviceReads               // that head-ends are to have
	Began   map[string]telemetry.Micros // when a gateway first started, as far as that is known
}

// Quarters reads what is known of a gateway's devices, or of those of all if it
// is empty, in the quarter-hours from from up to and without to. It calls begin
// once, and then each with every quarter-hour in order, which keeps nothing of
// it. All of it is one snapshot.
func (s *Store) Quarters(ctx context.Context, gateway string, from, to int64, begin func(Scope), each func(Quarter)) error {
	err := s.scan(ctx, func(t *Tx) error {
		r := quarterReader{Tx: t, gateway: gateway, devices: map[int64]int{}, bundles: map[int64]int{}, uncounted: map[int64]bool{}}
		scope := Scope{Began: map[string]telemetry.Micros{}}
		err := r.readDevices(&scope)
		if err == nil {
			err = r.readUncounted()
		}
		if err == nil {
			err = r.readIntervals(&scope)
		}
		if err != nil {
			return err
		}
		scope.Long, err = r.accounts(nil, `quarters > 1 AND quarter > ? AND quarter < ? AND quarter + quarters > ?`,
			from-int64(LongestAccount/telemetry.Quarter), to, from)
		if err != nil {
			return err
		}
		begin(scope)
		var q Quarter
		for q.Number = from; q.Number < to; q.Number++ {
			if err := r.read(&q); err != nil {
				return err
			}
			each(q)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store: read accounts: %w", err)
	}
	return nil
}

// DeviceReads says that a device of a head-end is read by intervals of a width, of which the
// first began at First, and how long after its end one may come. From Until on they are of
// another width; 0: they aren't.
type DeviceReads struct {
	Device                       int
	Width, First, Until, Expects telemetry.Micros
}

// readIntervals are those of the devices that are read.
func (r *quarterReader) readIntervals(scope *Scope) error {
	limit, more := r.of("i.bundle", bundleIDs)
	last := int64(-1)
	return r.Each(func(rows *sql.Rows) error {
		var d DeviceReads
		var series, bundle int64
		err := rows.Scan(&series, &bundle, &d.Width, &d.First, &d.Expects)
		d.Device = r.bundles[bundle]
		if series == last {
			scope.Reads[len(scope.Reads)-1].Until = d.First
		}
		last = series
		scope.Reads = append(scope.Reads, d)
		return err
	}, `SELECT i.series, i.bundle, i.width, i.first, h.expects FROM read_interval i JOIN series s ON s.id = i.series JOIN headend h ON h.id = s.gateway WHERE TRUE`+limit+` ORDER BY i.series, i.first, i.width DESC`, more...)
}

// quarterReader reads the rows of one gateway, or of all. Both of its maps lead
// to indexes of the list of devices.
type quarterReader struct {
	*Tx
	gateway          string
	devices, bundles map[int64]int
	uncounted        map[int64]bool // by sequence
}

func (r *quarterReader) readDevices(scope *Scope) error {
	err := r.Each(func(rows *sql.Rows) error {
		var gateway string
		var at telemetry.Micros
		err := rows.Scan(&gateway, &at)
		scope.Began[gateway] = at
		return err
	}, `SELECT id, first_start FROM gateway WHERE first_start IS NOT NULL`)
	if err != nil {
		return err
	}
	list := scope.Devices
	bySeries := func(rows *sql.Rows) error {
		var d Device
		var id int64
		var bundle bool
		err := rows.Scan(&d.Gateway, &d.Name, &id, &bundle)
		if n := len(list); n == 0 || list[n-1] != d {
			list = append(list, d)
		}
		if bundle {
			r.bundles[id] = len(list) - 1
		} else {
			r.devices[id] = len(list) - 1
		}
		return err
	}
	const order = ` ORDER BY 1, 2`
	which, args := r.which()
	err = r.Each(bySeries, `SELECT gateway, name, id, FALSE FROM device WHERE `+which+`
		UNION ALL SELECT gateway, device, id, TRUE FROM series WHERE id = bundle AND `+which+order, append(args, args...)...)
	scope.Devices = list
	return err
}

func (r *quarterReader) readUncounted() error {
	return r.Each(func(rows *sql.Rows) error {
		var sequence int64
		err := rows.Scan(&sequence)
		r.uncounted[sequence] = true
		return err
	}, `SELECT DISTINCT sequence FROM declared_loss WHERE NOT counted`)
}

// which gateways are read, as a condition on the column gateway.
func (r *quarterReader) which() (string, []any) {
	if r.gateway == "" {
		return r.Seen("gateway"), nil
	}
	return `gateway = ? AND ` + r.Seen("gateway"), []any{r.gateway}
}

// of limits a query to the devices that are read, unless it is all.
func (r *quarterReader) of(column, ids string) (string, []any) {
	if r.gateway == "" && !limited(r.ctx) {
		return "", nil
	}
	which, args := r.which()
	return ` AND ` + column + ` IN (` + ids + which + `)`, args
}

const (
	deviceIDs = `SELECT id FROM device WHERE `
	bundleIDs = `SELECT id FROM series WHERE id = bundle AND `
)

func (r *quarterReader) accounts(list []Account, where string, args ...any) ([]Account, error) {
	limit, more := r.of("device", deviceIDs)
	err := r.Each(func(rows *sql.Rows) error {
		var a Account
		var device, sequence int64
		var bad sql.RawBytes
		c := &a.Counts
		err := rows.Scan(&device, &sequence, &a.First, &a.Quarters, &c.Scheduled, &c.Read, &c.Suppressed, &bad, &c.Missed, &c.Down, &c.Delivered)
		if err == nil && len(bad) > 0 {
			err = json.Unmarshal(bad, &c.Bad)
		}
		a.Device, a.Uncounted = r.devices[device], r.uncounted[sequence]
		list = append(list, a)
		return err
	}, `SELECT device, sequence, quarter, quarters, scheduled, had_value, suppressed, bad, missed, down, delivered FROM account WHERE `+where+limit+` ORDER BY quarter, device, sequence, quarters`,
		append(args, more...)...)
	return list, err
}

func (r *quarterReader) read(q *Quarter) (err error) {
	if q.Accounts, err = r.accounts(q.Accounts[:0], `quarter = ? AND quarters = 1`, q.Number); err != nil {
		return err
	}
	q.Losses, q.Received = q.Losses[:0], q.Received[:0]
	limit, more := r.of("device", deviceIDs)
	err = r.Each(func(rows *sql.Rows) error {
		var l DeviceLoss
		var device int64
		err := rows.Scan(&device, &l.Reason, &l.Samples)
		l.Device = r.devices[device]
		q.Losses = append(q.Losses, l)
		return err
	}, `SELECT device, reason, samples FROM device_loss WHERE quarter = ?`+limit+` ORDER BY device, reason, sequence, seq_first`, append([]any{q.Number}, more...)...)
	if err != nil {
		return err
	}
	limit, more = r.of("bundle", bundleIDs)
	return r.Each(func(rows *sql.Rows) error {
		var d DeviceReceived
		var bundle int64
		err := rows.Scan(&bundle, &d.Samples, &d.Late, &d.Estimates)
		d.Device = r.bundles[bundle]
		q.Received = append(q.Received, d)
		return err
	}, `SELECT bundle, samples, late, estimates FROM received WHERE quarter = ?`+limit+` ORDER BY bundle`, append([]any{q.Number}, more...)...)
}
