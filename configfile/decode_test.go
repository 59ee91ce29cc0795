package configfile

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

type point struct {
	Name    string   `yaml:"name,required"`
	Address *uint16  `yaml:"address"`
	Type    string   `yaml:"type"`
	Scale   *float64 `yaml:"scale"`
	On      bool     `yaml:"on"`
}

type limits struct {
	Timeout Duration `yaml:"timeout"`
	Room    Size     `yaml:"room"`
}

type station struct {
	ID      string              `yaml:"id,required"`
	Rank    int8                `yaml:"rank"`
	Points  []point             `yaml:"points"`
	With    map[string]Quantity `yaml:"with"`
	Key     Path                `yaml:"key"`
	Ratio   float32             `yaml:"ratio"`
	limits  `yaml:",inline"`
	private int
}

func (station) ExplainKey(key string) string {
	if key == "control" {
		return "this version has no control"
	}
	return ""
}

func (p *point) SetDefaults() { p.Type = "plain" }

func ptr[T any](v T) *T { return &v }

func TestDecode(t *testing.T) {
	const src = "\ufeff# a station\r\n" + `---
id: north          # the name
rank: -0x10
ratio: 1e-3
timeout: 1m30s
room: 64MiB
key: 'keys/a.pem'
points:
- {name: "PhV.phsA", address: 0x48, scale: 1000, on: true}
- name: >-
    Tot
    W
  address:
  type: "012"
-
  name: ünit
  scale: -.5
with: {reference_voltage: 230 V, "odd.key": 5}
`
	got := station{Rank: 3, limits: limits{Room: GiB}}
	file, err := Decode("etc/station.yaml", []byte(src), &got)
	if err != nil {
		t.Fatal(err)
	}
	want := station{
		ID: "north", Rank: -16, Ratio: 1e-3, Key: "keys/a.pem",
		limits: limits{Timeout: Duration(90 * time.Second), Room: 64 * MiB},
		Points: []point{
			{Name: "PhV.phsA", Address: ptr(uint16(72)), Scale: ptr(1000.0), On: true, Type: "plain"},
			{Name: "Tot W", Type: "012"},
			{Name: "ünit", Scale: ptr(-.5), Type: "plain"},
		},
		With: map[string]Quantity{"reference_voltage": {230, "V"}, "odd.key": {5, ""}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if p := got.Key.In(file.Dir()); p != "etc/keys/a.pem" {
		t.Errorf("key is %s", p)
	}
	if p := Path("/etc/a.pem").In("etc"); p != "/etc/a.pem" {
		t.Errorf("an absolute path became %s", p)
	}
}

// Each case is a file and the whole text of its error.
func TestErrors(t *testing.T) {
	for name, c := range map[string]struct{ src, want string }{
		"every error at once": {`rank: 300
ponts: []
control: on
points:
  - {name: a, address: 65536, typ: x}
  - address: abc
    on: yes
    scale: 012
  - [1]
  -
timeout: 5
room: 4GB
`, `s.yaml:1:1: id: the key is missing, expected a value
    rank: 300
    ^
s.yaml:1:7: rank: 300 is out of range, expected a whole number from -128 to 127
    rank: 300
          ^
s.yaml:2:1: ponts: unknown key "ponts", did you mean "points"?
    ponts: []
    ^
s.yaml:3:1: control: this version has no control
    control: on
    ^
s.yaml:5:24: points[0].address: 65536 is out of range, expected a whole number from 0 to 65535
      - {name: a, address: 65536, typ: x}
                           ^
s.yaml:5:31: points[0].typ: unknown key "typ", did you mean "type"?
      - {name: a, address: 65536, typ: x}
                                  ^
s.yaml:6:5: points[1].name: the key is missing, expected a value
      - address: abc
        ^
s.yaml:6:14: points[1].address: the text "abc", expected a whole number from 0 to 65535
      - address: abc
                 ^
s.yaml:7:9: points[1].on: yes is not a boolean here, expected true or false
        on: yes
            ^
s.yaml:8:12: points[1].scale: 012 begins with a zero, which some readers take for octal; expected a number, in decimal or as 0x hex
        scale: 012
               ^
s.yaml:9:5: points[2]: a list, expected a mapping of "key: value"
      - [1]
        ^
s.yaml:10:3: points[3]: the list entry is empty, expected a value
      -
      ^
s.yaml:11:10: timeout: "5" is no duration; write it like 250ms, 1s or 1h30m
    timeout: 5
             ^
s.yaml:12:7: room: "4GB" is no size; write it like 512KiB, 64MiB or 4GiB
    room: 4GB
          ^`},
		"empty": {"", `s.yaml:1:1: id: the key is missing, expected a value`},
		"only a comment": {"# nothing\n", `s.yaml:1:1: id: the key is missing, expected a value
    # nothing
    ^`},
		"null is absent": {"id: ~\nrank:\n", `s.yaml:1:1: id: the key is missing, expected a value
    id: ~
    ^`},
		"not a mapping": {"- id: a\n", `s.yaml:1:1: a list, expected a mapping of "key: value"
    - id: a
    ^`},
		"duplicate key": {"id: a\nrank: 1\nid: b\n", `s.yaml:3:1: id: the key is given twice, first in line 1, expected it once
    id: b
    ^`},
		"a key of the wrong letters isn't missing too": {"di: a", `s.yaml:1:1: di: unknown key "di", did you mean "id"?
    di: a
    ^`},
		"far from every key": {"id: a\nwatermelon: 1", `s.yaml:2:1: watermelon: unknown key "watermelon", expected one of id, rank, points, with, key, ratio, timeout, room
    watermelon: 1
    ^`},
		"text that reads as something else": {"id: 12\npoints: [{name: true}, {name: 0x1F}, {name: 1e3}]", `s.yaml:1:5: id: the number 12, expected text; write "12"
    id: 12
        ^
s.yaml:2:17: points[0].name: the boolean true, expected text; write "true"
    points: [{name: true}, {name: 0x1F}, {name: 1e3}]
                    ^
s.yaml:2:31: points[1].name: the number 0x1F, expected text; write "0x1F"
    points: [{name: true}, {name: 0x1F}, {name: 1e3}]
                                  ^
s.yaml:2:45: points[2].name: the number 1e3, expected text; write "1e3"
    points: [{name: true}, {name: 0x1F}, {name: 1e3}]
                                                ^`},
		"numbers": {`id: a
rank: "5"
ratio: .inf
points:
  - {name: a, address: 1.0}
  - {name: b, address: 010}
  - {name: c, address: -1}
  - {name: d, address: 1_000}
  - {name: e, address: 0o17}
  - {name: f, scale: 1e999}
  - {name: g, on: "true"}
with: {v: 0230, w: 5 5 5, x: V}
`, `s.yaml:2:7: rank: the text "5", expected a whole number from -128 to 127 without quotes
    rank: "5"
          ^
s.yaml:3:8: ratio: the text ".inf", expected a number
    ratio: .inf
           ^
s.yaml:5:24: points[0].address: the number 1.0, expected a whole number from 0 to 65535
      - {name: a, address: 1.0}
                           ^
s.yaml:6:24: points[1].address: 010 begins with a zero, which some readers take for octal; expected a whole number from 0 to 65535, in decimal or as 0x hex
      - {name: b, address: 010}
                           ^
s.yaml:7:24: points[2].address: -1 is out of range, expected a whole number from 0 to 65535
      - {name: c, address: -1}
                           ^
s.yaml:8:24: points[3].address: the number 1_000, expected a whole number from 0 to 65535
      - {name: d, address: 1_000}
                           ^
s.yaml:9:24: points[4].address: the number 0o17, expected a whole number from 0 to 65535
      - {name: e, address: 0o17}
                           ^
s.yaml:10:22: points[5].scale: 1e999 is out of range, expected a number of at most ±1.7976931348623157e+308
      - {name: f, scale: 1e999}
                         ^
s.yaml:11:19: points[6].on: the text "true", expected true or false
      - {name: g, on: "true"}
                      ^
s.yaml:12:11: with.v: 0230 begins with a zero, which some readers take for octal; expected a value without it, in decimal or as 0x hex
    with: {v: 0230, w: 5 5 5, x: V}
              ^
s.yaml:12:30: with.x: "V" is no quantity; write a number and its unit, like 230 V
    with: {v: 0230, w: 5 5 5, x: V}
                                 ^`},
		"second document": {"id: a\n---\nid: b\n", `s.yaml:2:1: a second document begins here, expected one document in a file
    ---
    ^`},
		"what is not read": {"id: &x a\nkey: *x\nwith:\n  <<: *x\npoints:\n  - name: !on\n", `s.yaml:1:5: "&" begins a YAML anchor or alias, which is not supported; write the value out, or put text in quotes
    id: &x a
        ^
s.yaml:2:6: "*" begins a YAML anchor or alias, which is not supported; write the value out, or put text in quotes
    key: *x
         ^
s.yaml:4:3: "<<" is a YAML merge key, which is not supported; write the keys out
      <<: *x
      ^
s.yaml:4:7: "*" begins a YAML anchor or alias, which is not supported; write the value out, or put text in quotes
      <<: *x
          ^
s.yaml:6:11: "!" begins a YAML tag, which is not supported; if it begins text, put the text in quotes
      - name: !on
              ^`},
		"a tag at the end": {"id: a\nkey: !", `s.yaml:2:6: "!" begins a YAML tag, which is not supported; if it begins text, put the text in quotes
    key: !
         ^`},
		"tab": {"id: a\npoints:\n\t- name: b\n", `s.yaml:3:1: this is not YAML: a tab can't indent, expected spaces
     - name: b
    ^`},
		"open bracket": {"id: a\npoints: [\nrank: 1\n", `s.yaml:2:9: this is not YAML: the list that begins here isn't closed, expected "]"
    points: [
            ^`},
		"line without colon": {"id: a\nrank\nkey: b\n", `s.yaml:2:1: this is not YAML: expected "key: value"
    rank
    ^`},
		"colon in text": {"id: a: b\n", `s.yaml:1:5: this is not YAML: a second ": " in one value; put the text in quotes
    id: a: b
        ^`},
		"not UTF-8": {"id: a\nkey: \xe4\n", "s.yaml:2:6: this is not UTF-8 text\n    key: �\n         ^"},
		"no space behind a colon": {"id: a\nwith: {a:5, b: [c:1]}\npoints: [{name:x}]\n", `s.yaml:2:9: ":" needs a space behind it to end a key; if it is part of a text, put the text in quotes
    with: {a:5, b: [c:1]}
            ^
s.yaml:3:15: ":" needs a space behind it to end a key; if it is part of a text, put the text in quotes
    points: [{name:x}]
                  ^`},
		"after wide text": {"id: öäü\npoints: [{name: 'ß', on: 7}]", `s.yaml:2:26: points[0].on: the number 7, expected true or false
    points: [{name: 'ß', on: 7}]
                             ^`},
	} {
		t.Run(name, func(t *testing.T) {
			var s station
			_, err := Decode("s.yaml", []byte(c.src), &s)
			if err == nil {
				t.Fatal("no error")
			}
			if err.Error() != c.want {
				t.Errorf("got\n%s\nwant\n%s", err, c.want)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	many := func(s string, n int) string { return strings.Repeat(s, n) }
	for name, c := range map[string]struct{ src, want string }{
		"bytes":                 {many("#", maxBytes+1), "bytes, expected at most"},
		"brackets":              {"key: " + many("[", 1<<16), "nested deeper than 64 levels"},
		"braces":                {"key: " + many("{a: ", 1<<16), "nested deeper than 64 levels"},
		"dashes":                {many("- ", 1<<16), "nested deeper than 64 levels"},
		"keys":                  {many("a: 1\n", 1<<14), "more than 1000 keys in one mapping"},
		"absent":                {many("- a:\n", 1<<14), "more than 1000 keys and list entries have no value"},
		"closing":               {many("]", 1<<16), `"]" closes nothing`},
		"bare keys":             {"with: {" + many("a, ", 1<<14) + "}", "more than 1000 keys and list entries have no value"},
		"absent in braces":      {"with: {" + many("a: , ", 1<<14) + "}", "more than 1000 keys and list entries have no value"},
		"absent in many braces": {"points: [" + many("{a: }, ", 1<<14) + "]", "more than 1000 keys and list entries have no value"},
		"quoted bare keys":      {"with: {" + many("'a', ", 1<<14) + "}", "more than 1000 keys and list entries have no value"},
		"a mistake before much": {"with: {" + many("[], ", 1<<15) + "}", "this is not YAML"},
		"tags":                  {"key: " + many("! ", 1<<16), "YAML tag"},
	} {
		t.Run(name, func(t *testing.T) {
			var s station
			_, err := Decode("s.yaml", []byte(c.src), &s)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestLongLists(t *testing.T) {
	var got struct {
		Plain  []uint16 `yaml:"plain"`
		Quoted []string `yaml:"quoted"`
		Block  []uint16 `yaml:"block"`
	}
	src := "plain: [" + strings.Repeat("1, ", 5000) + "1]\nquoted: [" + strings.Repeat("'a', ", 5000) + "]\nblock:\n" + strings.Repeat("- 1\n", 5000)
	if _, err := Decode("s.yaml", []byte(src), &got); err != nil || len(got.Plain) != 5001 || len(got.Quoted) != 5000 || len(got.Block) != 5000 {
		t.Errorf("%v, %d, %d, %d", err, len(got.Plain), len(got.Quoted), len(got.Block))
	}
}

// A large station has thousands of keys with a list below them, indented or not.
func TestManyListsBelowTheirKeys(t *testing.T) {
	for _, list := range []string{"    points:\n      - {name: V}\n", "    points:\n    - name: V\n    - name: I\n", "    points:   # all\n\n\n        - name: V\n"} {
		var got struct {
			Devices []struct {
				Name   string `yaml:"name"`
				Points []struct {
					Name string `yaml:"name"`
				} `yaml:"points"`
			} `yaml:"devices"`
		}
		const many = 2 * maxAbsent
		src := "devices:\n" + strings.Repeat("  - name: a\n"+list, many)
		if _, err := Decode("s.yaml", []byte(src), &got); err != nil || len(got.Devices) != many || got.Devices[many-1].Points[0].Name != "V" {
			t.Errorf("%d devices with\n%s%v", len(got.Devices), list, err)
		}
	}
}

func TestAddressesInFlowStyle(t *testing.T) {
	for _, src := range []string{
		"in: {hosts: [localhost:9092, 10.0.0.1:502, h:x:1, tcp://h:1, '[::1]:1', \"a:b\"]}",
		"{in: {hosts: [ localhost:9092 , 10.0.0.1:502, h:x:1,\n tcp://h:1 , '[::1]:1', a:b ] } }",
		"in:\n  hosts: [localhost:9092, 10.0.0.1:502, h:x:1, tcp://h:1, '[::1]:1', a:b]",
		"in:\n  hosts:\n  - localhost:9092\n  - 10.0.0.1:502\n  - h:x:1\n  - tcp://h:1\n  - '[::1]:1'\n  - a:b",
	} {
		var got struct {
			In struct {
				Hosts []string `yaml:"hosts"`
			} `yaml:"in"`
		}
		_, err := Decode("s.yaml", []byte(src), &got)
		want := []string{"localhost:9092", "10.0.0.1:502", "h:x:1", "tcp://h:1", "[::1]:1", "a:b"}
		if err != nil || !reflect.DeepEqual(got.In.Hosts, want) {
			t.Errorf("%s\n%v\n%q", src, err, got.In.Hosts)
		}
	}
}
