package sparkplug

import (
	"regexp"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/busbar/busbar/adapters/sparkplug/host"
)

func fresh(group bool) *names { return &names{group: group, taken: map[string]string{}} }

func TestNames(t *testing.T) {
	for _, c := range []struct {
		series host.Series
		group  bool
		want   string
	}{
		{host.Series{Node: "n", Metric: "TotW"}, false, "n.TotW"},
		{host.Series{Node: "n", Device: "meter", Metric: "PhV.phsA"}, false, "n.meter.PhV.phsA"},
		{host.Series{Group: "plant-a", Node: "n", Device: "d", Metric: "x"}, true, "plant_a.n.d.x"},
		{host.Series{Node: "Line 1", Device: "Pump 2", Metric: "Motor/Temp (°C)"}, false, "Line_1.Pump_2.Motor.Temp_C"},
		{host.Series{Node: "1st", Metric: "/2/_x"}, false, "n1st.n2.x"},
		{host.Series{Node: "温度", Metric: "x"}, false, "n.x"},
		{host.Series{Node: "n", Metric: "v[3]"}, false, "n.v_3"},
		{host.Series{Node: "n", Metric: "t[0,Col A]"}, false, "n.t_0_Col_A"},
		{host.Series{Node: "n", Live: true}, false, "n.Live"},
		{host.Series{Node: "n", Device: "d", Live: true}, false, "n.d.Live"},
		{host.Series{Node: "n", Metric: "a_very_long_name_of_a_folder/another_very_long_name/and_the_metric_at_last"}, false, "n.a_very_long_name_of_a_folder.another_very_long_name.a_fc8960e4"},
	} {
		if got := fresh(c.group).assign([]host.Series{c.series})[0]; got != c.want {
			t.Errorf("%+v: %s, expected %s", c.series, got, c.want)
		}
	}
}

// Of several with one name, who is called just that keeps it, whoever comes first; and
// what the others get depends on nothing but themselves.
func TestNamesakes(t *testing.T) {
	space, under := host.Series{Node: "n", Metric: "a b"}, host.Series{Node: "n", Metric: "a_b"}
	live, said := host.Series{Node: "n", Live: true}, host.Series{Node: "n", Metric: "Live"}
	folder, device := host.Series{Node: "n", Metric: "d/x"}, host.Series{Node: "n", Device: "d", Metric: "x"}
	for _, pair := range [][2]host.Series{{under, space}, {live, said}, {device, folder}} {
		exact, other := fresh(false).assign([]host.Series{pair[0]})[0], ""
		for _, list := range [][]host.Series{{pair[0], pair[1]}, {pair[1], pair[0]}} {
			names := fresh(false).assign(list)
			if list[0] != pair[0] {
				slices.Reverse(names)
			}
			if names[0] != exact || names[1] == exact || other != "" && names[1] != other {
				t.Errorf("%+v: %q", list, names)
			}
			other = names[1]
		}
	}
	n := fresh(false)
	if first, second := n.assign([]host.Series{space})[0], n.assign([]host.Series{under})[0]; first != "n.a_b" || second == first || second == "" {
		t.Errorf("%s, %s", first, second)
	}
	if again := n.assign([]host.Series{space})[0]; again != "n.a_b" {
		t.Errorf("it has become %s", again)
	}
}

// Every name is one that a signal may have, and no two series have the same one.
func TestNamesAreGood(t *testing.T) {
	good := regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*$`)
	text := rapid.StringMatching(`[a-cA 0-9_./é-]{0,40}`)
	rapid.Check(t, func(t *rapid.T) {
		n := fresh(rapid.Bool().Draw(t, "group"))
		owners := map[string]host.Series{}
		for range 3 {
			var list []host.Series
			for range rapid.IntRange(0, 6).Draw(t, "series") {
				list = append(list, host.Series{Group: "g", Node: text.Draw(t, "node"), Device: text.Draw(t, "device"), Metric: text.Draw(t, "metric"), Live: rapid.Bool().Draw(t, "live")})
			}
			for i, name := range n.assign(list) {
				if !good.MatchString(name) || len(name) > 64 || name == "ChLiv" {
					t.Fatalf("%+v is called %q", list[i], name)
				}
				if owner, taken := owners[name]; taken && origin(owner) != origin(list[i]) {
					t.Fatalf("%+v and %+v are both called %q", owner, list[i], name)
				}
				owners[name] = list[i]
			}
		}
	})
}

func TestPatterns(t *testing.T) {
	d := Device{Follow: [][]string{{"n/d/*"}, {"*/x"}}}
	for series, want := range map[host.Series]int{
		{Node: "n", Device: "d", Metric: "x"}: 0, {Node: "m", Metric: "x"}: 1, {Node: "m", Metric: "y"}: -1, {Node: "m", Live: true}: 0,
	} {
		if got := d.follows(series); got != want {
			t.Errorf("%+v: %d, expected %d", series, got, want)
		}
	}
}
