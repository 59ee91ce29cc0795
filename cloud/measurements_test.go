package cloud

import (
	"testing"

	"github.com/busbar/busbar/test/await"
)

// Whoever publishes has nothing kept for measurements that nobody asks for; who stands by
// leaves it alone.
func TestWhatIsKeptForMeasurementsIsGivenUp(t *testing.T) {
	config := embedded(t)
	c, err := New(t.Context(), config, Options{Dir: t.TempDir(), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	const follower = "measurements"
	if _, err := c.store.Follow(t.Context(), follower); err != nil {
		t.Fatal(err)
	}
	if err := c.openPublishing(t.Context(), names); err != nil {
		t.Fatal(err)
	}
	kept := func() bool {
		offsets, err := c.store.Offsets(t.Context(), follower)
		if err != nil {
			t.Fatal(err)
		}
		return len(offsets) > 0
	}
	if !kept() {
		t.Error("it is given up before it is known who publishes")
	}
	run(t, c)
	await.True(t, "it is given up", func() bool { return !kept() })
}
