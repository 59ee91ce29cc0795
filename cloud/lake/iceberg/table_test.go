package iceberg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/busbar/busbar/cloud/lake/object"
)

var definition = Definition{Fields: []Field{{ID: 1, Name: "time", Required: true, Type: "timestamptz"}}, Day: 1}

func directory(t *testing.T) (*object.Directory, string) {
	dir := filepath.Join(t.TempDir(), "table")
	d, err := object.OpenDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	return d, dir
}

func open(t *testing.T, s object.Store) *Table {
	t.Helper()
	table, err := Open(t.Context(), s, definition)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func (t *Table) mustAppend(of *testing.T, files ...DataFile) {
	of.Helper()
	if err := t.Append(of.Context(), files, map[string]string{}); err != nil {
		of.Fatal(err)
	}
}

func TestATableWithAFileMissingIsNotMadeAnew(t *testing.T) {
	d, dir := directory(t)
	table := open(t, d)
	for range 2 {
		table.mustAppend(t, DataFile{Path: d.URL("data/x/samples"), Day: 1, Records: 1, Bytes: 1})
		if err := table.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	hint := func() string {
		text, err := d.Get(t.Context(), hintName)
		return fmt.Sprint(string(text), err)
	}
	before := hint()
	if !strings.HasPrefix(before, "3") {
		t.Fatalf("the hint is %q", before)
	}
	for _, name := range []string{versionName(1), table.name(table.manifests[0].path)} { // the first is long gone by itself
		if err := d.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(t.Context(), d, definition); !errors.Is(err, object.ErrNotExist) {
		t.Errorf("a table without one of its manifests: %v", err)
	}
	if names, err := d.List(t.Context(), "metadata/v"); err != nil || len(names) != 3 || hint() != before {
		t.Errorf("%v, %v, hint %q", names, err, hint())
	}
	moved := dir + "-moved"
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	elsewhere, err := object.OpenDirectory(moved)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), elsewhere, definition); err == nil || !strings.Contains(err.Error(), "can't be moved") {
		t.Errorf("a table that was moved: %v", err)
	}
}

// keeping doesn't delete one file, once.
type keeping struct {
	object.Store
	name string
}

func (k *keeping) Delete(ctx context.Context, name string) error {
	if name == k.name {
		k.name = ""
		return errors.New("not now")
	}
	return k.Store.Delete(ctx, name)
}

func TestAWriterThatStoodStillForLongIsFenced(t *testing.T) {
	d, _ := directory(t)
	s := &keeping{d, versionName(5)}
	table := open(t, s)
	var stale *Table
	refused := 0
	for table.Version() < kept+7 {
		if table.Version() == 5 {
			stale = open(t, s)
		}
		table.mustAppend(t)
		if table.Tidy(t.Context()) != nil {
			refused++
		}
	}
	names, err := d.List(t.Context(), "metadata/v")
	if err != nil || refused != 1 {
		t.Fatalf("%v, %d deletions refused", err, refused)
	}
	for _, name := range names {
		if v := versionOf(name); v > 0 && v <= 7 {
			t.Errorf("%s is there", name)
		}
	}
	if err := stale.Append(t.Context(), nil, map[string]string{}); !errors.Is(err, ErrFenced) {
		t.Errorf("a writer of version 5, the table being at %d: %v", table.Version(), err)
	}
	if open(t, s).Version() != table.Version() {
		t.Error("the table isn't what it was")
	}
	if _, err := d.Get(t.Context(), versionName(6)); !errors.Is(err, object.ErrNotExist) {
		t.Errorf("version 6: %v", err)
	}
}

func TestCleanDeletesWhatIsLeftAndNothingElse(t *testing.T) {
	d, _ := directory(t)
	table := open(t, d)
	for range 3 {
		table.mustAppend(t, DataFile{Path: d.URL("data/time_day=2026-11-26/samples-0000000002-0123456789abcdef.parquet"), Day: 1, Records: 1, Bytes: 1})
	}
	left := []string{
		"data/time_day=2026-11-26/.busbar12_samples-0000000004-0123456789abcdef.parquet",
		"data/time_day=2026-11-26/samples-0000000004-0123456789abcdef.parquet",
		"metadata/.busbar1_v4.metadata.json",
		"metadata/.busbar2_version-hint.text",
		"metadata/.busbar3_state-0000000001-0123456789abcdef.json.gz",
		"metadata/snap-0000000003-0123456789abcdef.avro",
	}
	others := []string{
		"log-0000000001-abc.gz",
		"samples-0000000001-0123456789abcdef.parquet",
		"data/log-0000000001-abc.gz",
		"data/time_day=2026-11-26/log-0000000001-0123456789abcdef.gz",
		"data/time_day=2026-11-26/samples-0000000002-0123456789abcdef.parquet", // the table's
		"data/time_day=2026-11-26/samples-0000000005-0123456789abcdef.parquet", // of a commit to come
		"metadata/.busbar1_v5.metadata.json",
		"metadata/log-0000000001-abc.gz",
	}
	for _, name := range slices.Concat(left, others) {
		if err := d.Put(t.Context(), name, strings.NewReader("x"), 1); err != nil {
			t.Fatal(err)
		}
	}
	// A writer is deleting the oldest snapshot.
	if err := d.Delete(t.Context(), table.name(table.meta.Snapshots[0].ManifestList)); err != nil {
		t.Fatal(err)
	}
	deleted, err := Clean(t.Context(), d, definition, false)
	slices.Sort(deleted)
	var old []string // what only the deleted snapshot's list named
	for _, name := range deleted {
		if strings.HasPrefix(name, "metadata/manifest-0000000002-") {
			old = append(old, name)
		}
	}
	if want := slices.Sorted(slices.Values(slices.Concat(left, old))); err != nil || !slices.Equal(deleted, want) || len(old) != 1 {
		t.Errorf("deleted %q, %v; want %q", deleted, err, want)
	}
	for _, name := range others {
		if _, err := d.Get(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
}
