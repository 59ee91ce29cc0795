package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/busbar/busbar/telemetry"
)

// LinkUp is the state of a link that works.
const LinkUp = "up"

const longestCause = 1000 // bytes

// CheckLink reports what of a link's change can't be kept.
func CheckLink(l telemetry.Link) error {
	switch l.Stream {
	case "events", "telemetry", "backfill":
	default:
		return fmt.Errorf("unknown stream %q", l.Stream)
	}
	if !isLinkState(l.State) || !isLinkState(l.Was) {
		return fmt.Errorf("a link goes from %q to %q, want up, down or throttled", l.Was, l.State)
	}
	if l.Lasted < 0 {
		return fmt.Errorf("the state before lasted %d µs", l.Lasted)
	}
	return nil
}

func isLinkState(s string) bool { return s == LinkUp || s == "down" || s == "throttled" }

// SaveLink keeps that the link of one of a gateway's streams changed at at.
func (t *Tx) SaveLink(gateway string, l telemetry.Link, at telemetry.Micros) error {
	err := t.touchGateway(gateway)
	if err == nil {
		_, err = t.Exec(`INSERT INTO link_change (gateway, stream, at, state, was, cause, lasted) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			gateway, l.Stream, int64(at), l.State, l.Was, strings.ToValidUTF8(l.Cause[:min(len(l.Cause), longestCause)], ""), l.Lasted)
	}
	if err != nil {
		return fmt.Errorf("store: keep the link of %s/%s: %w", gateway, l.Stream, err)
	}
	return nil
}

// Outage is a time in which a stream's way to the log was down or throttled.
type Outage struct {
	Stream, State, Cause string
	From                 telemetry.Micros
	To                   *telemetry.Micros // nil: it hasn't ended, as far as is known
}

// OutagePlace is an outage's place in their list. A stream has one state at a time.
type OutagePlace struct {
	Stream, State string
	From          telemetry.Micros
}

func (o Outage) Place() OutagePlace { return OutagePlace{o.Stream, o.State, o.From} }

// Outages lists a gateway's outages that reach into the time from from up to and
// without to, by stream, in the order in which they began.
func (s *Store) Outages(ctx context.Context, gateway string, from, to telemetry.Micros, page Page[OutagePlace]) ([]Outage, error) {
	list := []Outage{}
	streams := []string{"events", "telemetry", "backfill"}
	var after OutagePlace
	if page.After != nil {
		after = *page.After
		if i := slices.Index(streams, after.Stream); i >= 0 {
			streams = streams[i:]
		}
	}
	enough := errors.New("there is no room for more")
	err := s.Ask(ctx, func(t *Tx) error {
		for _, stream := range streams {
			begin := len(list)
			var behind OutagePlace
			if stream == after.Stream {
				behind = after
			}
			err := t.Each(func(r *sql.Rows) error {
				o := Outage{Stream: stream}
				err := r.Scan(&o.From, &o.State, &o.Cause)
				if last := len(list) - 1; last >= begin && list[last].To == nil {
					list[last].To = &o.From
				}
				if err == nil && o.State != LinkUp {
					if len(list) == page.Limit {
						return enough
					}
					list = append(list, o)
				}
				return err
				// From the change that from finds in force to the one that ends the last.
			}, `SELECT at, state, cause FROM link_change WHERE gateway = ? AND stream = ? AND `+t.Seen("gateway")+`
				AND at >= COALESCE((SELECT MAX(at) FROM link_change WHERE gateway = ? AND stream = ? AND at <= ?), 0)
				AND at <= COALESCE((SELECT MIN(at) FROM link_change WHERE gateway = ? AND stream = ? AND at >= ?), ?)
				AND (at, state) > (?, ?)
				ORDER BY at, state`, gateway, stream, gateway, stream, int64(from), gateway, stream, int64(to), int64(to),
				int64(behind.From), behind.State)
			if err != nil && err != enough {
				return err
			}
			if n := len(list); n > begin && list[n-1].From >= to {
				list = list[:n-1]
			}
			if err == enough {
				break
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("store: list the outages of %s: %w", gateway, err)
	}
	return list, nil
}
