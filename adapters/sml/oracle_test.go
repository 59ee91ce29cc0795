package sml

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/busbar/busbar/adapters/obis"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/peer"
)

// smllib finds the same registers in the same stream.
func TestAsSmllib(t *testing.T) {
	t.Parallel()
	python := cmp.Or(os.Getenv("BUSBAR_PYTHON"), "python3")
	if out, err := exec.Command(python, "-c", "import smllib").CombinedOutput(); err != nil {
		peer.Missing(t, "%s has no smllib: make peers-python\n%v %s", python, err, out)
	}
	stream := slices.Concat([]byte("noise"), framed(test()), framed(test()))
	c := exec.Command(python, "testdata/oracle.py")
	var out, wrong bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(stream), &out, &wrong
	if err := c.Run(); err != nil {
		t.Fatalf("%v: %s", err, wrong.String())
	}
	var files [][]struct {
		Code   string
		Value  any
		Unit   *uint8
		Scaler *int
	}
	if err := json.Unmarshal(out.Bytes(), &files); err != nil {
		t.Fatal(err)
	}
	var s Splitter
	n := 0
	s.Write(stream, func(file []byte, err error) {
		if err != nil || n >= len(files) {
			t.Fatal(n, err)
		}
		ours, err := Parse(nil, file)
		if err != nil {
			t.Fatal(err)
		}
		compared := 0
		for _, theirs := range files[n] {
			code, err := obis.ParseCode([]byte(theirs.Code))
			if err != nil {
				t.Error(err)
			}
			at := slices.IndexFunc(ours, func(r obis.Register) bool { return r.Code == code })
			want, isNumber := theirs.Value.(float64)
			if !isNumber {
				if theirs.Value != nil && at < 0 {
					t.Errorf("%s: theirs is %v", theirs.Code, theirs.Value)
				}
				continue
			}
			if at < 0 || ours[at].Value.Kind() != telemetry.Float64 {
				t.Errorf("%s: theirs is %v", theirs.Code, want)
				continue
			}
			if theirs.Scaler != nil {
				want *= math.Pow10(*theirs.Scaler)
			}
			if v, _ := ours[at].Value.Float(); math.Abs(v-want) > 1e-9*math.Abs(want) || theirs.Unit != nil && ours[at].Unit != units[*theirs.Unit] {
				t.Errorf("%s: %v %s, theirs is %v of unit %v", theirs.Code, v, ours[at].Unit, want, theirs.Unit)
			}
			compared++
		}
		if compared != 8 {
			t.Errorf("%d numbers were compared", compared)
		}
		n++
	})
	if n != 2 || len(files) != 2 {
		t.Errorf("%d files, theirs are %d", n, len(files))
	}
}
