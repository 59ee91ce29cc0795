package buffer

import "testing"

func TestClockNotesOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	for _, want := range []string{"", "first", "second"} {
		b := open(t, dir, 0)
		if notes, err := b.ClockNotes(); string(notes) != want || err != nil {
			t.Errorf("%q, %v; want %q", notes, err, want)
		}
		next := map[string]string{"": "first", "first": "second"}[want]
		if err := b.SaveClockNotes([]byte(next)); err != nil {
			t.Error(err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}
