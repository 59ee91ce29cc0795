package devices

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"
)

func parse(t testing.TB, text string) []Misbehaviour {
	t.Helper()
	list, err := ParseMisbehaviours(text, OnTCP, OnLines, OnConnections)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestParseMisbehaviours(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "",
		"silent":                                 "silent",
		" late ; duplicate,every=3":              "late=1s; duplicate,every=3",
		"late=2s,every=5":                        "late=2s,every=5",
		"garbage=5,chance=0.25,after=10s,for=1m": "garbage=5,chance=0.25,after=10s,for=1m",
		"holes=0x10-0x1F; holes=50":              "holes=16-31; holes=50-50",
		"wrong-transaction=+1":                   "wrong-transaction=1",
		"restart=250ms":                          "restart=250ms",
	} {
		var got []string
		for _, m := range parse(t, text) {
			got = append(got, m.String())
		}
		if strings.Join(got, "; ") != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"lat":                     "did you mean late?",
		"nonsense":                "there are silent, late, ",
		"silent=1":                "silent takes no value",
		"late=2":                  "late takes a time above 0",
		"late=":                   "late takes a time above 0",
		"late=25h":                "late takes a time above 0",
		"exception=256":           "exception takes a number from 1 to 255",
		"exception=0":             "exception takes a number from 1 to 255",
		"holes":                   `"" are no addresses`,
		"holes=5-4":               "no addresses",
		"late,every=0":            "every takes a number of requests",
		"late,chance=2":           "chance takes a probability",
		"late,every=2,chance=0.5": "expected one of them",
		"late,for=0s":             "for takes a time above 0",
		"late,after=x":            "after: ",
		"late,often":              `"often" is no option`,
		"late; late=2s":           "late is given more than once",
	} {
		if _, err := ParseMisbehaviours(text, OnTCP); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if _, err := ParseMisbehaviours("wrong-checksum", OnTCP, OnConnections); err == nil || !strings.Contains(err.Error(), "with RTU only") {
		t.Error(err)
	}
}

func FuzzParseMisbehaviours(f *testing.F) {
	for _, k := range Kinds() {
		text := string(k.Kind)
		if k.Argument == "A-B" {
			text += "=1-2"
		}
		f.Add(text + ",every=2,after=1s,for=1m; late=20ms,chance=0.1")
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseMisbehaviours(text, OnTCP, OnLines, OnConnections)
		if err != nil {
			return
		}
		var texts []string
		for _, m := range list {
			texts = append(texts, m.String())
		}
		again := parse(t, strings.Join(texts, ";"))
		if len(again) != len(list) {
			t.Fatalf("%q, then %q", list, again)
		}
		for i := range list {
			if again[i] != list[i] {
				t.Fatalf("%+v, then %+v", list[i], again[i])
			}
		}
	})
}

// What each kind sends for a request of two registers, which hold 0x0102 and 0x0304.
// Nothing of it is taken from the code that makes it: the frames are the standard's.
func TestWhatIsSent(t *testing.T) {
	const request = "0007 0000 0006 01 03 0010 0002"
	const answer = "0007 0000 0007 01 03 04 0102 0304"
	for _, c := range []struct {
		how, want string // pieces with | between them
		end       ending
	}{
		{"silent", "", goesOn},
		{"late=3s", "3s: " + answer, goesOn},
		{"split=2s", "0s: 0007 0000 0007 | 2s: 01 03 04 0102 0304", goesOn},
		{"duplicate", "0s: " + answer + answer, goesOn},
		{"short", "0s: 0007 0000 0005 01 03 02 fefd", goesOn},
		{"long", "0s: 0007 0000 0009 01 03 06 fefd fcfb ffff", goesOn},
		{"truncated=2", "0s: 0007 0000 0007 01 03 04 fefd", goesOn},
		{"wrong-transaction", "0s: 0006 0000 0007 01 03 04 fefd fcfb", goesOn},
		{"wrong-transaction=1", "0s: 0008 0000 0007 01 03 04 fefd fcfb", goesOn},
		{"wrong-protocol", "0s: 0007 0001 0007 01 03 04 fefd fcfb", goesOn},
		{"wrong-length=-3", "0s: 0007 0000 0004 01 03 04 fefd fcfb", goesOn},
		{"wrong-unit", "0s: 0007 0000 0007 02 03 04 fefd fcfb", goesOn},
		{"wrong-function", "0s: 0007 0000 0007 01 04 04 fefd fcfb", goesOn},
		{"exception=2", "0s: 0007 0000 0003 01 83 02", goesOn},
		{"busy", "0s: 0007 0000 0003 01 83 06", goesOn},
		{"gateway-path", "0s: 0007 0000 0003 01 83 0a", goesOn},
		{"gateway-target", "0s: 0007 0000 0003 01 83 0b", goesOn},
		{"holes=17-20", "0s: 0007 0000 0003 01 83 02", goesOn},
		{"holes=18-20", "0s: " + answer, goesOn},
		{"limit=1", "0s: 0007 0000 0003 01 83 03", goesOn},
		{"limit=2", "0s: " + answer, goesOn},
		{"stuck", "0s: " + answer, goesOn},
		{"counter-reset", "0s: " + answer, goesOn},
		{"one-client", "0s: " + answer, goesOn},
		{"hang-up", "", hangsUp},
		{"reset", "", breaksOff},
		{"truncated=7; hang-up", "0s: 0007 0000 0007", hangsUp},
		{"restart=1s", "", restarts},
		{"late=1s; duplicate; busy", "1s: 0007 0000 0003 01 83 06 0007 0000 0003 01 83 06", goesOn},
	} {
		r := respond(t, mbap{}, c.how, request)
		var want []string
		if c.want != "" {
			want = strings.Split(c.want, " | ")
		}
		if len(r.pieces) != len(want) || r.end != c.end {
			t.Errorf("%s: %d pieces and end %d, want %d and %d", c.how, len(r.pieces), r.end, len(want), c.end)
			continue
		}
		for i, w := range want {
			after, text, _ := strings.Cut(w, ": ")
			if got := r.pieces[i]; got.after.String() != after || !bytes.Equal(got.bytes, spaced(t, text)) {
				t.Errorf("%s: after %v % x, want %s", c.how, got.after, got.bytes, w)
			}
		}
	}

	if drip := respond(t, mbap{}, "drip=3ms; late=1s", request).pieces; len(drip) != 13 || drip[0].after != time.Second || drip[12].after != 3*time.Millisecond {
		t.Errorf("drip: %v", drip)
	}
	if garbage := respond(t, mbap{}, "garbage=9", request).pieces[0].bytes; len(garbage) != 9 || bytes.HasPrefix(garbage, []byte{0, 7}) {
		t.Errorf("garbage % x", garbage)
	}
	if noise := respond(t, mbap{}, "noise=4", request).pieces[0].bytes; len(noise) != 17 || !bytes.HasPrefix(noise, spaced(t, answer)) {
		t.Errorf("noise % x", noise)
	}

	// The checksums are from the standard's algorithm, worked out elsewhere (pymodbus).
	const line, lineAnswer = "01 03 0010 0002 c5ce", "01 03 04 0102 0304 5b3c"
	for how, want := range map[string]string{
		"late=1s":        lineAnswer,
		"wrong-checksum": "01 03 04 fefd fcfb 5aa9",
		"truncated":      "01 03 04 fefd fcfb 5a",
		"wrong-unit":     "02 03 04 fefd fcfb 69a8",
	} {
		if got := respond(t, rtu{}, how, line).pieces[0].bytes; !bytes.Equal(got, spaced(t, want)) {
			t.Errorf("%s on a line: % x, want %s", how, got, want)
		}
	}
	if noise := respond(t, rtu{}, "noise=4", line).pieces[0].bytes; len(noise) != 13 || !bytes.HasSuffix(noise, spaced(t, lineAnswer)) {
		t.Errorf("noise on a line % x", noise)
	}
}

func spaced(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func respond(t *testing.T, f framing, how, request string) response {
	t.Helper()
	bus := NewBus(map[byte]Unit{1: Bank{HoldingRegisters: []uint16{0x10: 0x0102, 0x0304}}}, 1)
	bus.Misbehave(1, parse(t, how)...)
	p := bus.units[1]
	return p.respond(p.behaviour.Load(), f, spaced(t, request))
}

func TestWhichRequestsMeetIt(t *testing.T) {
	met := func(seed uint64, how string, requests int) (list []int) {
		bus := NewBus(map[byte]Unit{1: Bank{HoldingRegisters: make([]uint16, 20)}}, seed)
		bus.Misbehave(1, parse(t, how)...)
		p := bus.units[1]
		for i := range requests {
			if r := p.respond(p.behaviour.Load(), mbap{}, frame(1, 1, readRequest(HoldingRegisters, 0, 1))); len(r.pieces) == 0 {
				list = append(list, i+1)
			}
		}
		return list
	}
	if got := met(1, "silent,every=5", 12); !slices.Equal(got, []int{5, 10}) {
		t.Errorf("each fifth: %v", got)
	}
	if got := met(1, "silent,after=1h", 12); len(got) != 0 {
		t.Errorf("after an hour: %v", got)
	}
	if got := met(1, "restart=1ns", 12); !slices.Equal(got, []int{1}) {
		t.Errorf("a restart: %v", got)
	}
	if got := met(1, "restart=1ns,every=6", 12); !slices.Equal(got, []int{6, 12}) {
		t.Errorf("each sixth request restarts: %v", got)
	}
	first := met(1, "silent,chance=0.3", 1000)
	if len(first) < 230 || len(first) > 370 {
		t.Errorf("three of ten: %d of 1000", len(first))
	}
	if !slices.Equal(first, met(1, "silent,chance=0.3", 1000)) || slices.Equal(first, met(2, "silent,chance=0.3", 1000)) {
		t.Error("what comes by chance doesn't depend on the seed, or on something else")
	}
}
