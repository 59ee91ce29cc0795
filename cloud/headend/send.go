package headend

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Import sends the rows of a file to the import topic, from which a Runner takes them.
type Import struct {
	Log     []kgo.Opt
	Topics  record.Topics
	Store   *store.Store // where it is seen what was taken
	HeadEnd HeadEnd
	File    string // its name, for messages
	From    io.Reader
	By      string
	Dry     bool // only read it
	// Refused gets each row that can't be taken.
	Refused func(*Refusal)
	// Progress is called now and then, with the line that was sent or taken last.
	Progress func(step string, line int)
}

// Sent says what stood in a file.
type Sent struct {
	ID            string // of the import
	Began         telemetry.Micros
	Reads, Events int
	Missing       int // reads of which there is none
	Refused       int
	Resumed       int // the line up to which an earlier try had been taken; these rows aren't counted
	Last          int // line
	First, Until  telemetry.Micros
}

// Unreadable is why no more of a file can be read, as what is in it is no table or list.
type Unreadable struct{ error }

func (u *Unreadable) Unwrap() error { return u.error }

// together is how many rows stand in a record.
const together = 500

// ID names an import by what is in a file and how that is read, so that one that was broken
// off is known again. What can't be read twice has a random one.
func (i Import) ID() (string, error) {
	file, is := i.From.(io.ReadSeeker)
	if f, ok := i.From.(*os.File); ok && is {
		if info, err := f.Stat(); err == nil && !info.Mode().IsRegular() {
			is = false
		}
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n%v\n", i.HeadEnd.ID, i.HeadEnd.Format)
	if !is {
		io.CopyN(sum, rand.Reader, 32)
	} else {
		if _, err := io.Copy(sum, file); err != nil {
			return "", err
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:8]), nil
}

// Send reads the file to its end. What it returns beside an error is what was sent before.
func (i Import) Send(ctx context.Context) (sent Sent, err error) {
	if sent.ID, err = i.ID(); err != nil {
		return sent, err
	}
	if i.Dry {
		return sent, i.read(ctx, &sent, func(Row) error { return nil })
	}
	run, begun, err := i.Store.ImportRunOf(ctx, sent.ID)
	if err != nil {
		return sent, err
	}
	sent.Began = telemetry.MicrosOf(time.Now())
	if begun && run.Over == 0 {
		sent.Resumed, sent.Began = int(run.Line), run.Began
	}
	client, err := kgo.NewClient(append(i.Log[:len(i.Log):len(i.Log)], kgo.ProducerBatchCompression(kgo.ZstdCompression()),
		kgo.MaxBufferedRecords(1000), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))...)
	if err != nil {
		return sent, fmt.Errorf("import: %w", err)
	}
	defer client.Close()
	asking, cancel := context.WithTimeout(ctx, 15*time.Second)
	err = kafkaconn.CheckAccess(asking, client, kafkaconn.Access{Write: []string{i.Topics.Import()}})
	cancel()
	if err != nil {
		return sent, fmt.Errorf("import: the log can't be written: %w", err)
	}
	w := writer{Import: i, client: client, id: sent.ID, began: sent.Began, begins: sent.Resumed == 0}
	err = i.read(ctx, &sent, func(row Row) error { return w.add(ctx, row) })
	if err == nil {
		err = w.send(ctx, sent.Last, true)
	}
	if flushed := client.Flush(ctx); err == nil {
		err = flushed
	}
	return sent, errors.Join(err, w.failed())
}

// read decodes the file from behind what was taken, and has each row taken.
func (i Import) read(ctx context.Context, sent *Sent, take func(Row) error) error {
	d := NewDecoder(i.From, i.HeadEnd.Format, telemetry.MicrosOf(time.Now()))
	for ctx.Err() == nil {
		row, err := d.Next()
		var refused *Refusal
		if err == io.EOF {
			return nil
		} else if err != nil && !errors.As(err, &refused) {
			return &Unreadable{fmt.Errorf("%s:%w", i.File, err)}
		}
		sent.Last = row.Place.Line
		if sent.Last <= sent.Resumed {
			continue
		}
		at := telemetry.Micros(0)
		switch {
		case refused != nil:
			sent.Refused++
			i.Refused(refused)
			continue
		case row.Read != nil:
			sent.Reads++
			at = row.Read.At
		case row.Event != nil:
			sent.Events++
			at = row.Event.At
		default:
			sent.Missing++
			continue
		}
		if sent.First == 0 || at < sent.First {
			sent.First = at
		}
		sent.Until = max(sent.Until, at)
		if err := take(row); err != nil {
			return err
		}
		i.Progress("read", row.Place.Line)
	}
	return ctx.Err()
}

// writer makes records of rows: tables of CSV, with the columns of Fields and of the line.
type writer struct {
	Import
	client *kgo.Client
	id     string
	began  telemetry.Micros
	begins bool
	rows   int
	table  bytes.Buffer
	csv    *csv.Writer

	mu  sync.Mutex
	err error
}

func (w *writer) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

var columns = []Field{Line, Meter, Point, Signal, Kind, Unit, Time, Interval, Number, Quality, Version, Code, Known, ID, Text}

func (w *writer) add(ctx context.Context, row Row) error {
	if w.csv == nil {
		w.csv = csv.NewWriter(&w.table)
		head := make([]string, len(columns))
		for i, field := range columns {
			head[i] = string(field)
		}
		w.csv.Write(head)
	}
	c := map[Field]string{Line: strconv.Itoa(row.Place.Line)}
	at := func(m telemetry.Micros) string { return m.Time().Format(time.RFC3339Nano) }
	if e := row.Event; e != nil {
		c[Meter], c[Point], c[Time], c[Code], c[Known], c[ID], c[Text] = e.Meter, e.Point, at(e.At), e.Code, string(e.Kind), e.Number, e.Words
	}
	if r := row.Read; r != nil {
		c[Meter], c[Point], c[Signal], c[Kind], c[Unit] = r.Meter, r.Point, r.Signal, string(r.Kind), r.Unit
		c[Time], c[Number], c[Quality], c[Version] = at(r.At), strconv.FormatFloat(r.Value, 'g', -1, 64), string(r.Status), strconv.FormatInt(r.Version, 10)
		if r.Interval != 0 {
			c[Time], c[Interval] = at(r.At+r.Interval), length(r.Interval).String()
		}
	}
	cells := make([]string, len(columns))
	for i, field := range columns {
		cells[i] = c[field]
	}
	w.csv.Write(cells)
	if w.rows++; w.rows < together {
		return nil
	}
	return w.send(ctx, row.Place.Line, false)
}

// send sends what has gathered. It waits while much is under way.
func (w *writer) send(ctx context.Context, line int, ends bool) error {
	if err := w.failed(); err != nil {
		return err
	}
	if w.csv != nil {
		w.csv.Flush()
	}
	r := &kgo.Record{Topic: w.Topics.Import(), Key: []byte(w.HeadEnd.ID), Value: bytes.Clone(w.table.Bytes())}
	head := func(key, value string) {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
	}
	head(headHeadEnd, w.HeadEnd.ID)
	head(headRun, w.id)
	head(headFile, w.File)
	head(headBy, w.By)
	head(headBegan, strconv.FormatInt(int64(w.began), 10))
	head(headLine, strconv.Itoa(line))
	if w.begins {
		head(headBegins, "")
	}
	if ends {
		head(headEnds, "")
	}
	w.client.Produce(ctx, r, func(_ *kgo.Record, err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.err == nil && err != nil {
			w.err = fmt.Errorf("import: write to the log: %w", err)
		}
	})
	w.table.Reset()
	w.csv, w.rows, w.begins = nil, 0, false
	return nil
}

// lookEvery is how often it is looked how much has been taken.
const lookEvery = 200 * time.Millisecond

// Wait returns what became of an import when all of it has been taken.
func (i Import) Wait(ctx context.Context, sent Sent) (store.ImportRun, error) {
	for {
		run, begun, err := i.Store.ImportRunOf(ctx, sent.ID)
		begun = begun && run.Began >= sent.Began // or it is of an earlier import of the same file
		if err != nil || begun && run.Over != 0 {
			return run, err
		}
		if begun {
			i.Progress("taken", int(run.Line))
		} else {
			i.Progress("waiting for the cloud, which takes it when it runs", 0)
		}
		select {
		case <-ctx.Done():
			return run, ctx.Err()
		case <-time.After(lookEvery):
		}
	}
}
