package web

import (
	"math"
	"os"
	"regexp"
	"strconv"
	"testing"
)

// Least contrasts of WCAG 2.2: 1.4.3 for text, 1.4.11 for what must be seen to
// use the page.
const (
	text   = 4.5
	object = 3
)

var contrasts = []struct {
	on    []string
	least float64
	what  []string
}{
	{[]string{"page", "surface", "raised", "hover"}, text, []string{"text", "muted", "abnormal"}},
	{[]string{"abnormal-page"}, text, []string{"text"}},
	{[]string{"abnormal-page"}, object, []string{"abnormal"}},
	{[]string{"action"}, text, []string{"on-action"}},
	{[]string{"text"}, text, []string{"page"}},
	{[]string{"page", "surface", "raised", "hover"}, object, []string{"control", "focus", "action",
		"critical-edge", "high-edge", "medium-edge", "low-edge"}},
	{[]string{"surface"}, object, []string{"trace-1", "trace-2", "trace-3", "trace-4"}},
	{[]string{"page", "surface", "raised", "hover"}, text, []string{"worked"}},
	{[]string{"worked"}, text, []string{"on-worked"}},
	{[]string{"critical"}, text, []string{"on-critical"}},
	{[]string{"high"}, text, []string{"on-high"}},
	{[]string{"medium"}, text, []string{"on-medium"}},
	{[]string{"low"}, text, []string{"on-low"}},
}

func TestContrast(t *testing.T) {
	css, err := os.ReadFile("src/styles/tokens.css")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`--([\w-]+): light-dark\(#([0-9a-f]{6}), #([0-9a-f]{6})\);`).FindAllStringSubmatch(string(css), -1)
	tested := map[string]bool{"line": true} // only decorates
	for theme, name := range []string{"light", "dark"} {
		tokens := map[string]float64{}
		for _, m := range found {
			tokens[m[1]] = luminance(t, m[2+theme])
		}
		for _, c := range contrasts {
			for _, on := range c.on {
				for _, what := range c.what {
					tested[on], tested[what] = true, true
					a, b := tokens[on], tokens[what]
					if a == 0 && b == 0 {
						t.Errorf("no token %s or %s", what, on)
					}
					if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < c.least {
						t.Errorf("%s: %s on %s has a contrast of %.2f, want %.1f", name, what, on, ratio, c.least)
					}
				}
			}
		}
		for token := range tokens {
			if !tested[token] {
				t.Errorf("no pair tests token %s", token)
			}
		}
	}
}

// luminance is WCAG's relative luminance of an sRGB colour in hexadecimal.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		v, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(v) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
