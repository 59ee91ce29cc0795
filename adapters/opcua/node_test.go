package opcua

import (
	"strings"
	"testing"
)

func TestParseNode(t *testing.T) {
	for text, want := range map[string]string{
		"i=85":                                   "i=85",
		"ns=0;i=85":                              "i=85",
		"ns=2;i=4294967295":                      "ns=2;i=4294967295",
		"ns=65535;s=a;b=c%3B":                    "ns=65535;s=a;b=c%3B",
		"nsu=urn:example;s=T1.TopOil":            "nsu=urn:example;s=T1.TopOil",
		"nsu=urn:a%3Bb%25;i=1":                   "nsu=urn:a%3Bb%25;i=1",
		"nsu=urn:a%3bb;i=1":                      "nsu=urn:a%3Bb;i=1",
		"nsu=" + coreURI + ";i=85":               "i=85",
		"s=Größe":                                "s=Größe",
		"b=M/RbKBsRVkePCePcx24oRA==":             "b=M/RbKBsRVkePCePcx24oRA==",
		"g=72962b91-fa75-4ae6-8d28-b404dc7daf63": "g=72962B91-FA75-4AE6-8D28-B404DC7DAF63",
	} {
		n, err := ParseNode(text)
		if err != nil || n.String() != want {
			t.Errorf("%s: %s, %v, expected %s", text, n, err, want)
			continue
		}
		id, err := n.on([]string{coreURI, "urn:own", "urn:example", "urn:a;b%", "urn:a;b"})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		back := nodeOf(id, []string{coreURI, "urn:own", "urn:example", "urn:a;b%", "urn:a;b"})
		if strings.HasPrefix(want, "nsu=") && back != n {
			t.Errorf("%s comes back as %s", text, back)
		}
	}
	for _, text := range []string{
		"", "85", "i=", "i=-1", "i=+1", "i=01", "i=4294967296", "i=1 ", "ns=65536;i=1", "ns=2i=1", "ns=;i=1", "nsu=;i=1", "nsu=urn:a", "nsu=a%41;i=1",
		"s=", "g=72962B91", "g=72962B91-FA75-4AE6-8D28-B404DC7DAF6G", "b=", "b=@", "b=QQ", "b=QR==", "x=1", "ii=1", "svr=1;i=1", "s=\xff", "s=" + strings.Repeat("a", longestNode),
	} {
		if n, err := ParseNode(text); err == nil {
			t.Errorf("%q is %s, expected an error", text, n)
		}
	}
	n, _ := ParseNode("nsu=urn:gone;i=1")
	if id, err := n.on([]string{coreURI}); err == nil {
		t.Errorf("%v", id)
	}
}

func FuzzParseNode(f *testing.F) {
	for _, text := range []string{"i=85", "ns=2;s=a", "nsu=urn:a%3B;g=72962B91-FA75-4AE6-8D28-B404DC7DAF63", "b=QQ=="} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseNode(text)
		if err != nil {
			return
		}
		again, err := ParseNode(n.String())
		if err != nil || again != n {
			t.Fatalf("%q is %s, and that is %s, %v", text, n, again, err)
		}
		namespaces := []string{coreURI}
		if n.uri != "" {
			namespaces = append(namespaces, n.uri)
		}
		id, err := n.on(namespaces)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if back := nodeOf(id, namespaces); back != n {
			t.Fatalf("%q is %s, and comes back as %s", text, n, back)
		}
	})
}

func TestElements(t *testing.T) {
	for text, want := range map[string]int{"": 0, "[0]": 1, "[65535]": 1, "[1][2]": 2, "A": 1, "A.B": 2, "A[1].B": 3, "[1].B": 2, "Größe.x y": 2} {
		if steps, err := Element(text).steps(); err != nil || len(steps) != want {
			t.Errorf("%q: %v, %v", text, steps, err)
		}
	}
	for _, text := range []string{"[", "[]", "[a]", "[-1]", "[01]", "[65536]", "[1]a", "a.", ".a", "a..b", "a]", "a.[1]", strings.Repeat("[1]", deepest+1), strings.Repeat("a", longestElement+1)} {
		if steps, err := Element(text).steps(); err == nil {
			t.Errorf("%q: %v, expected an error", text, steps)
		}
	}
}

func FuzzElement(f *testing.F) {
	f.Add("A[1].B")
	f.Fuzz(func(t *testing.T, text string) {
		steps, err := Element(text).steps()
		if err != nil {
			return
		}
		var e Element
		for _, s := range steps {
			if s.name == "" {
				e = e.at(s.index)
			} else {
				e = e.member(s.name)
			}
		}
		if string(e) != text {
			t.Fatalf("%q is %v, and that is %q", text, steps, e)
		}
	})
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"", "A.B", true}, {"**", "A", true}, {"**", "A.B.C", true}, {"*", "A", true}, {"*", "A.B", false}, {"A.*", "A.B", true}, {"A.*", "A", false},
		{"**.Temp", "Temp", true}, {"**.Temp", "A.B.Temp", true}, {"**.Temp", "A.Temp.B", false}, {"**.Temp.**", "A.Temp.B", true}, {"**.Temp.**", "A.Temp", true},
		{"A.**.C", "A.C", true}, {"A.**.C", "A.B.B.C", true}, {"Te*p?", "Temp1", true}, {"Te*p?", "Temp", false}, {"**.*.**", "A", true},
	} {
		if err := CheckPattern(c.pattern); c.pattern != "" && err != nil {
			t.Error(err)
		}
		if got := Pattern(c.pattern).matches(strings.Split(c.path, ".")); got != c.want {
			t.Errorf("%s matches %s: %v", c.pattern, c.path, got)
		}
	}
	for _, text := range []string{".", "a.", "a**", "[", strings.Repeat("a.", 100) + "a", strings.Repeat("a", longestPattern+1)} {
		if CheckPattern(text) == nil {
			t.Errorf("%q, expected an error", text)
		}
	}
}
