package access

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	mostFailures = 10_000
	// For each time this long without a failure, nor a wait, one less counts: the typos of
	// a control room don't add up over a day.
	forgiveAfter = 3 * time.Minute
	// What failed is forgotten after so long.
	forgetAfter = time.Hour
)

// limiter has who fails to sign in wait, longer each time. It remembers so many names
// and addresses and no more: those that failed longest ago are forgotten first.
type limiter struct {
	mu       sync.Mutex
	failures map[string]failure
}

type failure struct {
	count int
	last  time.Time
	until time.Time
}

// allowance is what one name or one address may fail without waiting, and how long it
// waits at most. Others may try a name: its wait is short, so that its owner is not
// kept out for long. Behind one address there may be a whole control room.
type allowance struct {
	free    int
	longest time.Duration
}

var (
	ofName    = allowance{free: 5, longest: time.Minute}
	ofAddress = allowance{free: 20, longest: 15 * time.Minute}
)

// wait is how long it takes until all of the keys may try again.
func (l *limiter) wait(now time.Time, keys ...string) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range keys {
		wait = max(wait, l.failures[key].until.Sub(now))
	}
	return wait
}

func (l *limiter) failed(now time.Time, key string, a allowance) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failures == nil {
		l.failures = map[string]failure{}
	}
	f, known := l.failures[key]
	if !known && len(l.failures) >= mostFailures {
		l.forget(now)
	}
	if now.Sub(f.last) > forgetAfter {
		f = failure{}
	}
	free := f.last // to fail again
	if f.until.After(free) {
		free = f.until
	}
	f.count = max(0, f.count-int(max(0, now.Sub(free))/forgiveAfter))
	f.count, f.last = f.count+1, now
	if over := f.count - a.free; over >= 0 {
		f.until = now.Add(min(time.Second<<min(over, 20), a.longest))
	}
	l.failures[key] = f
}

// forget makes room for one.
func (l *limiter) forget(now time.Time) {
	var oldest string
	for key, f := range l.failures {
		if now.Sub(f.last) > forgetAfter {
			delete(l.failures, key)
		} else if oldest == "" || f.last.Before(l.failures[oldest].last) {
			oldest = key
		}
	}
	if len(l.failures) >= mostFailures {
		delete(l.failures, oldest)
	}
}

func (l *limiter) succeeded(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.failures, key)
}

// addressOf is where a request comes from: of IPv6 the network of a single site.
func addressOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	network, _ := ip.Prefix(64)
	return network.String()
}
