package cloud

import (
	"testing"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/test/await"
)

// Whoever publishes has nothing kept for measurements and evidence that nobody asks for; who
// stands by leaves it alone.
func TestWhatIsKeptForOthersIsGivenUp(t *testing.T) {
	config := embedded(t)
	c, err := New(t.Context(), config, Options{Dir: t.TempDir(), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	followers := map[string]store.Rows{"measurements": store.Chunks, "evidence": store.Evidence}
	for name, rows := range followers {
		if _, err := c.store.Follow(t.Context(), rows, name); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.openPublishing(t.Context(), names); err != nil {
		t.Fatal(err)
	}
	kept := func() (n int) {
		for name := range followers {
			offsets, err := c.store.Offsets(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			n += len(offsets)
		}
		return n
	}
	if kept() != 2 {
		t.Error("it is given up before it is known who publishes")
	}
	run(t, c)
	await.True(t, "it is given up", func() bool { return kept() == 0 })
}
