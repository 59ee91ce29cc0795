package clock

import (
	"errors"
	"log/slog"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

const (
	second = telemetry.Micros(1_000_000)
	hour   = 3600 * second
)

// fake is a machine whose clocks stand still until they are moved.
type fake struct {
	id           record.Boot
	now          Instant
	synchronised bool
	maxError     time.Duration
}

func (f *fake) Boot() record.Boot      { return f.id }
func (f *fake) Now() Instant           { return f.now }
func (f *fake) Discipline() Discipline { return Discipline{f.synchronised, f.maxError} }

func (f *fake) sleep(d telemetry.Micros)  { f.pass(d); f.now.Slept += d }
func (f *fake) pass(d telemetry.Micros)   { f.now.Wall += d; f.now.SinceBoot += d }
func (f *fake) set(wall telemetry.Micros) { f.now.Wall = wall }

// boot starts the machine anew with its wall clock at wall.
func (f *fake) boot(wall telemetry.Micros) {
	f.id[0]++
	f.now = Instant{Wall: wall, SinceBoot: 7 * second}
	f.synchronised, f.maxError = false, 16*time.Second
}

// memory keeps notes as a disk would.
type memory struct {
	notes []byte
	full  bool
	saves int
}

func (m *memory) ClockNotes() ([]byte, error) { return m.notes, nil }

func (m *memory) SaveClockNotes(notes []byte) error {
	if m.full {
		return errors.New("no space left on device")
	}
	m.notes, m.saves = notes, m.saves+1
	return nil
}

var quiet = slog.New(slog.DiscardHandler)

// start is what a gateway process does.
func start(f *fake, m *memory, change ...func(*Options)) *Clock {
	o := Options{Kernel: f, Notes: m, MaxHold: 10 * time.Minute, Log: quiet}
	for _, c := range change {
		c(&o)
	}
	return New(o)
}

func requireSync(o *Options) { o.RequireSync = true }

// The machine's own kernel: its two clocks go at the same rate, and the wall
// clock is Go's.
func TestSystem(t *testing.T) {
	k := System()
	first, wall := k.Now(), telemetry.MicrosOf(time.Now())
	time.Sleep(20 * time.Millisecond)
	second := k.Now()
	if away(first.Wall, wall) || away(first.Wall-first.SinceBoot, second.Wall-second.SinceBoot) || second.SinceBoot <= first.SinceBoot {
		t.Errorf("wall clock %d, then %+v, then %+v", wall, first, second)
	}
	if d := k.Discipline(); runtime.GOOS == "linux" && (d.MaxError <= 0 || d.MaxError > time.Minute) {
		t.Errorf("%+v", d)
	}
	if text, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil && k.Boot().String()+"\n" != string(text) {
		t.Errorf("boot %v, the kernel says %s", k.Boot(), text)
	}
}
