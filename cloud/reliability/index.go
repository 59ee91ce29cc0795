package reliability

import (
	"strconv"
	"strings"
	"time"
)

// Index is the name of one.
type Index string

const (
	SAIDI    Index = "SAIDI"      // minutes a customer served
	SAIFI    Index = "SAIFI"      // sustained interruptions a customer served
	CAIDI    Index = "CAIDI"      // minutes a sustained interruption of a customer
	CTAIDI   Index = "CTAIDI"     // minutes a customer who had any sustained interruption
	CAIFI    Index = "CAIFI"      // sustained interruptions a customer who had any
	MAIFI    Index = "MAIFI"      // momentary interruptions a customer served
	MAIFIE   Index = "MAIFI_E"    // events of momentary interruptions a customer served
	ASAI     Index = "ASAI"       // share of the customers' hours with supply
	ASIFI    Index = "ASIFI"      // kVA interrupted a kVA served
	ASIDI    Index = "ASIDI"      // minutes a kVA served
	CIPer100 Index = "CI_per_100" // customers interrupted a hundred served
	CML      Index = "CML"        // minutes a customer served
	// Two kinds have a number: CEMI_n is the share of customers with more than n sustained
	// interruptions (or n or more: see Profile). CELID_s_h is of those with one that lasted
	// h hours or longer, CELID_t_h of those whose together did.
	cemi   = "CEMI_"
	celidS = "CELID_s_"
	celidT = "CELID_t_"
)

// Known says whether there is such an index.
func (i Index) Known() bool { return i.Unit() != "" }

// Unit is min, 1 (a number a customer or kVA, or a share), or "" of what is no index.
func (i Index) Unit() string {
	switch i {
	case SAIDI, CAIDI, CTAIDI, ASIDI, CML:
		return "min"
	case SAIFI, CAIFI, MAIFI, MAIFIE, ASAI, ASIFI, CIPer100:
		return "1"
	}
	for _, kind := range []string{cemi, celidS, celidT} {
		if text, ok := strings.CutPrefix(string(i), kind); ok {
			if n, err := strconv.Atoi(text); err == nil && n >= 0 && n <= 1000 {
				return "1"
			}
		}
	}
	return ""
}

// Totals are what indices are quotients of.
type Totals struct {
	CustomersServed, LoadServed float64       // on average over the period
	Elapsed                     time.Duration // of the period, so far

	CI  float64 // customers whose supply was interrupted for a sustained time, once for each time
	CMI float64 // minutes that they lacked it
	LI  float64 // kVA
	LMI float64 // kVA minutes

	Momentary float64 // customers with a momentary interruption, once for each
	Events    float64 // once for each event

	// CN is how many different customers CI are; nil: that isn't known.
	CN *float64

	Interruptions int // different ones that counted, of either kind
	Open          int // of them, those that aren't over, or aren't decided

	points  map[string]*history
	unnamed bool // somebody counts who isn't known one by one
}

// history is what one service point went through.
type history struct {
	customers      float64
	times          int
	longest, total time.Duration
}

// Of is an index; nil if what it divides by is zero, or isn't known.
func (t *Totals) Of(i Index, p Profile) *float64 {
	per := func(a, b float64) *float64 {
		if b == 0 {
			return nil
		}
		q := a / b
		return &q
	}
	switch i {
	case SAIDI, CML:
		return per(t.CMI, t.CustomersServed)
	case SAIFI:
		return per(t.CI, t.CustomersServed)
	case CIPer100:
		return per(100*t.CI, t.CustomersServed)
	case CAIDI:
		return per(t.CMI, t.CI)
	case CTAIDI, CAIFI:
		if t.CN == nil {
			return nil
		}
		if i == CTAIDI {
			return per(t.CMI, *t.CN)
		}
		return per(t.CI, *t.CN)
	case MAIFI:
		return per(t.Momentary, t.CustomersServed)
	case MAIFIE:
		return per(t.Events, t.CustomersServed)
	case ASAI:
		q := per(t.CMI, t.CustomersServed*t.Elapsed.Minutes())
		if q != nil {
			*q = 1 - *q
		}
		return q
	case ASIFI:
		return per(t.LI, t.LoadServed)
	case ASIDI:
		return per(t.LMI, t.LoadServed)
	}
	return t.share(i, p, per)
}

// share is an index that asks how many customers something happened to.
func (t *Totals) share(i Index, p Profile, per func(a, b float64) *float64) *float64 {
	if t.unnamed || !i.Known() {
		return nil
	}
	kind, text := string(i[:strings.LastIndexByte(string(i), '_')+1]), string(i[strings.LastIndexByte(string(i), '_')+1:])
	n, _ := strconv.Atoi(text)
	customers := 0.0
	for _, id := range sortedKeys(t.points) {
		h, hit := t.points[id], false
		switch kind {
		case cemi:
			hit = h.times > n || p.CEMIAtLeast && h.times == n
		case celidS:
			hit = h.longest >= time.Duration(n)*time.Hour
		case celidT:
			hit = h.total >= time.Duration(n)*time.Hour
		}
		if hit {
			customers += h.customers
		}
	}
	return per(customers, t.CustomersServed)
}

// add charges an interruption.
func (t *Totals) add(one *interruption) {
	minutes := one.end.Sub(one.start).Minutes()
	switch one.kind {
	case Undecided:
		return
	case Momentary:
		if !one.again {
			t.Momentary += one.customers
		}
		t.Events += one.events
		return
	}
	t.CMI += minutes * one.customers
	t.LMI += minutes * one.load
	if !one.again {
		t.CI += one.customers
		t.LI += one.load
	}
	if one.point == "" {
		t.unnamed = t.unnamed || one.customers > 0
		return
	}
	h := t.points[one.point]
	if h == nil {
		h = &history{}
		if t.points == nil {
			t.points = map[string]*history{}
		}
		t.points[one.point] = h
	}
	h.customers = max(h.customers, one.customers)
	if !one.again {
		h.times++
	}
	h.longest = max(h.longest, one.end.Sub(one.start))
	h.total += one.end.Sub(one.start)
}

// close counts the different customers.
func (t *Totals) close() {
	if t.unnamed {
		return
	}
	n := 0.0
	for _, id := range sortedKeys(t.points) {
		n += t.points[id].customers
	}
	t.CN = &n
}
