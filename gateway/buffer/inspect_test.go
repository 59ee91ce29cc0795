package buffer

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// measured commits blocks of real samples: record n has n%7+1 of signal d/n,
// every fifth so many that it gets a bucket of its own.
func measured(t tester, b *Buffer, records int) {
	t.Helper()
	ids, err := b.Table().Define([]Definition{
		{Signal: telemetry.Signal{Device: "feeder-1-head", Name: "PhV.phsA", Unit: "V"}},
		{Signal: telemetry.Signal{Device: "feeder-2-head", Name: "TotW", Unit: "W"}},
	})
	if err != nil {
		t.Fatalf("define: %v", err)
	}
	var encoder telemetry.Encoder
	for n := range records {
		count := n%7 + 1
		if n%5 == 0 {
			count = 900
		}
		var samples []telemetry.Sample
		for i := range count {
			samples = append(samples, telemetry.Sample{
				Time:   1_790_000_000_000_000 + telemetry.Micros(n*1_000_000+i),
				Signal: ids[n%2], Value: telemetry.FloatValue(math.Sqrt(float64(n*1000 + i))),
			})
		}
		block, err := encoder.AppendBlock(nil, b.Table().Ref(), samples)
		if err != nil {
			t.Fatalf("encode: %v", err)
		}
		if err := b.Telemetry.Commit([]Item{{record.FormatBlock, block, uint64(count)}}, nil); err != nil {
			t.Fatalf("commit: %v", err)
		}
	}
}

// entries is what a file's records are, as the inspection finds them.
func entriesOf(t *testing.T, path string) (list []Entry, c fileContents) {
	t.Helper()
	c, err := readFile(path, func(e Entry, _ found) {
		e.Record.Payload = bytes.Clone(e.Record.Payload)
		list = append(list, e)
	})
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return list, c
}

func lookAt(t *testing.T, path string) (files []File) {
	t.Helper()
	i, err := Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range i.Files {
		f, err := i.Look(path, true)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		files = append(files, f)
	}
	return files
}

func TestInspectionSeesWhatWasCommitted(t *testing.T) {
	for _, running := range []bool{false, true} {
		t.Run(fmt.Sprintf("running %v", running), func(t *testing.T) {
			dir := t.TempDir()
			b := open(t, dir, 64<<10)
			measured(t, b, 60)
			event, _ := json.Marshal(telemetry.Event{Kind: telemetry.AlarmRaised, Time: 5_000_000, Alarm: &telemetry.AlarmChange{Device: "feeder-1-head"}})
			if err := b.Events.Commit([]Item{{record.FormatEvent, event, 1}}, []byte("state")); err != nil {
				t.Fatal(err)
			}
			want := readAll(t, b.Telemetry, 0)
			if err := b.Telemetry.Acknowledge(1, 17); err != nil {
				t.Fatal(err)
			}
			b.mu.Lock()
			err := b.save()
			b.mu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			if running {
				defer b.Close()
			} else {
				b.Close()
			}
			var records, samples, acknowledged, expected uint64
			first := want[len(want)-1].Position // that is still there
			var states []FileState
			var signals []SignalCount
			for _, f := range lookAt(t, dir) {
				if len(f.Problems) > 0 {
					t.Errorf("%s: %v", f.Path, f.Problems)
				}
				states = append(states, f.State)
				if f.Format != formatVersion {
					t.Errorf("%s: format version %d", f.Path, f.Format)
				}
				if f.Stream == record.Events && (f.Records != 1 || f.From != 5_000_000 || f.To != 5_000_000) {
					t.Errorf("events: %+v", f)
				}
				if f.Stream == record.Telemetry {
					records, samples, acknowledged = records+f.Records, samples+f.Samples, acknowledged+f.Acknowledged
					signals = f.Signals
					first = min(first, f.First)
				}
			}
			want = want[first-1:]
			for _, e := range want {
				expected += e.Record.Count()
			}
			if records != uint64(len(want)) || samples != expected || acknowledged != uint64(17-first+1) {
				t.Errorf("%d records, %d samples, %d acknowledged; want %d, %d and %d", records, samples, acknowledged, len(want), expected, 17-first+1)
			}
			if len(signals) != 2 || signals[0].Device != "feeder-1-head" || signals[1].Name != "TotW" || signals[0].Samples == 0 {
				t.Errorf("signals %+v", signals)
			}
			if busy := slices.Contains(states, FileWritten); busy != running {
				t.Errorf("states %q with a gateway running: %v", states, running)
			}
		})
	}
}

// Whatever bytes are overwritten, every record that is still whole in the file
// is found, and no other.
func TestEveryRecordThatIsWholeIsFound(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	measured(t, b, 60)
	path := b.Telemetry.segments[0].path
	b.Close()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all, c := entriesOf(t, path)
	if len(all) != 60 || len(c.problems) > 0 {
		t.Fatalf("%d records, problems %v", len(all), c.problems)
	}
	forms := make([][]byte, len(all))
	for i, e := range all {
		if forms[i], err = e.Record.AppendBinary(nil); err != nil {
			t.Fatal(err)
		}
	}
	hurt := filepath.Join(t.TempDir(), filepath.Base(path))
	random := rand.New(rand.NewPCG(1, 2))
	check := func(what string, text []byte) {
		t.Helper()
		if err := os.WriteFile(hurt, text, 0o600); err != nil {
			t.Fatal(err)
		}
		got, c := entriesOf(t, hurt)
		found := map[record.Identity]Entry{}
		for _, e := range got {
			if _, twice := found[e.Record.Identity]; twice {
				t.Errorf("%s: %s came twice", what, e.Record.Identity)
			}
			found[e.Record.Identity] = e
		}
		for i, e := range all {
			f, ok := found[e.Record.Identity]
			if whole := bytes.Contains(text, forms[i]); ok != whole {
				t.Errorf("%s: record %d is whole: %v, found: %v", what, i+1, whole, ok)
			} else if ok && !bytes.Equal(f.Record.Payload, e.Record.Payload) {
				t.Errorf("%s: record %d is another one", what, i+1)
			}
		}
		if len(got) < len(all) && len(c.problems) == 0 {
			t.Errorf("%s: records are gone and nothing is damaged", what)
		}
	}
	for page := range len(good) / 4096 {
		for _, with := range []string{"zeros", "ones", "noise", "another page"} {
			text := bytes.Clone(good)
			target := text[page*4096:][:4096]
			switch with {
			case "zeros":
				clear(target)
			case "ones":
				copy(target, bytes.Repeat([]byte{0xff}, 4096))
			case "noise":
				for i := range target {
					target[i] = byte(random.Uint32())
				}
			case "another page":
				copy(target, good[(page+5)%(len(good)/4096)*4096:][:4096])
			}
			check(fmt.Sprintf("page %d is %s", page, with), text)
		}
	}
	// A head of a page that is gone costs no record behind it.
	for range 300 {
		text := bytes.Clone(good)
		at := random.IntN(len(good) - 64)
		if random.IntN(2) == 0 {
			at = at / 4096 * 4096
		}
		for i := range 1 + random.IntN(64) {
			text[at+i] = byte(random.Uint32())
		}
		check(fmt.Sprintf("%d and some bytes behind it are noise", at), text)
	}
	metas := bytes.Clone(good)
	clear(metas[:2*4096])
	check("no meta page", metas)
	for range 40 {
		cut := random.IntN(len(good))
		check(fmt.Sprintf("cut to %d bytes", cut), good[:cut])
	}
}

func TestInspectionNamesFileAndPlace(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	measured(t, b, 30)
	path := b.Telemetry.segments[0].path
	b.Close()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all, _ := entriesOf(t, path)
	form, _ := all[5].Record.AppendBinary(nil) // large, so there is one copy of it
	overwrite(t, path, int64(bytes.Index(text, form)+len(form)-10), 1, 0x55)
	for _, f := range lookAt(t, dir) {
		if f.Path != path {
			if len(f.Problems) > 0 {
				t.Errorf("%s: %v", f.Path, f.Problems)
			}
			continue
		}
		problems := fmt.Sprint(f.Problems)
		if f.Records != 29 || f.Lost != 1 || !strings.Contains(problems, "position 6") || !strings.Contains(problems, "CRC") || !strings.Contains(problems, "missing") {
			t.Errorf("%d records, %d lost: %s", f.Records, f.Lost, problems)
		}
	}
}

func TestANumberUsedTwiceIsDamage(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	measured(t, b, 3)
	path := b.Telemetry.segments[0].path
	b.Close()
	copied, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "telemetry", "q-00000000000000000009.db"), copied, 0o600); err != nil {
		t.Fatal(err)
	}
	var problems []Problem
	for _, f := range lookAt(t, dir) {
		problems = append(problems, f.Problems...)
	}
	if text := fmt.Sprint(problems); !strings.Contains(text, "another record has numbers of") || !strings.Contains(text, "begins at 9") {
		t.Errorf("problems %v", problems)
	}
}

func TestNothingToInspect(t *testing.T) {
	if _, err := Inspect(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("%v", err)
	}
	if _, err := Inspect(t.TempDir()); err == nil || !strings.Contains(err.Error(), "holds no buffer") {
		t.Errorf("%v", err)
	}
}

func FuzzPages(f *testing.F) {
	dir := f.TempDir()
	b := open(f, dir, 0)
	commit(f, b.Telemetry, 1, 2, 3, 4, 5)
	path := b.Telemetry.segments[0].path
	b.Close()
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	used, err := readPages(bytes.NewReader(good), int64(len(good)))
	if err != nil {
		f.Fatal(err)
	}
	good = good[:used.meta.high*4096]
	f.Add(good, uint32(0), uint64(0))
	for _, at := range []uint32{8, 10, 12, 16, 4096, 2*4096 + 8, 3*4096 + 10, 4*4096 + 12, 5*4096 + 20} {
		f.Add(good, at, uint64(math.MaxUint64))
	}
	f.Fuzz(func(t *testing.T, text []byte, at uint32, with uint64) {
		text = bytes.Clone(text)
		if len(text) >= 8 {
			binary.LittleEndian.PutUint64(text[int(at)%(len(text)-7):], with)
		}
		p, err := readPages(bytes.NewReader(text), int64(len(text)))
		var whole []record.Record
		r := tree{seen: map[stretch]*numberSet{}, bad: map[Position]bool{}, visit: func(e Entry, _ found) {
			whole = append(whole, e.Record)
		}}
		if err == nil {
			r.read(p)
		}
		r.salvage(p)
		for _, rec := range whole {
			form, err := rec.AppendBinary(nil)
			version1 := len(rec.Gateway) + len(rec.Stream) + len(rec.Format) + 1 + 3 + 24 // has no seal behind that
			if err != nil || !bytes.Contains(text, form) && !(bytes.Contains(text, form[1:version1]) && bytes.Contains(text, rec.Payload)) {
				t.Fatalf("record %s isn't in the file", rec.Identity)
			}
		}
	})
}

func TestAcknowledgedIsReadFromBothFormsOfAMark(t *testing.T) {
	long := func(numbers ...uint64) (b []byte) {
		for _, n := range numbers {
			b = binary.BigEndian.AppendUint64(b, n)
		}
		return b
	}
	for _, c := range []struct {
		mark []byte
		want []Position
	}{
		{long(3, 77, 9), []Position{1, 2, 3}},
		{long(2, 77, 9, 5, 6, 8, 8), []Position{1, 2, 5, 6, 8}},
		{long(3), nil},
	} {
		b := books{done: map[record.Stream][]interval{}}
		b.mark(element{leaf: leaf{key: []byte("telemetry"), value: c.mark}})
		var got []Position
		for p := Position(1); p < 10; p++ {
			if b.acknowledged(record.Telemetry, p) {
				got = append(got, p)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%x: %v, want %v", c.mark, got, c.want)
		}
	}
}
