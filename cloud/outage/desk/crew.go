package desk

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/busbar/busbar/cloud/store"
)

// selectCrew has the outages that may not be seen hidden.
func selectCrew(t *store.Tx) string {
	return `SELECT c.id, c.name, c.state, CASE WHEN o.id IS NULL THEN '' ELSE c.outage END, c.comment, c.actor, c.at
		FROM crew c LEFT JOIN outage o ON o.id = c.outage AND ` + t.SeenAsset("o.zone") + ` `
}

func crews(t *store.Tx, where string, args ...any) (list []Crew, err error) {
	list = []Crew{}
	err = t.Each(func(r *sql.Rows) error {
		var c Crew
		err := r.Scan(&c.ID, &c.Name, &c.State, &c.Outage, &c.Comment, &c.By, &c.At)
		list = append(list, c)
		return err
	}, selectCrew(t)+where, args...)
	return list, err
}

func crew(t *store.Tx, id string) (Crew, error) {
	list, err := crews(t, `WHERE c.id = ?`, id)
	if err == nil && len(list) == 0 {
		err = ErrNoCrew
	}
	if err != nil {
		return Crew{}, err
	}
	return list[0], nil
}

// Crews lists all of them by id.
func Crews(ctx context.Context, s *store.Store) (list []Crew, err error) {
	err = s.Ask(ctx, func(t *store.Tx) error {
		list, err = crews(t, `ORDER BY c.id`)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("crews: list: %w", err)
	}
	return list, nil
}

// CrewStates are those that people give a crew which has no outage; the others follow from
// what is done with outages.
var CrewStates = []string{"available", "suspended", "off-duty"}

// SaveCrew keeps a crew, a new one or one that is known. ErrCrewBusy: it has an outage, and
// its state follows from that.
func SaveCrew(ctx context.Context, s *store.Store, c Crew) (saved Crew, err error) {
	err = s.Write(ctx, func(t *store.Tx) error {
		var outage string
		err := t.QueryRow(`SELECT COALESCE(MAX(outage), '') FROM crew WHERE id = ?`, []any{c.ID}, &outage)
		if err != nil {
			return err
		}
		if outage != "" && slices.Contains(CrewStates, c.State) {
			return ErrCrewBusy
		}
		if _, err := t.Exec(`INSERT INTO crew (id, name, state, outage, comment, actor, at) VALUES (?, ?, ?, '', ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET name = excluded.name, state = excluded.state, comment = excluded.comment, actor = excluded.actor, at = excluded.at`,
			c.ID, c.Name, c.State, c.Comment, c.By, int64(c.At)); err != nil {
			return err
		}
		if saved, err = crew(t, c.ID); err != nil {
			return err
		}
		return t.Audit(store.Change{At: c.At, By: c.By, Action: "crew", Subject: "crew " + c.ID, Detail: c.State + ", " + c.Name})
	})
	if err != nil {
		return Crew{}, fmt.Errorf("crew %s: %w", c.ID, err)
	}
	return saved, nil
}
