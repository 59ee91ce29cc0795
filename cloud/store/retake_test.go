package store

import (
	"errors"
	"testing"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

func (s *Store) due(t *testing.T, first string, keys bool) (offsets []int64) {
	t.Helper()
	list, err := s.Due(t.Context(), "ingest", Share{}, first, keys, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range list {
		offsets = append(offsets, q.Offset)
	}
	return offsets
}

func equalOffsets(a []int64, b ...int64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// What a key has signed is due while the key is valid, and what somebody asks for is
// due once; signal tables come first.
func TestWhatIsDueFollowsTheKeys(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		key := GatewayKey{Gateway: "gw", PublicKey: publicKey("a"), AddedAt: 1}
		aside := func(topic string, offset int64, reason Reason) {
			write(t, s, func(tx *Tx) error {
				return tx.Quarantine(Quarantined{Consumer: "ingest", Topic: topic, Offset: offset, Gateway: "gw", KeyID: key.ID(), Reason: reason, At: telemetry.Micros(offset)})
			})
		}
		aside("telemetry", 7, UnknownKey)
		aside("telemetry", 5, UnknownKey)
		aside("births", 9, UnknownKey)
		aside("telemetry", 3, CorruptBlock)
		write(t, s, func(tx *Tx) error {
			return tx.Quarantine(Quarantined{Consumer: "alarm", Topic: "events", Offset: 1, Gateway: "gw", KeyID: key.ID(), Reason: UnknownKey})
		})
		if got := s.due(t, "births", true); len(got) != 0 {
			t.Errorf("before the enrolment: %v", got)
		}
		if _, err := s.EnrolKey(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if got := s.due(t, "births", false); len(got) != 0 {
			t.Errorf("without looking at keys: %v", got)
		}
		if got := s.due(t, "births", true); !equalOffsets(got, 9) {
			t.Errorf("tables come first: %v", got)
		}
		if got := s.due(t, "", true); !equalOffsets(got, 9, 5, 7) {
			t.Errorf("in the order of the log: %v", got)
		}
		if err := s.RevokeKey(t.Context(), "gw", key.ID(), "Ana", "stolen", 2); err != nil {
			t.Fatal(err)
		}
		if got := s.due(t, "births", true); len(got) != 0 {
			t.Errorf("after the revocation: %v", got)
		}
		if n, err := s.AskAside(t.Context(), SetAside{Gateway: "gw", Reasons: []Reason{CorruptBlock}}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if got := s.due(t, "births", false); !equalOffsets(got, 3) {
			t.Errorf("asked for: %v", got)
		}
		list, err := s.CountAside(t.Context(), SetAside{Gateway: "gw"}, func(topic string, _ int32) int64 { return map[string]int64{"telemetry": 6}[topic] })
		if err != nil {
			t.Fatal(err)
		}
		var records, before int64
		for _, c := range list {
			records, before = records+c.Records, before+c.Before
			if c.Valid {
				t.Errorf("valid: %+v", c)
			}
		}
		if records != 5 || before != 2 {
			t.Errorf("%d records, %d of them before the log's beginning: %+v", records, before, list)
		}
		asked, err := s.Due(t.Context(), "ingest", Share{}, "", false, 10)
		if err != nil || len(asked) != 1 {
			t.Fatal(asked, err)
		}
		end := func() error {
			return s.Write(t.Context(), func(tx *Tx) error { return tx.EndQuarantine(asked[0].ID, Taken, 9) })
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := end(); !errors.Is(err, ErrFenced) {
			t.Errorf("a second time: %v", err)
		}
		again := asked[0]
		again.Reason = CorruptBlock
		if err := s.Write(t.Context(), func(tx *Tx) error { return tx.Quarantine(again) }); !errors.Is(err, ErrFenced) {
			t.Errorf("set aside again: %v", err)
		}
	})
}

func TestHoldFencesWhoeverWasOvertaken(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		write(t, s, func(tx *Tx) error { return tx.Advance("c", Partition{"t", "id", 0}, NoOffset, 7) })
		for name, c := range map[string]struct {
			offsets map[string]map[int32]int64
			want    error
		}{
			"where it was":         {map[string]map[int32]int64{"t": {0: 7}, "u": {}}, nil},
			"behind":               {map[string]map[int32]int64{"t": {0: 6}}, ErrFenced},
			"where nothing was":    {nil, ErrFenced},
			"a partition too many": {map[string]map[int32]int64{"t": {0: 7, 1: 1}}, ErrFenced},
		} {
			if err := s.Write(t.Context(), func(tx *Tx) error { return tx.Hold("c", Share{}, c.offsets) }); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestTheQuarantineForgetsWhatIsSettledOrWorthNothing(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		for i, reason := range []Reason{Unsigned, CorruptBlock, LogTruncated, UnknownKey, Unsigned} {
			write(t, s, func(tx *Tx) error {
				return tx.Quarantine(Quarantined{Consumer: "ingest", Topic: "t", Offset: int64(i), Reason: reason, At: telemetry.Micros(i), KeyID: record.KeyID{1}})
			})
		}
		if n, err := s.CountRefusedAside(t.Context(), "ingest"); n != 3 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if n, err := s.ForgetQuarantined(t.Context(), 4, 10); n != 2 || err != nil {
			t.Errorf("%d forgotten, %v", n, err)
		}
		if list, err := s.Quarantined(t.Context(), 10); err != nil || len(list) != 3 || list[2].Reason != CorruptBlock || list[0].Reason != Unsigned {
			t.Errorf("%+v, %v", list, err)
		}
	})
}
