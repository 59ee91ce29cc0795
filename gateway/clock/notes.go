package clock

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Notes keeps what must outlive the process: one value, replaced as a whole,
// that is on disk when SaveClockNotes returns.
type Notes interface {
	ClockNotes() ([]byte, error)
	SaveClockNotes([]byte) error
}

// notes are the form in which it is kept.
type notes struct {
	Version int `json:"version"`
	// Known is gateway time when it was saved: a later boot can't be before it.
	Known telemetry.Micros `json:"known_us"`
	Boots []boot           `json:"boots"` // oldest first; the last one is the present
}

const notesVersion = 1

// maxBoots bounds the boots that are remembered. One that is forgotten while
// records of it wait is treated as one whose time is unknown.
const maxBoots = 256

// boot is what is known of one boot. Times since the boot are in µs.
type boot struct {
	ID    string           `json:"id"`
	Floor telemetry.Micros `json:"floor_us"` // it began no earlier
	Seen  telemetry.Micros `json:"seen_us"`  // since the boot: when this was saved
	// Began is when it began, once the clock has been set; 0 before.
	Began telemetry.Micros `json:"began_us,omitempty"`
	Open  bool             `json:"open,omitempty"` // samples were held that aren't placed
	// Needed is when samples were first held for a reason that still is, since the
	// boot; 0 if none are.
	Needed telemetry.Micros `json:"needed_us,omitempty"`
	Fix    *Fix             `json:"fix,omitempty"` // by which gateway time is kept
	// Placements are in the order of Until. They are never changed: records may
	// have been sent after them.
	Placements []placement `json:"placements,omitempty"`
}

// placement says where the samples are in time that were taken before Until and
// that no earlier placement covers.
type placement struct {
	Until telemetry.Micros `json:"until_us"` // since the boot
	Began telemetry.Micros `json:"began_us"`
	By    grade            `json:"by"`
}

// grade is what a placement rests on.
type grade string

const (
	bySynchronised grade = "synchronised" // the offset of a synchronised clock
	byFreeRunning  grade = "free-running" // that of a clock that nothing confirmed
	byGuess        grade = "guess"        // none was ever known
)

const (
	saveEvery      = telemetry.Micros(600 * 1_000_000)
	saveEveryUnset = telemetry.Micros(60 * 1_000_000) // so bounds are tight where times are guessed from them
)

func readNotes(o Options) (n notes) {
	raw, err := o.Notes.ClockNotes()
	if err == nil && len(raw) > 0 {
		err = json.Unmarshal(raw, &n)
		if err == nil && n.Version != notesVersion {
			err = fmt.Errorf("they are of version %d, expected %d", n.Version, notesVersion)
		}
	}
	if err != nil {
		o.Log.Error("the notes of earlier boots' times can't be read; samples that wait for them are placed by guess", "error", err)
		n = notes{}
	}
	n.Version = notesVersion
	return n
}

// enter makes id the present boot.
func (n *notes) enter(id record.Boot, floor telemetry.Micros) *boot {
	if last := len(n.Boots) - 1; last < 0 || n.Boots[last].ID != id.String() {
		n.Boots = slices.DeleteFunc(n.Boots, func(b boot) bool { return b.ID == id.String() })
		n.Boots = append(n.Boots, boot{ID: id.String(), Floor: floor})
		n.Boots = n.Boots[max(0, len(n.Boots)-maxBoots):]
	} else if b := n.present(); b.Began == 0 {
		b.Open = true // it may have been killed before it noted that
	}
	return n.present()
}

func (n *notes) present() *boot { return &n.Boots[len(n.Boots)-1] }

// noteBoot notes when the present boot began.
func (c *Clock) noteBoot(now Instant) {
	b := c.notes.present()
	b.Seen = max(b.Seen, now.SinceBoot)
	b.Fix = c.fix
	if !c.known {
		return
	}
	if b.Began == 0 || away(b.Began, c.base) {
		b.Began, c.unsaved = c.base, true
	}
}

// keepNotes saves the notes if something in them can't wait, or if it is time.
func (c *Clock) keepNotes(now Instant) {
	every := saveEvery
	if c.state == telemetry.ClockUnset {
		every = saveEveryUnset
	}
	if !c.unsaved && now.SinceBoot-c.saved < every {
		return
	}
	err := c.save(now)
	if failing := err != nil; failing != c.failing {
		c.failing = failing
		if failing {
			c.o.Log.Error("the clock's notes can't be saved; samples that wait for the time go on waiting", "error", err)
		}
	}
}

func (c *Clock) save(now Instant) error {
	c.notes.Known = c.base + now.SinceBoot
	raw, err := json.Marshal(c.notes)
	if err != nil {
		return fmt.Errorf("clock: encode notes: %w", err)
	}
	if err := c.o.Notes.SaveClockNotes(raw); err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	c.saved, c.unsaved = now.SinceBoot, false
	return nil
}
