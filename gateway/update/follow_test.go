package update

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/firmware-config/bundle"
	"github.com/busbar/busbar/test/await"
)

// site serves a channel and a bundle.
type site struct {
	*httptest.Server
	mu        sync.Mutex
	files     map[string][]byte
	cut       int // bytes of the bundle that are sent, and no more; 0: all
	withheld  string
	asked     []string // Range headers
	busy      string   // Retry-After of who has no place for a bundle
	forgetful bool     // it doesn't know of ranges
}

func newSite(t *testing.T) *site {
	s := &site{files: map[string][]byte{}}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, known := s.files[r.URL.Path]
	switch {
	case s.withheld != "":
		http.Error(w, s.withheld, http.StatusConflict)
		return
	case !known:
		http.NotFound(w, r)
		return
	case strings.HasSuffix(r.URL.Path, ".bundle"):
		s.asked = append(s.asked, r.Header.Get("Range"))
		if s.busy != "" {
			w.Header().Set("Retry-After", s.busy)
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		if s.cut > 0 {
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			w.Write(text[:s.cut])
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		if s.forgetful {
			r.Header.Del("Range")
		}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
}

// offer has the site offer a bundle.
func (s *site) offer(b *bench, text []byte, change func(*bundle.Channel)) bundle.Published {
	b.t.Helper()
	p := bundle.Published{URL: "2.bundle", Size: int64(len(text)), SHA256: sha256.Sum256(text)}
	c := bundle.Channel{Issued: time.Now().Truncate(time.Second), NotAfter: time.Now().Add(time.Hour), Version: "2.0", Epoch: 5, Percent: 100, Bundles: map[bundle.Target]bundle.Published{bundle.PC: p}}
	if change != nil {
		change(&c)
	}
	channel, signature, err := c.Sign(b.key)
	if err != nil {
		b.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = map[string][]byte{"/c/stable.json": channel, "/c/stable.json.minisig": signature, "/c/2.bundle": text}
	return p
}

func (s *site) policy() Policy {
	return Policy{Gateway: "north-gw1", Zone: "north", Within: time.Hour, Source: &Source{Channel: s.URL + "/c/stable.json", Client: s.Client(), Every: time.Millisecond}}
}

func TestAFetchGoesOnWhereverItWasCut(t *testing.T) {
	b, s := newBench(t), newSite(t)
	text := b.bundle(two)
	p := s.offer(b, text, nil)
	for cut := 1; cut < len(text); cut += 499 {
		for _, forgetful := range []bool{false, true} {
			b.dir = t.TempDir()
			s.cut, s.forgetful, s.asked = cut, forgetful, nil
			if err := b.start().fetch(t.Context(), s.Client(), s.URL+"/c/2.bundle", p); err == nil {
				t.Fatal("what was cut is whole")
			}
			s.cut = 0
			u := b.start() // the machine's power was cut too
			if have := u.Have(p.SHA256); have != int64(cut) {
				t.Fatalf("%d bytes of %d are kept", have, cut)
			}
			if err := u.fetch(t.Context(), s.Client(), s.URL+"/c/2.bundle", p); err != nil {
				t.Fatal(err)
			}
			if whole, err := u.whole(p.SHA256, p.Size); !whole || err != nil {
				t.Fatalf("cut at byte %d: %v, %v", cut, whole, err)
			}
			if want := []string{"", fmt.Sprintf("bytes=%d-", cut)}; !slices.Equal(s.asked, want) {
				t.Fatalf("asked for %q", s.asked)
			}
		}
	}
}

// What may pass is tried again after a while, and goes on where it was; what a signature or
// a bundle's content decides isn't.
func TestWhatMayPassIsTriedAgain(t *testing.T) {
	b, s := newBench(t), newSite(t)
	p := s.offer(b, b.bundle(two), nil)
	g := &clocked{gateway{health: well}, time.Now().Add(24 * time.Hour)}
	s.offer(b, b.bundle(two), func(c *bundle.Channel) { c.NotAfter = g.now.Add(90 * 24 * time.Hour) })
	u := b.start()
	b.slots.failing = errors.New("it needs 40 MB of the boot partition, where 3 MB are free")
	for n, wait := range []time.Duration{2 * time.Minute, 4 * time.Minute, 8 * time.Minute} {
		s.asked = nil
		_, err := u.check(t.Context(), g, s.policy())
		if again, is := errors.AsType[passing](err); !is || !errors.Is(err, b.slots.failing) || again.again != wait {
			t.Fatalf("fault %d: %v, again after %v", n+1, err, again.again)
		}
		if r := u.Status().Refused; r == nil || r.Final || r.Version != "2.0" || !strings.Contains(r.Reason, "3 MB are free") || !r.Again.Equal(g.now.Add(wait)) {
			t.Errorf("%+v", r)
		}
		if u.Have(p.SHA256) != p.Size || n > 0 && len(s.asked) > 0 {
			t.Errorf("what was fetched is lost: %d bytes are here, asked for %q", u.Have(p.SHA256), s.asked)
		}
		g.now = g.now.Add(wait - time.Second)
		if _, err := u.check(t.Context(), g, s.policy()); !errors.Is(err, b.slots.failing) {
			t.Error(err)
		}
		if b.slots.staged != n+1 {
			t.Errorf("it was written %d times before its time", b.slots.staged)
		}
		g.now = g.now.Add(time.Second)
	}
	b.slots.failing = nil
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.onReboot = cancel
	if _, err := u.check(ctx, g, s.policy()); err != nil || u.Status().Refused != nil {
		t.Errorf("%v, %+v", err, u.Status().Refused)
	}

	b = newBench(t)
	s.offer(b, b.bundle(two), func(c *bundle.Channel) { c.NotAfter = g.now.Add(90 * 24 * time.Hour) })
	u = b.start()
	b.slots.failing = Unfit{errors.New("it lacks initrd")}
	for range 3 {
		if _, err := u.check(t.Context(), g, s.policy()); !IsUnfit(err) {
			t.Error(err)
		}
		if r := u.Status().Refused; r == nil || !r.Final || r.Reason != "write version 2.0 into a slot: it lacks initrd" {
			t.Errorf("%+v", r)
		}
		g.now = g.now.Add(24 * time.Hour)
	}
	if b.slots.staged != 1 {
		t.Errorf("what is refused for good was written %d times", b.slots.staged)
	}
	b.slots.failing = nil
	s.offer(b, b.bundle(two), func(c *bundle.Channel) {
		c.Issued, c.NotAfter = c.Issued.Add(time.Second), g.now.Add(24*time.Hour)
	})
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	b.onReboot = cancel
	if _, err := u.check(ctx, g, s.policy()); err != nil || b.slots.staged != 2 {
		t.Errorf("signed anew: %v, written %d times", err, b.slots.staged)
	}
}

// Who is sent away for a while comes when it is told to, however often; who is cut off and
// gets nothing, later each time.
func TestWhoIsSentAwayComesWhenItIsTold(t *testing.T) {
	b, s := newBench(t), newSite(t)
	s.offer(b, b.bundle(two), nil)
	u := b.start()
	check := func() error {
		_, err := u.check(t.Context(), &gateway{health: well}, s.policy())
		return err
	}
	for _, c := range []struct {
		says string
		rest time.Duration
	}{
		{"90", 90 * time.Second}, {"90", 90 * time.Second}, {"90", 90 * time.Second}, {"1", soon}, {"-1", soon}, {"soon", soon}, {"9000000000000000", longestRest},
		{"1000000", longestRest}, {time.Now().Add(2 * time.Hour).UTC().Format(http.TimeFormat), 2 * time.Hour},
	} {
		s.busy = c.says
		if got, is := errors.AsType[busy](check()); !is || (got.rest-c.rest).Abs() > time.Minute/2 || !strings.Contains(got.Error(), "fetch version 2.0: ") {
			t.Errorf("%s: %v, again after %v", c.says, got.error, got.rest)
		}
	}
	s.busy, s.files["/c/2.bundle"] = "", nil
	for _, want := range []time.Duration{2 * time.Minute, 4 * time.Minute} {
		if got, is := errors.AsType[passing](check()); !is || got.again != want {
			t.Errorf("cut: %v, again after %v", got.error, got.again)
		}
	}
}

// What was refused before doesn't hide what is wrong with the channel since, and is itself
// said once.
func TestARefusalHidesNoProblem(t *testing.T) {
	b, s := newBench(t), newSite(t)
	s.offer(b, b.bundle(two), nil)
	u := b.start()
	b.slots.failing = Unfit{errors.New("it lacks initrd")}
	look := func() []string {
		_, err := u.check(t.Context(), &gateway{health: well}, s.policy())
		u.note(err)
		return u.Status().Problems()
	}
	const refusal = "version 2.0 isn't installed, for good: write version 2.0 into a slot: it lacks initrd"
	if got := look(); !slices.Equal(got, []string{refusal}) {
		t.Errorf("refused: %q", got)
	}
	s.files = nil
	if got := look(); len(got) != 2 || got[0] != refusal || !strings.HasSuffix(got[1], "/c/stable.json answers 404 Not Found") {
		t.Errorf("and its channel is gone: %q", got)
	}
	s.offer(b, b.bundle(two), func(c *bundle.Channel) { c.Percent = 0 })
	if got := look(); len(got) != 0 {
		t.Errorf("another channel: %q", got)
	}
}

// clocked is a gateway whose clock a test sets.
type clocked struct {
	gateway
	now time.Time
}

func (c *clocked) Now() time.Time { return c.now }

// A version that ran, and lacked what may be there another time, is tried twice more.
func TestAVersionThatRanIsTriedAgain(t *testing.T) {
	t.Parallel()
	b, s := newBench(t), newSite(t)
	offer := func(now time.Time) {
		s.offer(b, b.bundle(two), func(c *bundle.Channel) { c.NotAfter = now.Add(time.Hour) })
	}
	g := &clocked{gateway{health: well}, time.Now()}
	for n, wait := range []time.Duration{0, 24 * time.Hour, 48 * time.Hour} {
		u := b.start()
		offer(g.now)
		if wait > 0 {
			for _, later := range []time.Duration{0, wait - time.Minute} {
				g.now = g.now.Add(later)
				offer(g.now)
				if _, err := u.check(t.Context(), g, s.policy()); err != nil {
					t.Fatal(err)
				}
				if r := u.Status().Refused; r == nil || r.Final || r.Again.Before(g.now) {
					t.Fatalf("%+v", r)
				}
			}
			g.now = g.now.Add(time.Minute)
			offer(g.now)
		}
		ctx, cancel := context.WithCancel(t.Context())
		b.onReboot = cancel
		if _, err := u.check(ctx, g, s.policy()); err != nil || b.slots.staged != n+1 {
			t.Fatalf("time %d: %v, written %d times", n+1, err, b.slots.staged)
		}
		cancel()
		b.onReboot = nil
		b.slots.restart()
		u = b.start()
		ctx, cancel = context.WithCancel(t.Context())
		var proving sync.WaitGroup
		proving.Go(func() {
			u.prove(ctx, &gateway{health: Health{Writable: true, Acknowledged: true, Devices: well.Devices}}, Policy{})
		})
		await.True(t, "it lacks the meter", func() bool { return strings.HasPrefix(u.Status().Lacks, "device meter") })
		cancel()
		proving.Wait()
		u.within = 0
		u.Guard(t.Context())
		b.slots.restart()
		b.slots.others[0].Left = 0
	}
	u := b.start()
	for range 3 {
		g.now = g.now.Add(30 * 24 * time.Hour)
		offer(g.now)
		if _, err := u.check(t.Context(), g, s.policy()); err != nil {
			t.Fatal(err)
		}
	}
	if r := u.Status().Refused; r == nil || !r.Final || b.slots.staged != 3 {
		t.Errorf("%+v, written %d times", r, b.slots.staged)
	}
}

func TestABundleThatIsAnotherOneBeginsAnew(t *testing.T) {
	b, s := newBench(t), newSite(t)
	text := b.bundle(two)
	p := s.offer(b, text, nil)
	other := bytes.Clone(text)
	other[len(other)/2]++
	s.files["/c/2.bundle"] = other
	u := b.start()
	if _, err := u.check(t.Context(), &gateway{health: well}, s.policy()); err == nil || !strings.Contains(err.Error(), "begins anew") {
		t.Error(err)
	}
	if u.Have(p.SHA256) != 0 {
		t.Error("it is kept")
	}
	asked := len(s.asked)
	if _, err := u.check(t.Context(), &gateway{health: well}, s.policy()); err == nil || len(s.asked) != asked {
		t.Errorf("it is fetched again though the channel is the same: %v", err)
	}
}

func TestWhoFollowsAChannel(t *testing.T) {
	b, s := newBench(t), newSite(t)
	text := b.bundle(two)
	hour := time.Now().UTC().Hour()
	for name, c := range map[string]struct {
		change  func(*bundle.Channel)
		waiting bool
		err     string
		fetched bool
	}{
		"for nobody yet":   {change: func(c *bundle.Channel) { c.Percent = 0 }},
		"for another zone": {change: func(c *bundle.Channel) { c.Percent, c.Zones = 0, map[string]bundle.Stage{"south": {Percent: 100}} }},
		"not for its zone": {change: func(c *bundle.Channel) { c.Zones = map[string]bundle.Stage{"north": {}} }},
		"for its zone, at another time": {change: func(c *bundle.Channel) {
			c.Percent, c.Zones = 0, map[string]bundle.Stage{"north": {Percent: 100, Window: bundle.Window(fmt.Sprintf("%02d:00-%02d:00", (hour+2)%24, (hour+3)%24))}}
		}, waiting: true, fetched: true},
		"the version that is": {change: func(c *bundle.Channel) { c.Version = "1.0" }},
		"for other targets":   {change: func(c *bundle.Channel) { c.Bundles = nil }},
		"out of date": {change: func(c *bundle.Channel) {
			c.Issued, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		}, err: "out of date"},
		"an old epoch": {change: func(c *bundle.Channel) { c.Epoch = 3 }, err: "going back isn't allowed"},
		"at another time": {change: func(c *bundle.Channel) {
			c.Window = bundle.Window(fmt.Sprintf("%02d:00-%02d:00", (hour+2)%24, (hour+3)%24))
		}, waiting: true, fetched: true},
	} {
		b.dir, s.asked = t.TempDir(), nil
		s.offer(b, text, c.change)
		waiting, err := b.start().check(t.Context(), &gateway{health: well}, s.policy())
		if waiting != c.waiting || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) || (len(s.asked) > 0) != c.fetched {
			t.Errorf("%s: waiting %v, %v, asked %q", name, waiting, err, s.asked)
		}
		if len(b.reboots) > 0 {
			t.Fatalf("%s: it is installed", name)
		}
	}

	u := b.start()
	s.offer(b, text, func(c *bundle.Channel) { c.Percent = 0 })
	if _, err := u.check(t.Context(), &gateway{}, s.policy()); err != nil {
		t.Fatal(err)
	}
	s.offer(b, text, func(c *bundle.Channel) { c.Issued = c.Issued.Add(-time.Minute) })
	if _, err := u.check(t.Context(), &gateway{}, s.policy()); err == nil || !strings.Contains(err.Error(), "a later one") {
		t.Errorf("an older channel: %v", err)
	}
	s.offer(newBench(t), text, nil)
	if _, err := u.check(t.Context(), &gateway{}, s.policy()); err == nil || !strings.Contains(err.Error(), "no key that is trusted") {
		t.Errorf("somebody else's channel: %v", err)
	}
	s.withheld = "paused: 3 of 20 gateways rolled back"
	if _, err := u.check(t.Context(), &gateway{}, s.policy()); err != nil {
		t.Errorf("a channel that is withheld: %v", err)
	}
}

// Who follows a channel keeps what is brought to it meanwhile, and nothing of what it runs.
func TestAChannelLeavesWhatIsBrought(t *testing.T) {
	b, s := newBench(t), newSite(t)
	text := b.bundle(two)
	runs := s.offer(b, text, func(c *bundle.Channel) { c.Version = "1.0" })
	u := b.start()
	brought := bundle.Digest(sha256.Sum256([]byte("another")))
	for _, d := range []bundle.Digest{runs.SHA256, brought} {
		if err := os.WriteFile(u.path(d), text[:700], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := u.check(t.Context(), &gateway{health: well}, s.policy()); err != nil {
		t.Fatal(err)
	}
	if u.Have(brought) != 700 || u.Have(runs.SHA256) != 0 {
		t.Errorf("of what is brought there are %d bytes, of what runs %d", u.Have(brought), u.Have(runs.SHA256))
	}
}

// What was rolled back isn't installed again, though the channel goes on offering it.
func TestAChannelIsFollowedOnce(t *testing.T) {
	b, s := newBench(t), newSite(t)
	s.offer(b, b.bundle(two), nil)
	b.run(b.start(), &gateway{health: well}, s.policy())
	<-b.reboots
	b.slots.mu.Lock()
	b.slots.others[0].Left = 0
	b.slots.mu.Unlock()
	u, g := b.start(), &gateway{health: well}
	u.tell(t.Context(), g)
	s.asked = nil
	if _, err := u.check(t.Context(), g, s.policy()); err != nil || len(s.asked) > 0 || len(b.reboots) > 0 {
		t.Errorf("%v, asked %q", err, s.asked)
	}
}
