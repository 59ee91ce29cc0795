package update

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"aead.dev/minisign"

	"github.com/busbar/busbar/firmware-config/bundle"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
)

// medium is a machine's slots, which go on over its restarts.
type medium struct {
	mu      sync.Mutex
	running Slot
	others  []Slot
	failing error // nothing can be written
	staged  int   // times
}

func (m *medium) Target() bundle.Target { return bundle.PC }
func (m *medium) TrialArgument() string { return "trial" }

func (m *medium) Running() Slot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.running
}

func (m *medium) Others() ([]Slot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.others), nil
}

func (m *medium) Stage(b *bundle.Reader) (Slot, error) {
	for {
		if _, _, err := b.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return Slot{}, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.staged++
	if m.failing != nil {
		return Slot{}, m.failing
	}
	s := Slot{Number: m.running.Number + 1, Version: b.Manifest.Version, Epoch: b.Manifest.Epoch, Content: b.Content.String(), Trial: true, Left: 3}
	m.others = []Slot{s}
	return s, nil
}

func (m *medium) Confirm() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running.Trial = false
	return nil
}

func (m *medium) Drop(number int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.others = slices.DeleteFunc(m.others, func(s Slot) bool { return s.Number == number })
	return nil
}

// restart starts the other slot.
func (m *medium) restart() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running, m.others = m.others[0], []Slot{m.running}
}

// gateway is one whose health a test decides.
type gateway struct {
	mu     sync.Mutex
	health Health
	told   []telemetry.Event
}

func (g *gateway) Health() Health {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.health
}

func (g *gateway) Tell(e telemetry.Event) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.told = append(g.told, e)
	return nil
}

func (g *gateway) Now() time.Time { return time.Now() }

func (g *gateway) is(h Health) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.health = h
}

func (g *gateway) events() []telemetry.Event {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.told)
}

var well = Health{Writable: true, Acknowledged: true, Devices: []string{"meter"}, Answering: []string{"meter"}}

// bench is a machine, and who signs its bundles.
type bench struct {
	t        *testing.T
	slots    *medium
	dir      string
	public   minisign.PublicKey
	key      minisign.PrivateKey
	reboots  chan string
	onReboot func()
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, slots: &medium{running: Slot{Number: 1, Version: "1.0", Epoch: 4}}, dir: t.TempDir(), reboots: make(chan string, 10)}
	var err error
	if b.public, b.key, err = minisign.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	return b
}

// start is the program after a start of the machine.
func (b *bench) start() *Updater {
	b.t.Helper()
	u, err := Open(Options{
		Slots: b.slots, Keys: bundle.Keys{b.public}, Dir: b.dir, Reboot: func(argument string) {
			b.reboots <- argument
			if b.onReboot != nil {
				b.onReboot()
			}
		},
		Limit: func(time.Duration) {}, Free: func() (int64, error) { return 1 << 30, nil }, Log: slog.New(slog.NewTextHandler(b.t.Output(), nil)), hold: time.Millisecond,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

func (b *bench) bundle(m bundle.Manifest) []byte {
	b.t.Helper()
	var text bytes.Buffer
	m.Files = []bundle.File{{Name: "vmlinuz"}}
	if _, err := bundle.Write(&text, m, fstest.MapFS{"vmlinuz": {Data: bytes.Repeat([]byte("kernel "+m.Version), 300)}}, b.key); err != nil {
		b.t.Fatal(err)
	}
	return text.Bytes()
}

var two = bundle.Manifest{Version: "2.0", Epoch: 5, Target: bundle.PC}

// put brings a bundle to the machine and installs it.
func put(u *Updater, text []byte) error {
	d := bundle.Digest(sha256.Sum256(text))
	if err := u.Append(d, u.Have(d), int64(len(text)), bytes.NewReader(text)); err != nil {
		return err
	}
	return u.Install(d, int64(len(text)), well)
}

func (b *bench) run(u *Updater, g Gateway, p Policy) {
	ctx, cancel := context.WithCancel(b.t.Context())
	var running sync.WaitGroup
	running.Go(func() { u.Run(ctx, g, p) })
	running.Go(func() { u.Guard(ctx) })
	b.t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

func TestWhatIsNotToBeInstalledIsRefusedWithTheReason(t *testing.T) {
	b, other := newBench(t), newBench(t)
	good := b.bundle(two)
	swapped := bytes.Clone(good)
	swapped[bytes.Index(swapped, []byte("kernel"))+1]++
	for name, c := range map[string]struct {
		text []byte
		says string
	}{
		"signed by somebody else": {other.bundle(two), "no key that is trusted has signed it"},
		"of an old epoch":         {b.bundle(bundle.Manifest{Version: "0.9", Epoch: 3, Target: bundle.PC}), "has had 4: going back isn't allowed"},
		"for another target":      {b.bundle(bundle.Manifest{Version: "2.0", Epoch: 5, Target: bundle.Pi}), "is for target pi, and this is pc"},
		"with a swapped byte":     {swapped, "vmlinuz isn't what was signed"},
		"cut":                     {good[:len(good)/2], "ends"},
		"no bundle":               {bytes.Repeat([]byte("x"), 4096), "manifest.json"},
	} {
		u := b.start()
		if err := put(u, c.text); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if others, _ := b.slots.Others(); len(others) != 0 || len(b.reboots) != 0 {
			t.Errorf("%s: %v, %d restarts", name, others, len(b.reboots))
		}
		if files, _ := os.ReadDir(b.dir); len(files) != 1 {
			t.Errorf("%s: %v is left", name, files)
		}
	}
	u := b.start()
	u.o.Keys = nil
	if err := put(u, good); !errors.Is(err, errNoKeys) {
		t.Errorf("without keys: %v", err)
	}
	if err := put(b.start(), b.bundle(bundle.Manifest{Version: "0.9", Epoch: 3, Target: bundle.PC, AllowDowngrade: true})); err != nil {
		t.Errorf("a way back that is allowed: %v", err)
	}
}

func TestAVersionThatProvesItselfIsConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		if err := put(b.start(), b.bundle(two)); err != nil {
			t.Fatal(err)
		}
		if got := <-b.reboots; got != "trial" {
			t.Errorf("the firmware is told %q", got)
		}
		b.slots.restart()
		u, g := b.start(), &gateway{}
		b.run(u, g, Policy{Within: time.Hour})
		for _, c := range []struct {
			health Health
			lacks  string
		}{
			{Health{Acknowledged: true, Answering: well.Answering, Devices: well.Devices}, "the buffer can't be written"},
			{Health{Writable: true, Answering: well.Answering, Devices: well.Devices}, "the log has acknowledged nothing"},
			{Health{Writable: true, Acknowledged: true, Devices: well.Devices}, "device meter answered before and doesn't"},
		} {
			g.is(c.health)
			await.True(t, c.lacks, func() bool { return u.Status().Lacks == c.lacks })
		}
		if !u.OnTrial() || !b.slots.Running().Trial {
			t.Fatal("it is confirmed already")
		}
		if err := put(u, b.bundle(bundle.Manifest{Version: "3.0", Epoch: 5, Target: bundle.PC})); !errors.Is(err, errOnTrial) {
			t.Errorf("another one meanwhile: %v", err)
		}
		g.is(well)
		await.True(t, "it is confirmed and told", func() bool { return len(g.events()) == 1 && u.Status().Last.Told })
		e := g.events()[0]
		if e.Kind != telemetry.UpdateConfirmed || *e.Update != (telemetry.Update{Version: "2.0", From: "1.0", Epoch: 5}) || b.slots.Running().Trial {
			t.Errorf("%+v, %+v", e, e.Update)
		}

		again := &gateway{health: well}
		u = b.start()
		if s := u.Status(); s.Epoch != 5 || !s.Last.Confirmed || u.OnTrial() {
			t.Errorf("%+v", s)
		}
		u.tell(t.Context(), again)
		if len(again.events()) != 0 {
			t.Error("it is told twice")
		}
	})
}

// A device that is gone from the configuration has nothing to prove, and nor has the log of
// a site that may be offline.
func TestWhatNobodyExpects(t *testing.T) {
	a := attempt{Devices: []string{"gone", "meter"}}
	if got := a.lacks(Health{Writable: true, Devices: well.Devices, Answering: well.Answering}, true); len(got) != 0 {
		t.Error(got)
	}
	for range 20 {
		a.Devices = append(a.Devices, "meter")
	}
	if got := a.lacks(Health{Devices: well.Devices}, false); len(got) != mostLacking+1 || got[mostLacking] != "and more" {
		t.Error(got)
	}
}

func TestAVersionThatDoesntProveItselfIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		if err := put(b.start(), b.bundle(two)); err != nil {
			t.Fatal(err)
		}
		<-b.reboots
		b.slots.restart()
		u := b.start()
		b.run(u, &gateway{health: Health{Writable: true}}, Policy{Within: 10 * time.Millisecond})
		if got := <-b.reboots; got != "" {
			t.Errorf("the firmware is told %q", got)
		}
		b.slots.restart() // by the loader, when no start is left
		b.slots.others[0].Left = 0
		u = b.start()
		g := &gateway{health: well}
		u.tell(t.Context(), g)
		want := telemetry.Update{Version: "2.0", From: "1.0", Epoch: 5, Cause: "the log has acknowledged nothing"}
		if e := g.events(); len(e) != 1 || e[0].Kind != telemetry.UpdateRolledBack || *e[0].Update != want {
			t.Errorf("%+v", e)
		}
		if u.Status().Epoch != 4 {
			t.Errorf("%+v", u.Status())
		}
		if others, _ := b.slots.Others(); len(others) != 0 {
			t.Errorf("%v is left", others)
		}
	})
}

// A version isn't left because the one before was cut off, and there is much to look through.
func TestLookingThroughABufferIsNoTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.slots.running.Trial = true
		u := b.start()
		var guarding sync.WaitGroup
		guarding.Go(func() { u.Guard(t.Context()) })
		for range 30 {
			u.Opening()
			time.Sleep(Within / 20)
		}
		if len(b.reboots) != 0 {
			t.Fatal("it was left")
		}
		guarding.Wait()
		if len(b.reboots) != 1 {
			t.Errorf("%d restarts", len(b.reboots))
		}
	})
}

// A gateway that is tried again and again, and looks through its buffer each time, puts off
// the end of the trial only the first time.
func TestAVersionThatOpensItsBufferAndFailsIsLeft(t *testing.T) {
	for name, fail := range map[string]func(context.Context, *Updater){
		"before it runs": func(_ context.Context, u *Updater) { u.Lacks("the gateway doesn't run: no") },
		"while it runs": func(ctx context.Context, u *Updater) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			u.Run(ctx, &gateway{}, Policy{Within: Within})
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.slots.running.Trial = true
			u := b.start()
			var limits int
			u.o.Limit = func(time.Duration) { limits++ }
			u.Opening()
			fail(t.Context(), u)
			began, limited := u.started, limits
			var guarding sync.WaitGroup
			guarding.Go(func() { u.Guard(t.Context()) })
			for range 30 {
				time.Sleep(Within / 20)
				u.Opening()
				u.Lacks("the gateway doesn't run: no")
			}
			if len(b.reboots) != 1 || !u.started.Equal(began) || limits != limited {
				t.Errorf("%s: %d restarts, put off by %v, the watchdog's limit %d times more", name, len(b.reboots), u.started.Sub(began), limits-limited)
			}
			guarding.Wait()
		})
	}
}

// A gateway that doesn't come up isn't on trial for ever.
func TestAVersionWithWhichNoGatewayRunsIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.slots.running.Trial = true
		u := b.start()
		u.Lacks("the gateway doesn't run: no")
		u.Guard(t.Context())
		if len(b.reboots) != 1 || u.journal.Attempt.Cause != "the gateway doesn't run: no" {
			t.Errorf("%d restarts, %+v", len(b.reboots), u.journal.Attempt)
		}
	})
}

func TestWhatAStartMakesOfAnAttempt(t *testing.T) {
	one, now := Slot{Number: 1, Version: "1.0", Content: "one"}, time.Now()
	trial := Slot{Number: 2, Version: "2.0", Content: "two", Trial: true, Left: 2}
	spent, kept, other := trial, trial, trial
	spent.Left, kept.Trial = 0, false
	other.Content, other.Trial = "another", false
	same, unsaid := one, kept
	same.Version, same.Content, unsaid.Content = "2.0", "two", ""
	for name, c := range map[string]struct {
		attempt *attempt
		running Slot
		others  []Slot
		trial   bool
		goes    bool // the attempt goes on
		last    string
	}{
		"nothing":                          {nil, one, nil, false, false, ""},
		"on trial":                         {&attempt{Slot: 2, Version: "2.0", Content: "two"}, trial, []Slot{one}, true, true, ""},
		"on trial, and cut before noted":   {&attempt{Version: "2.0", Content: "two"}, trial, []Slot{one}, true, true, ""},
		"on trial, and the data is lost":   {nil, trial, []Slot{one}, true, true, ""},
		"confirmed, and cut before noted":  {&attempt{Slot: 2, Version: "2.0", Content: "two"}, kept, []Slot{one}, false, false, "confirmed"},
		"confirmed, by an older program":   {&attempt{Slot: 2, Version: "2.0"}, unsaid, []Slot{one}, false, false, "confirmed"},
		"confirmed, and not noted at all":  {&attempt{Version: "2.0", Content: "two"}, kept, []Slot{one}, false, false, "confirmed"},
		"the name runs, written anew":      {&attempt{Version: "2.0", Content: "two"}, other, []Slot{one}, false, false, ""},
		"the very same runs, written anew": {&attempt{Version: "2.0", Content: "two", FromSlot: 1}, same, nil, false, false, ""},
		"the name is in its slot":          {&attempt{Slot: 2, Version: "2.0", Content: "two"}, other, []Slot{one}, false, false, "its slot is gone"},
		"the other slot has been the same": {&attempt{Version: "2.0", Content: "two", FromSlot: 1}, one, []Slot{kept}, false, false, ""},
		"didn't come up":                   {&attempt{Slot: 2, Version: "2.0", Content: "two"}, one, []Slot{spent}, false, false, "it didn't come up, or not far enough to say why"},
		"didn't come up, nor was it noted": {&attempt{Version: "2.0", Content: "two"}, one, []Slot{spent}, false, false, "it didn't come up, or not far enough to say why"},
		"gave itself up":                   {&attempt{Slot: 2, Version: "2.0", Content: "two", Cause: "why"}, one, []Slot{spent}, false, false, "why"},
		"will be started":                  {&attempt{Slot: 2, Version: "2.0", Content: "two"}, one, []Slot{trial}, false, true, ""},
		"wasn't written whole":             {&attempt{Version: "2.0"}, one, nil, false, false, ""},
		"was removed":                      {&attempt{Slot: 2, Version: "2.0"}, one, nil, false, false, "its slot is gone"},
	} {
		j := journal{Attempt: c.attempt}
		got := j.settle(c.running, c.others, now)
		last := ""
		if j.Last != nil {
			if last = j.Last.Cause; j.Last.Confirmed {
				last = "confirmed"
			}
		}
		if got != c.trial || (j.Attempt != nil) != c.goes || last != c.last {
			t.Errorf("%s: on trial %v, %+v, %q", name, got, j.Attempt, last)
		}
		if j.Attempt != nil && j.Attempt.Slot != 2 {
			t.Errorf("%s: slot %d", name, j.Attempt.Slot)
		}
	}
}
