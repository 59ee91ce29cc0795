package store

import (
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

func aCommand(id string) record.Command {
	return record.Command{ID: id, Gateway: "gw", Epoch: "0000000000000007", Kind: record.Reset, Alarm: "a1", By: "Ana", Issued: 10, Expires: 20}
}

func anAnswer(id string, result telemetry.CommandResult, cause string) telemetry.CommandAnswer {
	return telemetry.CommandAnswer{ID: id, Kind: "reset", Alarm: "a1", By: "Ana", Result: result, Cause: cause}
}

// What a command came to stays on record, whatever is repeated or forged.
func TestACommandHasOneAnswer(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		answer := func(gateway string, a telemetry.CommandAnswer, at telemetry.Micros) error {
			return s.Write(t.Context(), func(tx *Tx) error { return tx.AnswerCommand(gateway, a, at) })
		}
		want := func(id string, want Command) {
			t.Helper()
			if got, err := s.Command(t.Context(), id); err != nil || got != want {
				t.Errorf("%+v, %v, want %+v", got, err, want)
			}
		}
		if _, err := s.Command(t.Context(), "c1"); !errors.Is(err, sql.ErrNoRows) {
			t.Errorf("a command that nobody gave: %v", err)
		}
		for _, id := range []string{"c1", "c2"} {
			if err := s.AddCommand(t.Context(), aCommand(id)); err != nil {
				t.Fatal(err)
			}
			want(id, Command{Command: aCommand(id)})
		}
		if err := answer("gx", anAnswer("c1", telemetry.CommandDone, ""), 15); !errors.Is(err, ErrOthersCommand) {
			t.Errorf("another gateway's answer: %v", err)
		}
		want("c1", Command{Command: aCommand("c1")})
		for _, a := range []struct {
			id     string
			result telemetry.CommandResult
			cause  string
		}{
			{"c1", telemetry.CommandDone, ""}, {"c1", telemetry.CommandRefused, "repeated"},
			{"c2", telemetry.CommandRefused, "bad-signature"}, {"c2", telemetry.CommandRefused, "expired"},
		} {
			if err := answer("gw", anAnswer(a.id, a.result, a.cause), 15); err != nil {
				t.Fatal(err)
			}
		}
		want("c1", Command{aCommand("c1"), 15, telemetry.CommandDone, ""})
		want("c2", Command{aCommand("c2"), 15, telemetry.CommandRefused, "bad-signature"})
		if err := answer("gw", anAnswer("c2", telemetry.CommandDone, ""), 17); err != nil {
			t.Fatal(err)
		}
		want("c2", Command{aCommand("c2"), 17, telemetry.CommandDone, ""})

		// An answer whose command isn't in this database.
		if err := answer("gw", anAnswer("c3", telemetry.CommandDone, ""), 15); err != nil {
			t.Fatal(err)
		}
		only := aCommand("c3")
		only.Epoch, only.Issued, only.Expires = "", 0, 0
		want("c3", Command{only, 15, telemetry.CommandDone, ""})
	})
}

func TestTheRunningEpochIsTheNewestWithoutAnEnd(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		ends := func(epoch record.Epoch) {
			write(t, s, func(tx *Tx) error {
				return tx.Expect("gw", telemetry.Committed{Epoch: epoch.String(), Stream: string(record.Events), Count: 3})
			})
		}
		begins := func(epoch record.Epoch) {
			write(t, s, func(tx *Tx) error {
				_, err := tx.sequenceOf("gw", epoch, string(record.Events))
				return err
			})
		}
		want := func(want record.Epoch, failure error) {
			t.Helper()
			if got, err := s.RunningEpoch(t.Context(), "gw"); got != want || !errors.Is(err, failure) {
				t.Errorf("%s, %v, want %s", got, err, want)
			}
		}
		want(0, ErrNotRunning)
		begins(9)
		want(9, nil)
		begins(5) // started after a kill, and says how far earlier ones had come
		ends(9)
		ends(2)
		want(5, nil)
		ends(5)
		want(0, ErrNotRunning)
	})
}

func TestAnswersThatCantBeKept(t *testing.T) {
	for name, a := range map[string]telemetry.CommandAnswer{
		"no result": anAnswer("c1", "perhaps", ""), "no id": anAnswer("", telemetry.CommandDone, ""),
		"long id": anAnswer(strings.Repeat("x", 65), telemetry.CommandDone, ""), "long cause": anAnswer("c1", telemetry.CommandDone, strings.Repeat("x", 65)),
	} {
		if CheckAnswer(a) == nil {
			t.Errorf("%s: it passes", name)
		}
	}
	if err := CheckAnswer(anAnswer("c1", telemetry.CommandRefused, "expired")); err != nil {
		t.Error(err)
	}
}

func TestCommandsAreListedAndCountedByWhatBecameOfThem(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		for i, id := range []string{"c1", "c2", "c3", "c4"} {
			c := aCommand(id)
			c.Issued += telemetry.Micros(i)
			c.Expires += telemetry.Micros(i)
			if err := s.AddCommand(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		first := aCommand("c1")
		write(t, s, func(tx *Tx) error {
			return tx.AnswerCommand("gw", anAnswer("c1", telemetry.CommandDone, ""), first.Issued+5)
		})
		write(t, s, func(tx *Tx) error {
			return tx.AnswerCommand("gw", anAnswer("c2", telemetry.CommandRefused, "expired"), first.Issued+5)
		})
		write(t, s, func(tx *Tx) error {
			return tx.AnswerCommand("gx", anAnswer("another cloud's", telemetry.CommandDone, ""), first.Issued+9)
		})
		now := first.Expires + 2 // of c4 alone it isn't over yet
		if n, err := s.CountCommands(t.Context(), now); err != nil || n != (CommandCount{Sent: 4, Done: 1, Refused: 1, Expired: 1}) {
			t.Errorf("%+v, %v", n, err)
		}
		list, err := s.Commands(t.Context(), "", Page[CommandPlace]{Limit: 3})
		if err != nil || len(list) != 3 || list[0].ID != "another cloud's" || list[1].ID != "c4" || list[1].State(now) != "sent" || list[2].ID != "c3" || list[2].State(now) != "expired" {
			t.Errorf("%+v, %v", list, err)
		}
		if list, err = s.Commands(t.Context(), "gw", Page[CommandPlace]{Limit: 100}); err != nil || len(list) != 4 || list[3].State(now) != "done" || list[2].Cause != "expired" {
			t.Errorf("%+v, %v", list, err)
		}
	})
}
