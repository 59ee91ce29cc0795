package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Expect keeps how many sequence numbers a gateway says it has committed of one
// of its epochs. A number that was said later counts if it is larger.
func (t *Tx) Expect(gateway string, c telemetry.Committed) error {
	epoch, err := record.ParseEpoch(c.Epoch)
	if err == nil && c.Count > math.MaxInt64 {
		err = fmt.Errorf("count %d is too large", c.Count)
	}
	var id int64
	if err == nil {
		id, err = t.sequenceOf(gateway, epoch, c.Stream)
	}
	if err == nil {
		_, err = t.Exec(`UPDATE sequence SET expected = ? WHERE id = ? AND (expected IS NULL OR expected < ?)`, c.Count, id, c.Count)
	}
	if err != nil {
		return fmt.Errorf("store: expect %d of %s/%s/%s: %w", c.Count, gateway, c.Epoch, c.Stream, err)
	}
	return nil
}

// BeyondExpected reports whether the gateway has said, in a later process, that it
// had committed less of the record's epoch than the record.
func (t *Tx) BeyondExpected(id record.Identity) (beyond bool, err error) {
	var expected *uint64
	err = t.QueryRow(`SELECT expected FROM sequence WHERE gateway = ? AND epoch = ? AND stream = ?`,
		[]any{id.Gateway, id.Epoch.String(), string(id.Stream)}, &expected)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("store: look up what is expected of %s: %w", id, err)
	}
	return expected != nil && id.First >= *expected, nil
}

// AddNoGateway makes sure that there is the row of what belongs to no gateway, whose id is
// empty.
func (t *Tx) AddNoGateway() error { return t.touchGateway("") }

// FirstStart keeps when a gateway's first process started. One whose buffer was
// removed counts its starts anew: the earliest holds.
func (t *Tx) FirstStart(gateway string, at telemetry.Micros) error {
	err := t.touchGateway(gateway)
	if err == nil {
		_, err = t.Exec(`UPDATE gateway SET first_start = ? WHERE id = ? AND (first_start IS NULL OR first_start > ?)`, int64(at), gateway, int64(at))
	}
	if err != nil {
		return fmt.Errorf("store: keep the first start of %s: %w", gateway, err)
	}
	return nil
}

func (t *Tx) sequenceOf(gateway string, epoch record.Epoch, stream string) (int64, error) {
	if err := t.touchGateway(gateway); err != nil {
		return 0, err
	}
	id, _, err := t.sequence(sequence{gateway, epoch, record.Stream(stream)}, 0, 0, 0)
	return id, err
}

// Gateway is a gateway and the completeness of what it sent.
type Gateway struct {
	ID, Site, Zone string
	LastRecord     telemetry.Micros // when its newest record was written, 0 if it has sent none
	Presence       Presence         // Every is 0: it doesn't say how often it can be heard
	Own            []Series         // of the gateway as a device, by name
	Sequences      []Completeness   // those begun last come first
}

// Total sums up what a gateway sent of one stream in all its epochs. Once none of them
// runs, Expected is the sum of Received, Parked and Lost.
type Total struct {
	Stream                record.Stream
	Epochs, Running       int    // and those of them of which no end is known
	Expected              uint64 // of the others
	Received, Parked      uint64
	Missing, Lost         uint64
	Duplicates, Conflicts uint64
}

// Totals are those of the streams of which something is known.
func (g Gateway) Totals() []Total {
	totals := []Total{}
	for _, stream := range []record.Stream{record.Telemetry, record.Events} {
		sum := Total{Stream: stream}
		for _, c := range g.Sequences {
			if c.Stream == stream {
				sum.add(c)
			}
		}
		if sum.Epochs > 0 {
			totals = append(totals, sum)
		}
	}
	return totals
}

func (s *Total) add(c Completeness) {
	s.Epochs++
	if c.Expected == nil {
		s.Running++
	} else {
		s.Expected += *c.Expected
	}
	s.Received += c.Received
	s.Parked += c.Parked
	s.Missing += c.Missing
	s.Lost += c.Lost
	s.Duplicates += c.Duplicates
	s.Conflicts += c.Conflicts
}

// Completeness compares what a gateway says it committed of one stream of one
// epoch with what is in the store. A process that was killed may have sent events
// that it hadn't committed: what was received counts as expected. Once Expected is known, it is the sum of
// Received, Parked and Lost. Numbers of a record that was set aside in the
// quarantine haven't been received: they are in Missing, and then in Lost.
type Completeness struct {
	ID       int64 // larger than those of epochs begun before
	Epoch    record.Epoch
	Stream   record.Stream
	Expected *uint64 // nil: the epoch is running, or its end isn't known
	Received uint64  // and stored
	Parked   uint64  // received, and waiting for the births that name their signals
	// Missing is the holes below the highest number received, while Expected isn't
	// known: they may still come.
	Missing uint64
	// Lost is the numbers that the gateway declared lost or, once Expected is
	// known, that haven't been received: a backlog still to come is in it.
	Lost       uint64
	Duplicates uint64 // records that came again, and were not stored again
	Conflicts  uint64 // records that contradicted others, see IdentityConflict
}

// Gateways lists every gateway by its id.
func (s *Store) Gateways(ctx context.Context) ([]Gateway, error) {
	return s.GatewayPage(ctx, Page[string]{Limit: math.MaxInt32})
}

// GatewayPage is a part of Gateways. A gateway's place is its id.
func (s *Store) GatewayPage(ctx context.Context, page Page[string]) ([]Gateway, error) {
	var of Conditions
	if page.After != nil {
		of.And(`g.id > ?`, *page.After)
	}
	return s.gateways(ctx, of, page.Limit)
}

// Gateway is the gateway of that id; ErrNoGateway if there is none.
func (s *Store) Gateway(ctx context.Context, id string) (Gateway, error) {
	var of Conditions
	of.And(`g.id = ?`, id)
	list, err := s.gateways(ctx, of, 1)
	if err == nil && len(list) == 0 {
		err = ErrNoGateway
	}
	if err != nil {
		return Gateway{}, err
	}
	return list[0], nil
}

// ErrNoGateway says that no gateway has the id.
var ErrNoGateway = errors.New("no such gateway")

func (s *Store) gateways(ctx context.Context, of Conditions, limit int) ([]Gateway, error) {
	var list []Gateway
	err := s.Ask(ctx, func(t *Tx) error {
		of.And(`g.id <> ''`)
		of.And(t.Seen("g.id"))
		at := map[string]int{}
		err := t.Each(func(r *sql.Rows) error {
			var g Gateway
			p := &g.Presence
			err := r.Scan(&g.ID, &g.Site, &g.Zone, &g.LastRecord, &p.Heard, &p.Every, &p.Presence.Site, &p.Feeder, &p.Uplink, &p.Silent, &p.Stopped, &p.LastGasp)
			at[g.ID] = len(list)
			list = append(list, g)
			return err
		}, `SELECT g.id, g.site, g.zone, g.last_record, g.heard, COALESCE(p.every, 0), COALESCE(p.site, ''), COALESCE(p.feeder, ''), COALESCE(p.uplink, ''),
				COALESCE(p.silent, 0), COALESCE(p.stopped, FALSE), COALESCE(p.supply_failed, 0)
			FROM gateway g LEFT JOIN presence p ON p.gateway = g.id`+of.Where()+` ORDER BY g.id LIMIT ?`, append(of.Args, limit)...)
		if err != nil || len(list) == 0 {
			return err
		}
		first, last := list[0].ID, list[len(list)-1].ID
		own, err := t.series(selectSeries+`WHERE device = gateway AND gateway >= ? AND gateway <= ? ORDER BY gateway, name, id`, first, last)
		if err == nil {
			err = t.addLatest(own)
		}
		if err != nil {
			return err
		}
		for _, s := range own {
			if n, found := at[s.Gateway]; found {
				list[n].Own = append(list[n].Own, s)
			}
		}
		received, err := t.intervals(`SELECT i.sequence, i.seq_first, i.seq_last FROM received_interval i
			JOIN sequence q ON q.id = i.sequence WHERE q.gateway >= ? AND q.gateway <= ?`, first, last)
		if err != nil {
			return err
		}
		declared, err := t.intervals(`SELECT l.sequence, l.seq_first, l.seq_last FROM declared_loss l
			JOIN sequence q ON q.id = l.sequence WHERE q.gateway >= ? AND q.gateway <= ?`, first, last)
		if err != nil {
			return err
		}
		parked, err := t.intervals(`SELECT q.id, p.seq_first, p.seq_last FROM parked_record p
			JOIN sequence q ON q.gateway = p.gateway AND q.epoch = p.epoch AND q.stream = '`+string(record.Telemetry)+`'
			WHERE q.gateway >= ? AND q.gateway <= ?`, first, last)
		if err != nil {
			return err
		}
		return t.Each(func(r *sql.Rows) error {
			var gateway, epoch string
			var c Completeness
			err := r.Scan(&c.ID, &gateway, &epoch, &c.Stream, &c.Expected, &c.Duplicates, &c.Conflicts)
			if err != nil {
				return err
			}
			if c.Epoch, err = record.ParseEpoch(epoch); err != nil {
				return err
			}
			c.Parked = parked[c.ID].Count()
			c.Received = received[c.ID].Count() - c.Parked
			c.expectAll(received[c.ID])
			c.Lost, c.Missing = absent(received[c.ID], declared[c.ID], c.Expected)
			g := &list[at[gateway]]
			g.Sequences = append(g.Sequences, c)
			return nil
		}, `SELECT id, gateway, epoch, stream, expected, duplicates, conflicts FROM sequence
			WHERE gateway >= ? AND gateway <= ? AND `+t.Seen("gateway")+` ORDER BY id DESC`, first, last)
	})
	if err != nil {
		return nil, fmt.Errorf("store: list gateways: %w", err)
	}
	return list, nil
}

// intervals reads rows of sequence, first and last into sets.
func (t *Tx) intervals(query string, args ...any) (map[int64]Intervals, error) {
	sets := map[int64]Intervals{}
	err := t.Each(func(r *sql.Rows) error {
		var id int64
		var i Interval
		err := r.Scan(&id, &i.First, &i.Last)
		sets[id] = sets[id].Add(i)
		return err
	}, query, args...)
	return sets, err
}

// expectAll makes Expected, if it is known, no less than what has been received.
func (c *Completeness) expectAll(received Intervals) {
	if n := len(received); n > 0 && c.Expected != nil {
		all := max(*c.Expected, received[n-1].Last+1)
		c.Expected = &all
	}
}

// absent counts the numbers that are lost and those that may still come.
func absent(received, declared Intervals, expected *uint64) (lost, missing uint64) {
	if expected != nil {
		return *expected - received.Below(*expected), 0
	}
	all := declared
	for _, i := range received {
		all = all.Add(i)
	}
	if n := len(received); n > 0 {
		end := received[n-1].Last + 1
		missing = end - all.Below(end)
	}
	return all.Count() - received.Count(), missing
}
