package bundle

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

func channel() Channel {
	return Channel{Format: 1, Issued: time.Unix(1790000000, 0).UTC(), NotAfter: time.Unix(1790086400, 0).UTC(), Version: "1.2.3", Epoch: 7, Percent: 5, Window: "22:00-04:00",
		Bundles: map[Target]Published{PC: {URL: "busbar-1.2.3-pc.bundle", Size: 30 << 20}}}
}

func TestAChannelIsWhatWasSigned(t *testing.T) {
	public, private := newKey(t)
	text, signature, err := channel().Sign(private)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseChannel(text, signature, Keys{public})
	if err != nil || fmt.Sprint(got) != fmt.Sprint(channel()) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := ParseChannel(bytes.Replace(text, []byte(`"percent": 5`), []byte(`"percent": 6`), 1), signature, Keys{public}); err != errUnsigned {
		t.Errorf("a percentage that somebody has changed: %v", err)
	}
	for says, change := range map[string]func(*Channel){
		"percent 101":                func(c *Channel) { c.Percent = 101 },
		"zone \"north\": percent -1": func(c *Channel) { c.Zones = map[string]Stage{"north": {Percent: -1}} },
		"zone \"north\": window":     func(c *Channel) { c.Zones = map[string]Stage{"north": {Window: "1-2"}} },
		"zone \"\": it has no name":  func(c *Channel) { c.Zones = map[string]Stage{"": {}} },
		"a time after":               func(c *Channel) { c.NotAfter = c.Issued },
		"window":                     func(c *Channel) { c.Window = "22-4" },
		"expected https":             func(c *Channel) { c.Bundles[PC] = Published{URL: "http://updates.example/x", Size: 1} },
		"bundle for pc: 0 b":         func(c *Channel) { c.Bundles[PC] = Published{URL: "x"} },
	} {
		c := channel()
		change(&c)
		if _, _, err := c.Sign(private); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

func TestAZoneIsAheadOfTheOthers(t *testing.T) {
	c := channel()
	c.Zones = map[string]Stage{"pilot": {Percent: 100}}
	if c.In("pilot") != (Stage{Percent: 100}) || c.In("north") != (Stage{5, "22:00-04:00"}) || c.In("") != c.In("north") {
		t.Errorf("%+v, %+v", c.In("pilot"), c.In("north"))
	}
}

// A version comes to the same gateways each time, and to about as many as it says.
func TestAPercentageOfTheGateways(t *testing.T) {
	n := 0
	for i := range 1000 {
		place := Place(fmt.Sprintf("gw-%d", i), "1.2.3")
		if place != Place(fmt.Sprintf("gw-%d", i), "1.2.3") || place < 0 || place > 99 {
			t.Fatal(place)
		}
		if place < 10 {
			n++
		}
	}
	if n < 70 || n > 130 {
		t.Errorf("10 %% of 1000 are %d", n)
	}
}

func TestWindows(t *testing.T) {
	at := func(clock string) time.Time {
		m, err := time.Parse("15:04:05", clock)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, c := range []struct {
		window Window
		at     string
		holds  bool
	}{
		{"", "12:00:00", true}, {"02:00-04:00", "02:00:00", true}, {"02:00-04:00", "03:59:59", true}, {"02:00-04:00", "04:00:00", false},
		{"22:00-04:00", "23:00:00", true}, {"22:00-04:00", "01:00:00", true}, {"22:00-04:00", "12:00:00", false}, {"20:00-24:00", "23:59:59", true},
	} {
		if got := c.window.Holds(at(c.at)); got != c.holds {
			t.Errorf("%q at %s: %v", c.window, c.at, got)
		}
	}
	for _, w := range []Window{"02:00", "02:00-02:00", "2:00-04:00", "24:00-04:00", "02:60-04:00", "02:00-25:00", "02:00-04:00 ", "-2:00-04:00"} {
		if w.Check() == nil {
			t.Errorf("%q is a window", w)
		}
	}
}

func FuzzChannel(f *testing.F) {
	f.Add([]byte(`{"format":1,"issued":"2026-09-21T14:13:20Z","not_after":"2026-09-22T14:13:20Z","version":"1.2.3","epoch":7,"percent":5,"bundles":{"pc":{"url":"x","size":1}}}`))
	_, private := newKey(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseChannel(text)
		if err != nil {
			return
		}
		c.Window.Holds(time.Now())
		if _, _, err := c.Sign(private); err != nil {
			t.Errorf("what was read can't be written: %v", err)
		}
	})
}
