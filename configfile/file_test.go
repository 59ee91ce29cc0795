package configfile

import "testing"

const stationYAML = `id: a
rank: 300
points:
  - name: x
    address: 1
  - {name: y, adress: 2}
  - name: z
with:
  "a.b": 5
`

// What a check says about a value that could not be decoded is not repeated,
// and what it says about others is listed with the rest, in order.
func TestErrorfJoinsTheStructuralErrors(t *testing.T) {
	var s station
	f, err := Decode("s.yaml", []byte(stationYAML), &s)
	if err == nil {
		t.Fatal("300 fits an int8")
	}
	f.Errorf("points[2].address", "missing")
	f.Errorf(`with["a.b"]`, "odd")
	f.Errorf("rank", "0 is no rank")
	f.Errorf("rank.of.nothing", "not at all")
	f.Errorf("points[1].address", "missing")
	f.Errorf("points[0].address", "1 is taken")
	f.Errorf("points[0]", "bad %s", "point")
	f.Errorf("points[17].name", "where?")
	f.Errorf("room", "no room")
	f.Errorf("", "bad file")
	const want = `s.yaml:1:1: room: no room
    id: a
    ^
s.yaml:1:1: bad file
    id: a
    ^
s.yaml:2:7: rank: 300 is out of range, expected a whole number from -128 to 127
    rank: 300
          ^
s.yaml:3:1: points[17].name: where?
    points:
    ^
s.yaml:4:5: points[0]: bad point
      - name: x
        ^
s.yaml:5:14: points[0].address: 1 is taken
        address: 1
                 ^
s.yaml:6:15: points[1].adress: unknown key "adress", did you mean "address"?
      - {name: y, adress: 2}
                  ^
s.yaml:7:5: points[2].address: missing
      - name: z
        ^
s.yaml:9:10: with["a.b"]: odd
      "a.b": 5
             ^`
	if got := f.Err().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for path, want := range map[string]bool{"rank": true, "points": true, "points[1]": true, "points[1].adress": true, "point": false, "points[0]": false, "points[2].name": false, "": true} {
		if got := f.Broken(path); got != want {
			t.Errorf("Broken(%q) = %t", path, got)
		}
	}
}

func TestAFileThatIsNotYAMLHasOneErrorOnly(t *testing.T) {
	var s station
	f, _ := Decode("s.yaml", []byte("id: [\n"), &s)
	f.Errorf("id", "missing")
	if got := len(f.Err().(Errors)); got != 1 {
		t.Errorf("%d errors: %v", got, f.Err())
	}
}

func TestNoError(t *testing.T) {
	var s station
	f, err := Decode("s.yaml", []byte("id: a"), &s)
	if err != nil || f.Err() != nil {
		t.Errorf("%v, %v", err, f.Err())
	}
	if !f.Has("id") || f.Has("rank") {
		t.Error("Has is wrong about what the file gives")
	}
}

func TestAPanicOfTheLibraryIsAnError(t *testing.T) {
	if _, err := guarded(func() (int, error) { panic("nil pointer") }); err == nil {
		t.Error("no error")
	}
}

func TestParent(t *testing.T) {
	for path, want := range map[string]string{
		"": "", "a": "", "a.b": "a", "a[3]": "a", "a[3].b": "a[3]", `a["b.c"]`: "a", `a["b[\"]"].c`: `a["b[\"]"]`, `["x"]`: "",
	} {
		if got := parent(path); got != want {
			t.Errorf("parent(%s) = %s, want %s", path, got, want)
		}
	}
}

func TestErrorfIn(t *testing.T) {
	var s station
	f, err := Decode("s.yaml", []byte("id: öl > x\nkey: 'a && b'\npoints:\n- name: >-\n    a\n    b\n- name: \"\\u0041b\"\n"), &s)
	if err != nil {
		t.Fatal(err)
	}
	f.ErrorfIn("id", 6, "what is x?")
	f.ErrorfIn("key", 3, "no &&")
	f.ErrorfIn("points[0].name", 3, "no b")
	f.ErrorfIn("points[1].name", 2, "no b")
	f.ErrorfIn("room", 2, "no room")
	const want = `s.yaml:1:1: room: no room
    id: öl > x
    ^
s.yaml:1:10: id: what is x?
    id: öl > x
             ^
s.yaml:2:9: key: no &&
    key: 'a && b'
            ^
s.yaml:4:9: points[0].name: character 3: no b
    - name: >-
            ^
s.yaml:7:9: points[1].name: character 2: no b
    - name: "\u0041b"
            ^`
	if got := f.Err().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
