package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ledgerDevice is a device with a letter for each quarter-hour of a day.
type ledgerDevice struct{ gateway, device, quarters string }

type outage struct {
	Stream string `json:"stream"`
	State  string `json:"state"`
	From   int64  `json:"from_us"`
	To     *int64 `json:"to_us"`
	Cause  string `json:"cause"`
}

type reason struct {
	Reason string `json:"reason"`
	Count  int    `json:"count"`
}

type tally struct {
	Expected    int            `json:"expected"`
	Received    int            `json:"received"`
	Suppressed  int            `json:"suppressed"`
	NotAcquired int            `json:"not_acquired"`
	Lost        int            `json:"lost"`
	OnTheWay    int            `json:"on_the_way"`
	Stored      int            `json:"stored"`
	Late        int            `json:"late"`
	Reasons     []reason       `json:"reasons"`
	States      map[string]int `json:"states"`
	Quarters    string         `json:"quarters"`
}

type deviceTally struct {
	Gateway string `json:"gateway"`
	Device  string `json:"device"`
	tally
}

// perQuarter is what is expected of each device of the fake.
const perQuarter = 900

var letterNames = map[byte][2]string{
	'c': {"complete"}, 'l': {"late"}, 'o': {"open"}, 'u': {"unknown"}, 'x': {"inconsistent"}, '-': {"not-configured"},
	'b': {"incomplete", "bad (timeout)"}, 'd': {"incomplete", "gateway-down"}, 't': {"incomplete", "thinned"},
	'f': {"incomplete", "buffer-full"}, 'w': {"incomplete", "on-the-way"},
}

// tallyOf makes numbers of letters: of an incomplete quarter-hour a third is missing.
func tallyOf(quarters string) tally {
	t := tally{Quarters: quarters, Reasons: []reason{}, States: map[string]int{}}
	count := map[string]int{}
	for i := range len(quarters) {
		name := letterNames[quarters[i]]
		t.States[name[0]]++
		switch name[0] {
		case "complete", "late", "incomplete", "inconsistent":
			t.Expected += perQuarter
			t.Received += perQuarter
			t.Stored += perQuarter + 90
		}
		if name[0] == "late" {
			t.Late += 50
		}
		const missing = perQuarter / 3
		switch name[1] {
		case "":
			continue
		case "on-the-way":
			t.OnTheWay += missing
		case "thinned", "buffer-full":
			t.Lost += missing
		default:
			t.NotAcquired += missing
		}
		count[name[1]] += missing
		t.Received -= missing
	}
	for _, why := range []string{"gateway-down", "buffer-full", "bad (timeout)", "on-the-way", "thinned"} {
		if count[why] > 0 {
			t.Reasons = append(t.Reasons, reason{why, count[why]})
		}
	}
	return t
}

const letterSeverity = "-cloubdtfwx"

func (f *fake) getCompleteness(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ledgerFails {
		refuse(w, http.StatusInternalServerError, "could not read the accounts")
		return
	}
	var devices []ledgerDevice
	var from, to int64
	if r.FormValue("day") != "" {
		loc, err := time.LoadLocation(r.FormValue("time_zone"))
		if err != nil {
			refuse(w, http.StatusUnprocessableEntity, err.Error())
			return
		}
		day, err := time.ParseInLocation(time.DateOnly, r.FormValue("day"), loc)
		if err != nil {
			refuse(w, http.StatusUnprocessableEntity, err.Error())
			return
		}
		from, to = day.UnixMicro(), day.AddDate(0, 0, 1).UnixMicro()
		for _, d := range f.ledger[r.FormValue("day")] {
			if r.FormValue("gateway") == "" || r.FormValue("gateway") == d.gateway {
				devices = append(devices, d)
			}
		}
	} else {
		from, _ = strconv.ParseInt(r.FormValue("from_us"), 10, 64)
		to, _ = strconv.ParseInt(r.FormValue("to_us"), 10, 64)
		for day, list := range f.ledger {
			begin, _ := time.Parse(time.DateOnly, day)
			for _, d := range list {
				if i := int(from-begin.UnixMicro()) / 900_000_000; d.gateway == r.FormValue("gateway") && d.device == r.FormValue("device") && i >= 0 && i < len(d.quarters) {
					devices = append(devices, ledgerDevice{d.gateway, d.device, d.quarters[i : i+1]})
				}
			}
		}
	}
	all := []deviceTally{}
	n := int((to - from) / 900_000_000)
	worst := []byte(strings.Repeat("-", n))
	letters := ""
	for _, d := range devices {
		all = append(all, deviceTally{d.gateway, d.device, tallyOf(d.quarters)})
		letters += d.quarters
		for i := range worst {
			if strings.IndexByte(letterSeverity, d.quarters[i]) > strings.IndexByte(letterSeverity, worst[i]) {
				worst[i] = d.quarters[i]
			}
		}
	}
	summary := tallyOf(letters)
	summary.Quarters = string(worst)
	summary.States = tallyOf(string(worst)).States
	complete := len(all) > 0 && summary.States["complete"]+summary.States["late"]+summary.States["not-configured"] == n
	page, next := turn(f, r, all)
	answer(w, http.StatusOK, map[string]any{"from_us": from, "to_us": to, "quarter_hours": n, "complete": complete, "summary": summary, "devices": page, "next": next})
}

func (f *fake) getLinks(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	from, err1 := strconv.ParseInt(r.FormValue("from_us"), 10, 64)
	to, err2 := strconv.ParseInt(r.FormValue("to_us"), 10, 64)
	if err1 != nil || err2 != nil {
		refuse(w, http.StatusUnprocessableEntity, "want from_us and to_us")
		return
	}
	found := []outage{}
	for _, o := range f.outages {
		if o.From < to && (o.To == nil || *o.To > from) {
			found = append(found, o)
		}
	}
	page, next := turn(f, r, found)
	answer(w, http.StatusOK, map[string]any{"outages": page, "next": next})
}
