package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// ErrNotRunning says that no process of a gateway is known to run.
var ErrNotRunning = errors.New("it isn't running, as far as is known here")

// ErrOthersCommand says that a gateway answers a command that another one was
// given.
var ErrOthersCommand = errors.New("the command was given to another gateway")

// RunningEpoch is the newest epoch of a gateway of which no end is known;
// ErrNotRunning if there is none.
func (s *Store) RunningEpoch(ctx context.Context, gateway string) (record.Epoch, error) {
	var epoch record.Epoch
	err := s.Ask(ctx, func(t *Tx) error {
		var text string
		err := t.QueryRow(`SELECT epoch FROM sequence WHERE gateway = ? AND stream = ? AND expected IS NULL ORDER BY id DESC LIMIT 1`,
			[]any{gateway, string(record.Events)}, &text)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotRunning
		}
		if err == nil {
			epoch, err = record.ParseEpoch(text)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("store: find the running process of gateway %s: %w", gateway, err)
	}
	return epoch, nil
}

// Command is a command and what became of it.
type Command struct {
	record.Command                  // Epoch, Issued and Expires are empty if only the answer is known
	Answered       telemetry.Micros // by the gateway's clock; 0 while there is no answer
	Result         telemetry.CommandResult
	Cause          string // why it was refused, or telemetry.NoAnswer of a device that didn't
}

// ByCloud is who asks what the cloud wants to know by itself.
const ByCloud = "cloud"

// AddCommand keeps a command that is about to be sent.
func (s *Store) AddCommand(ctx context.Context, c record.Command) error {
	err := s.Write(ctx, func(t *Tx) error {
		_, err := t.Exec(`INSERT INTO command (id, gateway, epoch, kind, alarm, device, actor, issued, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			c.ID, c.Gateway, c.Epoch, string(c.Kind), c.Alarm, c.Device, c.By, int64(c.Issued), int64(c.Expires))
		if err != nil {
			return err
		}
		if c.Kind == record.Read && c.By == ByCloud {
			return nil // nobody has done it, and there are hundreds a minute in a storm
		}
		return t.Audit(Change{At: c.Issued, By: c.By, Action: "command", Subject: "gateway " + c.Gateway, Detail: strings.TrimSpace(string(c.Kind) + " " + c.Alarm + c.Device)})
	})
	if err != nil {
		return fmt.Errorf("store: keep command %s to gateway %s: %w", c.ID, c.Gateway, err)
	}
	return nil
}

// CheckAnswer reports what of an answer can't be kept.
func CheckAnswer(a telemetry.CommandAnswer) error {
	if a.Result != telemetry.CommandDone && a.Result != telemetry.CommandRefused {
		return fmt.Errorf("unknown result %q", a.Result)
	}
	for _, text := range []string{a.ID, a.Kind, a.Alarm, a.Cause} {
		if len(text) > 64 {
			return fmt.Errorf("%.80q is longer than 64 bytes", text)
		}
	}
	for _, text := range []string{a.Device, a.Asset} {
		if len(text) > 512 || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return fmt.Errorf("%.80q is longer than 512 bytes, or no text", text)
		}
	}
	if len(a.Read) > telemetry.MostRead {
		return fmt.Errorf("%d values, at most %d", len(a.Read), telemetry.MostRead)
	}
	if a.ID == "" || len(a.By) > longestCause {
		return errors.New("an answer names no command, or somebody with too long a name")
	}
	return nil
}

// AnswerCommand keeps a gateway's answer. The first one stays, unless it was a
// refusal and the command was then carried out: a repetition is refused as well,
// and so is a forgery, whichever comes first.
func (t *Tx) AnswerCommand(gateway string, a telemetry.CommandAnswer, at telemetry.Micros) error {
	var of string
	err := t.QueryRow(`SELECT gateway FROM command WHERE id = ?`, []any{a.ID}, &of)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		_, err = t.Exec(`INSERT INTO command (id, gateway, kind, alarm, device, actor, answered, result, cause) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			a.ID, gateway, a.Kind, a.Alarm, a.Device, a.By, int64(at), string(a.Result), a.Cause)
	case err == nil && of != gateway:
		err = ErrOthersCommand
	case err == nil:
		_, err = t.Exec(`UPDATE command SET answered = ?, result = ?, cause = ? WHERE id = ? AND (answered IS NULL OR result = 'refused' AND ? = 'done')`,
			int64(at), string(a.Result), a.Cause, a.ID, string(a.Result))
	}
	if err != nil {
		return fmt.Errorf("store: keep the answer of gateway %s to command %s: %w", gateway, a.ID, err)
	}
	return nil
}

const selectCommand = `SELECT id, gateway, epoch, kind, alarm, device, actor, COALESCE(issued, 0), COALESCE(expires, 0), COALESCE(answered, 0), result, cause FROM command `

func (t *Tx) commands(query string, args ...any) ([]Command, error) {
	list := []Command{}
	err := t.Each(func(r *sql.Rows) error {
		var c Command
		err := r.Scan(&c.ID, &c.Gateway, &c.Epoch, &c.Kind, &c.Alarm, &c.Device, &c.By, &c.Issued, &c.Expires, &c.Answered, &c.Result, &c.Cause)
		list = append(list, c)
		return err
	}, selectCommand+query, args...)
	return list, err
}

// Command is the command of that id; sql.ErrNoRows if there is none.
func (s *Store) Command(ctx context.Context, id string) (Command, error) {
	var list []Command
	err := s.Ask(ctx, func(t *Tx) (err error) {
		if list, err = t.commands(`WHERE id = ?`, id); err == nil && len(list) == 0 {
			err = sql.ErrNoRows
		}
		return err
	})
	if err != nil {
		return Command{}, fmt.Errorf("store: command %s: %w", id, err)
	}
	return list[0], nil
}

// CommandPlace is a command's place in their list.
type CommandPlace struct {
	At telemetry.Micros
	ID string
}

// Place is when the command was issued, or answered if that isn't known.
func (c Command) Place() CommandPlace { return CommandPlace{cmp.Or(c.Issued, c.Answered), c.ID} }

// Commands lists commands to a gateway, or to all if it is empty, those that were issued
// or answered last first.
func (s *Store) Commands(ctx context.Context, gateway string, page Page[CommandPlace]) (list []Command, err error) {
	var of Conditions
	if gateway != "" {
		of.And(`gateway = ?`, gateway)
	}
	if p := page.After; p != nil {
		of.And(`(COALESCE(issued, answered), id) < (?, ?)`, int64(p.At), p.ID)
	}
	err = s.Ask(ctx, func(t *Tx) (err error) {
		of.And(t.Seen("gateway"))
		list, err = t.commands(of.Where()+` ORDER BY COALESCE(issued, answered) DESC, id DESC LIMIT ?`, append(of.Args, page.Limit)...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: list commands: %w", err)
	}
	return list, nil
}

// CommandCount counts the commands that were issued here, by what became of them.
type CommandCount struct {
	Sent, Done, Refused uint64
	Expired             uint64 // without an answer
}

// CountCommands counts as of now.
func (s *Store) CountCommands(ctx context.Context, now telemetry.Micros) (n CommandCount, err error) {
	err = s.Ask(ctx, func(t *Tx) error {
		return t.QueryRow(`SELECT COUNT(*), COUNT(CASE WHEN result = 'done' THEN 1 END), COUNT(CASE WHEN result = 'refused' THEN 1 END),
			COUNT(CASE WHEN answered IS NULL AND expires <= ? THEN 1 END) FROM command WHERE issued IS NOT NULL`, []any{int64(now)},
			&n.Sent, &n.Done, &n.Refused, &n.Expired)
	})
	if err != nil {
		return n, fmt.Errorf("store: count commands: %w", err)
	}
	return n, nil
}

// State is what is known of a command as of now: sent, done, refused or expired.
func (c Command) State(now telemetry.Micros) string {
	switch {
	case c.Answered != 0:
		return string(c.Result)
	case now >= c.Expires:
		return "expired"
	}
	return "sent"
}
