package backup

import (
	"bytes"
	"errors"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
)

var (
	header = Header{Created: 1_790_834_400_000_000, Schema: 14, Engine: "sqlite3", Program: "test"}
	tables = []Table{{Name: "empty", Columns: []string{"a"}}, {Name: "all", Columns: []string{"a", "b"}, Last: 17}}
	values = [][]any{{nil, int64(0)}, {int64(math.MinInt64), int64(math.MaxInt64)}, {1.5, math.Inf(-1)}, {math.Copysign(0, -1), math.MaxFloat64},
		{"", "Größe\x00\n"}, {[]byte{}, []byte{0, 255}}, {true, false}, {strings.Repeat("x", 2*rowsBytes), []byte("y")}}
)

func written(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, header)
	for _, table := range tables {
		if err == nil {
			err = w.Table(table)
		}
		for _, row := range values {
			if err == nil && table.Name == "all" {
				err = w.Row(row)
			}
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// read reads all of a backup.
func read(in io.Reader) (h Header, list []Table, rows [][]any, err error) {
	r, err := NewReader(in)
	if err != nil {
		return h, nil, nil, err
	}
	defer r.Close()
	for {
		table, err := r.Table()
		if err == io.EOF {
			return r.Header, list, rows, nil
		}
		if err != nil {
			return h, nil, nil, err
		}
		list = append(list, table)
		for {
			row, err := r.Row()
			if err == io.EOF {
				break
			}
			if err != nil {
				return h, nil, nil, err
			}
			rows = append(rows, row)
		}
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	file := written(t)
	h, list, rows, err := read(iotest.OneByteReader(bytes.NewReader(file)))
	if err != nil || h != header || !reflect.DeepEqual(list, tables) || !reflect.DeepEqual(rows, values) {
		t.Fatalf("%+v %+v %v, %v", h, list, rows, err)
	}
	r, err := NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var told []Rows
	if err := r.Verify(func(n Rows) { told = append(told, n) }); err != nil || !reflect.DeepEqual(told, []Rows{{"empty", 0}, {"all", 8}}) {
		t.Errorf("%+v, %v", told, err)
	}
}

func TestADamagedBackupIsKnown(t *testing.T) {
	file := written(t)
	for n := range file {
		if _, _, _, err := read(bytes.NewReader(file[:n])); !errors.Is(err, ErrDamaged) {
			t.Fatalf("the first %d of %d bytes: %v", n, len(file), err)
		}
		broken := bytes.Clone(file)
		broken[n] ^= 0x10
		if _, _, rows, err := read(bytes.NewReader(broken)); err != nil && !errors.Is(err, ErrDamaged) || err == nil && !reflect.DeepEqual(rows, values) {
			t.Fatalf("byte %d of %d is another: %v", n, len(file), err)
		}
	}
	if _, _, _, err := read(io.MultiReader(bytes.NewReader(file), bytes.NewReader(file))); !errors.Is(err, ErrDamaged) {
		t.Errorf("twice: %v", err)
	}
	// What is compressed anew has sums of zstd that are right.
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	plain, err := z.DecodeAll(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{len(Magic) + 30, len(plain) / 2, len(plain) - 100} {
		broken := bytes.Clone(plain)
		broken[n] ^= 1
		if _, _, _, err := read(bytes.NewReader(compressed(t, broken))); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d of %d inside is another: %v", n, len(plain), err)
		}
	}
	newer := bytes.Replace(plain, []byte(Magic), []byte("busbar-backup 2\n"), 1)
	if _, _, _, err := read(bytes.NewReader(compressed(t, newer))); err == nil || !strings.Contains(err.Error(), "newer Busbar") {
		t.Errorf("of a newer format: %v", err)
	}
	gone := errors.New("the disk is gone")
	if _, _, _, err := read(io.MultiReader(bytes.NewReader(file[:len(file)/2]), iotest.ErrReader(gone))); !errors.Is(err, gone) || errors.Is(err, ErrDamaged) {
		t.Errorf("of a file that can't be read: %v", err)
	}
}

func compressed(t testing.TB, plain []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	return z.EncodeAll(plain, nil)
}

func TestARowIsOneOfItsTable(t *testing.T) {
	w, err := NewWriter(io.Discard, header)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Row([]any{int64(1)}); err == nil {
		t.Error("without a table")
	}
	if err := w.Table(tables[1]); err != nil {
		t.Fatal(err)
	}
	if err := w.Row([]any{int64(1)}); err == nil {
		t.Error("with too few values")
	}
	if err := w.Row([]any{int64(1), 2}); err == nil {
		t.Error("with a value that can't be kept")
	}
}

// Whatever a file holds, reading it ends, with an error or with what it says.
func FuzzReader(f *testing.F) {
	z, err := zstd.NewReader(nil)
	if err != nil {
		f.Fatal(err)
	}
	plain, err := z.DecodeAll(written(f), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add([]byte(Magic + "H\x02{}T\x1a" + `{"name":"a","columns":["b"]}` + "R\x02\x01\x02"))
	f.Fuzz(func(t *testing.T, plain []byte) {
		_, _, _, err := read(bytes.NewReader(compressed(t, plain)))
		if err != nil && !errors.Is(err, ErrDamaged) && !strings.Contains(err.Error(), "newer Busbar") {
			t.Errorf("%v", err)
		}
	})
}
