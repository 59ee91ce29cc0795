package buffer

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/busbar/busbar/telemetry"
)

// version1 unpacks a directory that format version 1 wrote: two starts, of which
// the first had 3 of 5 blocks and 1 of 3 events released, the second none of 3 and 3.
func version1(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Open("testdata/version1.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for archive := tar.NewReader(unzipped); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.FileInfo().IsDir() {
			err = os.MkdirAll(path, 0o700)
		} else {
			var content []byte
			if content, err = io.ReadAll(archive); err == nil {
				err = os.WriteFile(path, content, 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func list(entries []Entry) (out []string) {
	for _, e := range entries {
		out = append(out, fmt.Sprintf("%d %s %d-%d", e.Position, e.Record.Epoch, e.Record.First, e.Record.Last))
	}
	return out
}

func versionOf(t *testing.T, path string) (v byte) {
	t.Helper()
	f, err := openFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.end(nil)
	f.View(func(tx *bolt.Tx) error {
		v = tx.Bucket(bucketFormat).Get(keyVersion)[0]
		return nil
	})
	return v
}

func TestVersion1IsReadAndDrained(t *testing.T) {
	const first, second = "18e4927f43a974d1", "8b7409d26417ee89"
	dir := version1(t)
	b := open(t, dir, 0)
	defer func() { b.Close() }()
	if b.Starts() != 3 {
		t.Errorf("start %d, want the 3rd", b.Starts())
	}
	want := []telemetry.Committed{
		{Epoch: first, Stream: "events", Count: 3}, {Epoch: second, Stream: "events", Count: 3},
		{Epoch: first, Stream: "telemetry", Count: 3000}, {Epoch: second, Stream: "telemetry", Count: 1800},
	}
	if got := b.Earlier(); !slices.Equal(got, want) {
		t.Errorf("earlier %v, want %v", got, want)
	}
	if got := string(b.Events.State()); got != "rules state 2" {
		t.Errorf("state %q", got)
	}
	signals := b.Table().Signals()
	if len(signals) != 6 || signals[4].Name != "s4" || signals[4].Kind != telemetry.Counter || signals[4].ID != 5 {
		t.Errorf("signals %+v", signals)
	}
	commit(t, b.Telemetry, 99)
	blocks := readAll(t, b.Telemetry, 0)
	wantBlocks := []string{
		"4 " + first + " 1800-2399", "5 " + first + " 2400-2999",
		"6 " + second + " 0-599", "7 " + second + " 600-1199", "8 " + second + " 1200-1799",
		"9 " + b.Epoch().String() + " 0-0",
	}
	if got := list(blocks); !slices.Equal(got, wantBlocks) {
		t.Errorf("telemetry %q\nwant %q", got, wantBlocks)
	}
	var decoder telemetry.Decoder
	for _, e := range blocks[:5] {
		if _, samples, err := decoder.Block(e.Record.Payload, nil); err != nil || len(samples) != 600 {
			t.Errorf("block at %d: %d samples, %v", e.Position, len(samples), err)
		}
	}
	wantEvents := []string{"2 " + first + " 1-1", "3 " + first + " 2-2", "4 " + second + " 0-0", "5 " + second + " 1-1", "6 " + second + " 2-2"}
	if got := list(readAll(t, b.Events, 0)); !slices.Equal(got, wantEvents) {
		t.Errorf("events %q\nwant %q", got, wantEvents)
	}
	if losses := append(missing(t, b.Telemetry), missing(t, b.Events)...); len(losses) > 0 {
		t.Errorf("losses %+v", losses)
	}

	// It is thinned and acknowledged like any other, and what is new is version 2.
	b.declare = func([]telemetry.Loss) error { return nil }
	if err := b.thin(t.Context(), b.Telemetry.segments[0]); err != nil {
		t.Errorf("thin: %v", err)
	}
	if err := b.Telemetry.Acknowledge(6, 7); err != nil {
		t.Fatal(err)
	}
	newest := b.Telemetry.current().path
	b.Close()
	for _, path := range []string{filepath.Join(dir, metaName), newest} {
		if v := versionOf(t, path); v != formatVersion {
			t.Errorf("%s has version %d", path, v)
		}
	}
	b = open(t, dir, 0)
	if got, want := list(readAll(t, b.Telemetry, 0)), slices.Delete(wantBlocks, 2, 4); !slices.Equal(got, want) {
		t.Errorf("after a restart %q, want %q", got, want)
	}
	if err := b.Telemetry.Acknowledge(1, Newest); err != nil {
		t.Fatal(err)
	}
	if err := b.Events.Acknowledge(1, Newest); err != nil {
		t.Fatal(err)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*", "*.db")); len(files) != 2 {
		t.Errorf("files left: %v", files)
	}
	if got := string(b.Events.State()); got != "rules state 2" {
		t.Errorf("state %q", got)
	}
}

// Whichever file is of a newer version, the buffer isn't opened and stays as it is.
func TestNewerFormatIsRefusedAndLeftAlone(t *testing.T) {
	for _, which := range []string{"meta.db", "telemetry", "events"} {
		t.Run(which, func(t *testing.T) {
			dir := version1(t)
			b := open(t, dir, 0)
			commit(t, b.Telemetry, 1)
			b.Close()
			path := filepath.Join(dir, which)
			if which != "meta.db" {
				files, _ := filepath.Glob(filepath.Join(path, "*.db"))
				path = files[0]
			}
			f, err := openForWriting(path, metaAllocation)
			if err != nil {
				t.Fatal(err)
			}
			err = f.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucketFormat).Put(keyVersion, []byte{formatVersion + 1}) })
			if err != nil {
				t.Fatal(err)
			}
			f.end(nil)
			before := contents(t, filepath.Dir(path))
			_, err = Open(Options{Dir: dir, Gateway: "gw", Log: quiet})
			if err == nil || !strings.Contains(err.Error(), "format version 3, this program knows up to 2") || !strings.Contains(err.Error(), filepath.Base(path)) {
				t.Errorf("open: %v", err)
			}
			if after := contents(t, filepath.Dir(path)); !slices.Equal(before, after) {
				t.Error("the files were changed")
			}
		})
	}
}

// contents are the names and bytes of the segments and of meta.db in dir.
func contents(t *testing.T, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e.Name()+string(content))
	}
	return out
}
