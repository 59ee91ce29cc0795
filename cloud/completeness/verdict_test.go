package completeness

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/busbar/busbar/telemetry"
)

// poll is the account of 900 polls of 10 signals: the gateway adds one sample
// to each poll that it made.
func poll(change func(*telemetry.DeviceAccount)) Counts {
	a := telemetry.DeviceAccount{Scheduled: 9000, Read: 9000, Delivered: 9900}
	change(&a)
	c := Counts{Received: a.Delivered}
	c.AddAccount(a)
	return c
}

func with(c Counts, change func(*Counts)) Counts {
	change(&c)
	return c
}

func whole(*telemetry.DeviceAccount) {}

func TestJudge(t *testing.T) {
	type reasons = map[Reason]uint64
	lost := func(reason telemetry.LossReason, n uint64) func(*Counts) {
		return func(c *Counts) { c.Received -= n; c.AddLoss(reason, n) }
	}
	cases := map[string]struct {
		counts     Counts
		over, due  bool
		state      State
		good       uint64
		suppressed uint64
		reasons    reasons
	}{
		"complete":              {poll(whole), true, true, Complete, 9000, 0, nil},
		"complete before due":   {poll(whole), true, false, Complete, 9000, 0, nil},
		"nothing was scheduled": {Counts{Accounts: 1}, true, true, Complete, 0, 0, nil},
		"late":                  {with(poll(whole), func(c *Counts) { c.Late = 1 }), true, true, Late, 9000, 0, nil},
		"deadband": {poll(func(a *telemetry.DeviceAccount) { a.Read, a.Suppressed, a.Delivered = 100, 8900, 1000 }),
			true, true, Complete, 100, 8900, nil},
		"bad": {poll(func(a *telemetry.DeviceAccount) {
			a.Read = 8970
			a.Bad = map[string]uint64{"timeout": 20, "refused by device": 10}
		}),
			true, true, Incomplete, 8970, 0, reasons{"bad (timeout)": 20, "bad (refused by device)": 10}},
		"missed": {poll(func(a *telemetry.DeviceAccount) { a.Read, a.Missed, a.Delivered = 8000, 1000, 8800 }),
			true, true, Incomplete, 8000, 0, reasons{Missed: 1000}},
		"gateway down": {poll(func(a *telemetry.DeviceAccount) { a.Read, a.Down, a.Delivered = 0, 9000, 0 }),
			true, true, Incomplete, 0, 0, reasons{GatewayDown: 9000}},
		"thinned":     {with(poll(whole), lost(telemetry.LostThinned, 500)), true, true, Incomplete, 8500, 0, reasons{"thinned": 500}},
		"buffer full": {with(poll(whole), lost(telemetry.LostBufferFull, 500)), true, true, Incomplete, 8500, 0, reasons{"buffer-full": 500}},
		"disk full":   {with(poll(whole), lost(telemetry.LostDiskFull, 500)), true, true, Incomplete, 8500, 0, reasons{"disk-full": 500}},
		"unreadable":  {with(poll(whole), lost(telemetry.LostUnreadable, 500)), true, true, Incomplete, 8500, 0, reasons{"unreadable": 500}},
		"a reason of a newer gateway": {with(poll(whole), lost("eaten", 500)),
			true, true, Incomplete, 8500, 0, reasons{"eaten": 500}},
		"discarded": {with(poll(func(a *telemetry.DeviceAccount) { a.Delivered -= 500 }), func(c *Counts) { c.AddLoss(telemetry.LostDiscarded, 500) }),
			true, true, Incomplete, 8500, 0, reasons{"discarded": 500}},
		"discarded, and as many on the way": {with(poll(func(a *telemetry.DeviceAccount) { a.Delivered -= 500 }), func(c *Counts) { c.AddLoss(telemetry.LostDiscarded, 500); c.Received -= 500 }),
			true, true, Incomplete, 8000, 0, reasons{"discarded": 500, OnTheWay: 500}},
		"bad without being asked for": {poll(func(a *telemetry.DeviceAccount) {
			a.Read, a.Bad, a.Delivered = 0, map[string]uint64{"timeout": 9000}, 4950
		}),
			true, true, Incomplete, 0, 0, reasons{"bad (timeout)": 9000}},
		"on the way or given up": {with(poll(whole), func(c *Counts) { c.Received -= 11; c.Uncounted = true }),
			true, true, Incomplete, 8989, 0, reasons{Undetermined: 11}},
		"on the way": {with(poll(whole), func(c *Counts) { c.Received -= 11 }), true, true, Incomplete, 8989, 0, reasons{OnTheWay: 11}},
		"all of it lost, more than had a value": {with(poll(whole), lost(telemetry.LostBufferFull, 9900)),
			true, true, Incomplete, 0, 0, reasons{"buffer-full": 9000}},
		"lost and on the way, more than had a value": {with(poll(whole), func(c *Counts) { c.Received = 0; c.AddLoss(telemetry.LostBufferFull, 9000) }),
			true, true, Incomplete, 0, 0, reasons{"buffer-full": 9000, OnTheWay: 0}},
		"the gateway's own samples are missing": {with(poll(func(a *telemetry.DeviceAccount) { a.Read, a.Suppressed, a.Delivered = 0, 9000, 900 }), func(c *Counts) { c.Received = 899 }),
			true, true, Incomplete, 0, 9000, reasons{OnTheWay: 0}},
		"running":              {with(poll(whole), func(c *Counts) { c.Received -= 11 }), false, false, Open, 8989, 0, reasons{OnTheWay: 11}},
		"no account, running":  {Counts{Received: 5}, false, false, Open, 0, 0, nil},
		"no account, not due":  {Counts{Received: 5}, true, false, Open, 0, 0, nil},
		"no account":           {Counts{Received: 5}, true, true, Unknown, 0, 0, nil},
		"no account, but loss": {with(Counts{}, func(c *Counts) { c.AddLoss(telemetry.LostBufferFull, 3) }), true, true, Unknown, 0, 0, nil},
		"more stored than delivered": {with(poll(whole), func(c *Counts) { c.Received++ }),
			true, true, Inconsistent, 9000, 0, nil},
		"lost, and stored all the same": {with(poll(whole), func(c *Counts) { c.AddLoss(telemetry.LostThinned, 500) }),
			true, true, Complete, 9000, 0, nil},
		"lost, and most of it stored all the same": {with(poll(whole), func(c *Counts) { c.Received -= 3; c.AddLoss(telemetry.LostThinned, 500) }),
			true, true, Incomplete, 8997, 0, reasons{"thinned": 3}},
		"lost, and nothing but estimates in its place": {with(poll(whole), func(c *Counts) { c.Estimates = 10; c.AddLoss(telemetry.LostThinned, 500) }),
			true, true, Incomplete, 8990, 0, reasons{"thinned": 10}},
		"estimates of what is stored as well": {with(poll(whole), func(c *Counts) { c.Received += 10; c.Estimates = 10; c.AddLoss(telemetry.LostThinned, 500) }),
			true, true, Complete, 9000, 0, nil},
		"thinned to estimates": {with(poll(whole), func(c *Counts) { c.Received = 500; c.Estimates = 100; c.AddLoss(telemetry.LostThinned, 9400) }),
			true, true, Incomplete, 0, 0, reasons{"thinned": 9000}},
		"more lost than delivered": {with(poll(whole), func(c *Counts) { c.AddLoss(telemetry.LostThinned, 9901) }),
			true, true, Inconsistent, 9000, 0, nil},
		"sums that differ": {poll(func(a *telemetry.DeviceAccount) { a.Scheduled++ }), true, true, Inconsistent, 9000, 0, nil},
		"less delivered than read": {poll(func(a *telemetry.DeviceAccount) { a.Delivered = 8999 }),
			true, true, Inconsistent, 9000, 0, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			v := Judge(c.counts, c.over, c.due)
			if v.State != c.state || v.Good != c.good || v.Suppressed != c.suppressed || !maps.Equal(v.Reasons, c.reasons) {
				t.Errorf("%+v, want %s, %d good, %d suppressed, %v", v, c.state, c.good, c.suppressed, c.reasons)
			}
			if v.State != Inconsistent && v.State != Unknown && v.Expected != v.sum() {
				t.Errorf("expected %d, the parts make %d", v.Expected, v.sum())
			}
		})
	}
}

func (v Verdict) sum() uint64 {
	sum := v.Good + v.Suppressed
	for _, n := range v.Reasons {
		sum += n
	}
	return sum
}

// Whatever becomes of a quarter-hour's samples, the parts make what was expected,
// and it is complete if and only if nothing is missing.
func TestSumsAddUp(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	few := func(n uint64) uint64 {
		if random.IntN(3) > 0 {
			return 0
		}
		return random.Uint64N(n + 1)
	}
	for range 20_000 {
		var c Counts
		for range 1 + random.IntN(3) {
			a := telemetry.DeviceAccount{Read: few(100), Suppressed: few(50), Missed: few(5), Down: few(5)}
			a.Scheduled = a.Read + a.Suppressed + a.Missed + a.Down
			a.Delivered = a.Read + few(20) // the gateway's own
			for _, reason := range []string{"timeout", "not connected"} {
				if n := few(20); n > 0 {
					a.Bad = map[string]uint64{reason: n}
					a.Scheduled += n
					a.Delivered += few(n) // others weren't asked for
					break
				}
			}
			c.AddAccount(a)
		}
		if n := few(c.Account.Read); n > 0 {
			c.AddLoss(telemetry.LostDiscarded, n)
			c.Account.Delivered -= n
		}
		left := c.Account.Delivered
		for _, reason := range losses[:4] {
			if n := few(left); n > 0 {
				c.AddLoss(reason, n)
				left -= n
			}
		}
		way := few(left)
		c.Received = left - way
		v := Judge(c, true, true)
		if v.State == Inconsistent {
			t.Fatalf("%+v is inconsistent", c)
		}
		if v.Expected != c.Account.Scheduled || v.sum() != v.Expected {
			t.Fatalf("%+v: expected %d, the parts of %+v make %d", c, c.Account.Scheduled, v, v.sum())
		}
		nothing := way == 0 && len(c.Lost) == 0 && len(c.Account.Bad) == 0 && c.Account.Missed == 0 && c.Account.Down == 0
		if (v.State == Complete) != nothing {
			t.Fatalf("%+v is %s", c, v.State)
		}
		if v.Good > c.Received {
			t.Fatalf("%+v: %d good of %d received", c, v.Good, c.Received)
		}
	}
}

func TestAccountsAreSplitExactly(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 2_000 {
		n := 1 + random.Int64N(200)
		a := telemetry.DeviceAccount{Read: random.Uint64N(10_000), Suppressed: random.Uint64N(10_000), Missed: random.Uint64N(1000),
			Down: random.Uint64N(1 << 40), Delivered: random.Uint64N(10_000), Bad: map[string]uint64{"timeout": random.Uint64N(100), "refused": random.Uint64N(100)}}
		a.Scheduled = a.Read + a.Suppressed + a.Missed + a.Down + a.Bad["timeout"] + a.Bad["refused"]
		if random.IntN(4) == 0 {
			a.Scheduled++ // contradicts the rest
		}
		var sum Counts
		var downs []uint64
		for i := range n {
			part := split(a, i, n)
			if a.Scheduled == a.Read+a.Suppressed+a.Missed+a.Down+a.Bad["timeout"]+a.Bad["refused"] &&
				part.Scheduled != part.Read+part.Suppressed+part.Missed+part.Down+part.Bad["timeout"]+part.Bad["refused"] {
				t.Fatalf("part %d of %d of %+v contradicts itself: %+v", i, n, a, part)
			}
			downs = append(downs, part.Down)
			sum.AddAccount(part)
		}
		if got := sum.Account; got.Scheduled != a.Scheduled || got.Read != a.Read || got.Suppressed != a.Suppressed || got.Missed != a.Missed ||
			got.Down != a.Down || got.Delivered != a.Delivered || !maps.Equal(got.Bad, a.Bad) {
			t.Fatalf("the %d parts of %+v make %+v", n, a, got)
		}
		if slices.Max(downs)-slices.Min(downs) > 1 {
			t.Fatalf("uneven: %v", downs)
		}
	}
}

func TestLetters(t *testing.T) {
	for want, v := range map[byte]Verdict{
		'c': {State: Complete}, 'l': {State: Late}, 'o': {State: Open}, 'u': {State: Unknown}, 'x': {State: Inconsistent}, '-': {State: NotAsked},
		'b': {State: Incomplete, Reasons: map[Reason]uint64{"bad (timeout)": 2, Missed: 1}},
		'm': {State: Incomplete, Reasons: map[Reason]uint64{"bad (timeout)": 2, Missed: 3}},
		'd': {State: Incomplete, Reasons: map[Reason]uint64{GatewayDown: 1}},
		't': {State: Incomplete, Reasons: map[Reason]uint64{"thinned": 1}},
		'f': {State: Incomplete, Reasons: map[Reason]uint64{"buffer-full": 1}},
		'k': {State: Incomplete, Reasons: map[Reason]uint64{"disk-full": 1}},
		'r': {State: Incomplete, Reasons: map[Reason]uint64{"unreadable": 1}},
		'g': {State: Incomplete, Reasons: map[Reason]uint64{"discarded": 1}},
		'w': {State: Incomplete, Reasons: map[Reason]uint64{OnTheWay: 0}},
		'n': {State: Incomplete, Reasons: map[Reason]uint64{Undetermined: 1}},
		'i': {State: Incomplete, Reasons: map[Reason]uint64{"eaten": 1}},
	} {
		if got := Letter(v.State, v.Main()); got != want {
			t.Errorf("%+v: %c, want %c", v, got, want)
		} else if stateOf(got) != v.State {
			t.Errorf("%c stands for %s, want %s", got, stateOf(got), v.State)
		}
	}
}
