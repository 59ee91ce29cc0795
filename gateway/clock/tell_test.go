package clock

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry/record"
)

// forbidden is a machine that may not be asked about its clock's source.
type forbidden struct{ *fake }

func (forbidden) Discipline() Discipline { return Discipline{} }

// pair is a machine, and what a process that may not ask it is told of it.
type pair struct {
	*fake
	t    *testing.T
	file string
	told Kernel
	log  bytes.Buffer
}

func newPair(t *testing.T) *pair {
	p := &pair{
		t: t, file: filepath.Join(t.TempDir(), "discipline.json"),
		fake: &fake{id: record.Boot{1}, now: Instant{Wall: Minimum + hour, SinceBoot: hour}, synchronised: true, maxError: 3 * time.Millisecond},
	}
	p.told = Told(forbidden{p.fake}, p.file, slog.New(slog.NewTextHandler(&p.log, nil)))
	return p
}

func (p *pair) tell() { p.write(Tell(p.fake)) }

func (p *pair) write(text []byte) {
	p.t.Helper()
	if err := os.WriteFile(p.file, text, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pair) expect(want Discipline) {
	p.t.Helper()
	if got := p.told.Discipline(); got != want {
		p.t.Errorf("it is told %+v, want %+v", got, want)
	}
}

func TestToldWhatTheKernelSays(t *testing.T) {
	p := newPair(t)
	p.tell()
	p.expect(Discipline{true, 3 * time.Millisecond})
	p.pass(6 * second)
	p.expect(Discipline{true, 6 * time.Millisecond})
	p.synchronised, p.maxError = false, 16*time.Second
	p.tell()
	p.expect(Discipline{false, 16 * time.Second})
	if p.log.Len() != 0 {
		t.Errorf("all is well, and it logs %s", &p.log)
	}
}

// The kernel's own word goes before the file.
func TestToldIsTheKernelThatMayBeAsked(t *testing.T) {
	p := newPair(t)
	p.tell()
	p.synchronised, p.maxError = false, 16*time.Second
	if got := Told(p.fake, p.file, quiet).Discipline(); got != p.fake.Discipline() {
		t.Errorf("the kernel says %+v, it is told %+v", p.fake.Discipline(), got)
	}
}

// What can't be believed confirms nothing, and it is said once why.
func TestToldNothingThatIsBelieved(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*pair)
		why   string
	}{
		"missing":    {func(p *pair) { os.Remove(p.file) }, "no such file"},
		"directory":  {func(p *pair) { os.Remove(p.file); os.Mkdir(p.file, 0o700) }, "is a directory"},
		"empty":      {func(p *pair) { p.write(nil) }, "unexpected end"},
		"cut off":    {func(p *pair) { text := Tell(p.fake); p.write(text[:len(text)/2]) }, "unexpected end"},
		"nothing":    {func(p *pair) { p.write([]byte(`{"synchronised":true}`)) }, "boot is"},
		"another":    {func(p *pair) { p.fake.id[0]++ }, "boot is"},
		"old":        {func(p *pair) { p.pass(6*second + 1) }, "older than 6s"},
		"slept":      {func(p *pair) { p.sleep(hour) }, "older than 6s"},
		"to come":    {func(p *pair) { p.now.Wall--; p.now.SinceBoot-- }, "hasn't come"},
		"set":        {func(p *pair) { p.set(p.now.Wall + stepFrom) }, "was set since"},
		"set back":   {func(p *pair) { p.set(p.now.Wall - stepFrom) }, "was set since"},
		"negative":   {func(p *pair) { p.maxError = -time.Millisecond; p.tell() }, "max_error_us"},
		"overflows":  {func(p *pair) { p.maxError = 1 << 62; p.tell() }, "max_error_us"},
		"wraps time": {func(p *pair) { p.now.SinceBoot = -1 << 63; p.tell(); p.now.SinceBoot = hour }, "hasn't come"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			p.tell()
			p.expect(Discipline{true, 3 * time.Millisecond})
			c.spoil(p)
			p.expect(Discipline{})
			p.expect(Discipline{})
			if said := p.log.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, c.why) {
				t.Errorf("it logs %q, want one line with %q", said, c.why)
			}
			os.RemoveAll(p.file)
			p.maxError = 3 * time.Millisecond
			p.tell()
			p.expect(Discipline{true, 3 * time.Millisecond})
			if said := p.log.String(); strings.Count(said, "\n") != 2 || !strings.Contains(said, "known again") {
				t.Errorf("when it is well again it logs %q", said)
			}
		})
	}
}

// setMeanwhile is a machine whose clock is set, and confirmed no more, when it has been
// asked the first question.
type setMeanwhile struct {
	*fake
	asked *sync.Once
}

func (s setMeanwhile) Now() Instant {
	defer s.asked.Do(s.lose)
	return s.fake.Now()
}

func (s setMeanwhile) Discipline() Discipline {
	defer s.asked.Do(s.lose)
	return s.fake.Discipline()
}

func (s setMeanwhile) lose() {
	s.set(s.now.Wall + hour)
	s.synchronised = false
}

func TestToldOfAClockThatIsSetMeanwhile(t *testing.T) {
	p := newPair(t)
	p.write(Tell(setMeanwhile{p.fake, &sync.Once{}}))
	if got := p.told.Discipline(); got.Synchronised {
		t.Error("a clock that was set is synchronised")
	}
}

// A gateway that may not ask is as good as one that may, within 2 s.
func TestTheClockOfAGatewayThatIsTold(t *testing.T) {
	p := newPair(t)
	c := New(Options{Kernel: p.told, Notes: &memory{}, MaxHold: 10 * time.Minute, Log: quiet})
	expect := func(want string) {
		t.Helper()
		c.Observe()
		if got := c.Stats(); string(got.State) != want {
			t.Errorf("the clock is %s, want %s", got.State, want)
		}
	}
	expect("free-running")
	p.tell()
	expect("synchronised")
	p.set(p.now.Wall + hour) // by hand: the kernel's source is gone with it
	expect("free-running")
	p.synchronised = false
	p.tell()
	expect("free-running")
	p.synchronised = true
	p.tell()
	expect("synchronised")
	p.pass(7 * second)
	expect("free-running")
}
