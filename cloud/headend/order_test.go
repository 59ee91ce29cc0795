package headend

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// texts are the rows of a query of one column.
func (w *world) texts(query string, args ...any) string {
	w.Helper()
	var list []string
	if err := w.store.Read(w.Context(), func(tx *store.Tx) error {
		return tx.Each(func(r *sql.Rows) error {
			var text string
			err := r.Scan(&text)
			list = append(list, text)
			return err
		}, query, args...)
	}); err != nil {
		w.Fatal(err)
	}
	return strings.Join(list, ", ")
}

const said = `SELECT kind || ' ' || asset FROM outage_evidence WHERE kind NOT IN ('meter', 'network') ORDER BY seq`

func (w *world) meterAt(meter, point string, since time.Time) {
	w.Helper()
	if err := w.store.Write(w.Context(), func(tx *store.Tx) error { return tx.SaveMeter("mdm", meter, point, telemetry.MicrosOf(since)) }); err != nil {
		w.Fatal(err)
	}
}

// What isn't UTF-8 costs its row, and none behind it.
func TestAUnitThatIsNoTextIsSetAside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, _ := w.start()
	for _, unit := range []string{"m\xb3", "\xb0C", "a\x00b"} {
		w.produce("meter,signal,time,value,unit\nm1,Vol,2025-10-01T00:00:00Z,5," + unit + "\nm2,Vol,2025-10-01T00:00:00Z,6," + unit + "\n")
	}
	w.produce("meter,signal,time,value,unit\nm1,Vol,2025-10-01T00:00:00Z,7,m3\n")
	w.taken(r, 7)
	if have := w.samples("m1", "Vol"); len(have) != 1 || have[0].Value != telemetry.FloatValue(7) {
		t.Error(have)
	}
	if got := w.texts(`SELECT cause FROM import_aside ORDER BY id LIMIT 1`); !strings.Contains(got, "expected at most 256 bytes of text") {
		t.Error(got)
	}
}

// A meter's place that is told while its reads are taken counts at once.
func TestAPlaceToldLaterCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	importGrid(t, w.store)
	r, _ := w.start()
	at := time.Now().UTC()
	w.produce("meter,signal,time,value,unit\nm1,V,2025-10-01T00:00:00Z,7,V\n")
	w.taken(r, 1)
	w.meterAt("m1", "point-1", at)
	w.produce("meter,event,time\nm1,power-fail," + at.Format(time.RFC3339) + "\n")
	w.produce("meter,signal,time,value,unit\nm1,W,2025-10-01T00:00:00Z,7,W\n")
	w.taken(r, 3)
	if got := w.texts(said); got != "last-gasp point-1" {
		t.Error(got)
	}
	if got := w.texts(`SELECT asset FROM series WHERE device = 'm1'`); got != "point-1, point-1" {
		t.Error(got)
	}
}

// What was said of now when it was written into the log says the same when it is taken later.
func TestALastGaspCountsAfterTheCloudWasDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	importGrid(t, w.store)
	at := time.Now().UTC().Add(-2 * time.Hour).Truncate(time.Second)
	text := "meter,service_point,event,time\nm1,point-1,power-fail," + at.Format(time.RFC3339) + "\n"
	rec := recordOf("mdm", text)
	rec.Timestamp = at.Add(time.Minute)
	if err := w.producer.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
		t.Fatal(err)
	}
	r, _ := w.start()
	w.taken(r, 1)
	if got := w.texts(said); got != "last-gasp point-1" {
		t.Error(got)
	}
	var arrival telemetry.Micros
	if err := w.store.Read(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT at FROM outage_evidence WHERE kind = 'last-gasp'`, nil, &arrival)
	}); err != nil || arrival != telemetry.MicrosOf(rec.Timestamp.Truncate(time.Millisecond)) {
		t.Error(arrival.Time(), err)
	}
}

// Only what an Import sends has lines and kinds of events.
func TestAColumnOfAnothersLineIsNotOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	var text strings.Builder
	text.WriteString("meter,line,event_kind,signal,time,value,unit\n")
	for n := range together + 10 {
		fmt.Fprintf(&text, "m1,%d,x,V,%s,5,V\n", 7-n%7*9, time.Date(2025, 10, 1, 0, n, 0, 0, time.UTC).Format(time.RFC3339))
	}
	sent, run, refused := w.send(text.String()+"m1,L1,,V,2025-10-02T00:00:00Z,5,V\nm1,L1,,V,then,5,V\n", mdm)
	if run.Fresh != together+11 || sent.Last != together+13 || len(refused) != 1 || !strings.HasPrefix(refused[0], fmt.Sprint(together+13, ":")) {
		t.Errorf("%+v, %+v, %v", sent, run, refused)
	}
}

// A record of which nothing can be taken is told in part.
func TestManyRowsSetAsideAreToldInPart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, _ := w.start()
	const rows = mostTold + 50
	w.produce("meter,signal,time,value,unit\n" + strings.Repeat("m1,V,then,5,V\n", rows))
	w.produce("meter,signal,time,value,unit\nm1,V,then,5,V\n")
	w.taken(r, rows+1)
	if got := w.texts(`SELECT cause FROM import_aside ORDER BY id LIMIT 2 OFFSET ?`, mostTold); !strings.HasPrefix(got, "and 50 more rows of this record, \"then\"") {
		t.Error(got)
	}
	s := newSession(r, nil, nil, "")
	if err := s.take(t.Context(), recordOf("mdm", "meter,signal,time,value,unit\n"+strings.Repeat("m1,V,then,5,V\n", rows))); err != nil || s.rows != rows {
		t.Errorf("%d rows count for the bound, %v", s.rows, err)
	}
}

// An old file that is imported again doesn't move its meters back.
func TestAnOldFileMovesNoMeter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, stop := w.start()
	row := func(at, point string) string {
		return "meter,service_point,signal,time,value,unit\nm1," + point + ",V," + at + "T00:00:00Z,5,V\n"
	}
	point := func() string {
		return w.texts(`SELECT m.point || ' ' || s.asset FROM meter m JOIN series s ON s.device = m.id`)
	}
	old := row("2025-10-01", "point-1")
	for _, c := range [][2]string{{old, "point-1"}, {row("2025-11-01", "point-2"), "point-2"}, {old, "point-2"}} {
		if w.send(c[0], mdm); point() != c[1]+" "+c[1] {
			t.Errorf("%s, expected %s", point(), c[1])
		}
	}
	stop()
	w.start()
	if w.send(old, mdm); point() != "point-2 point-2" {
		t.Errorf("after another start: %s", point())
	}
	// It has been there since November, and until December at least.
	w.send(row("2025-12-01", "point-2"), mdm)
	if w.send(row("2025-11-15", "point-3"), mdm); point() != "point-2 point-2" {
		t.Error(point())
	}
}

// A file that is sent again before the cloud has taken it is an import that ends.
func TestAFileSentTwiceIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := head + toldRead{"m1", time.Date(2025, 10, 1, 0, 15, 0, 0, time.UTC), 1, Actual, 0}.csv()
	var sent [2]Sent
	for n := range sent {
		var err error
		if sent[n], err = w.importOf(text, mdm).Send(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.start()
	for _, one := range sent {
		run, err := w.importOf(text, mdm).Wait(t.Context(), one)
		if err != nil || run.Began != sent[1].Began || run.ImportCounts != (store.ImportCounts{Same: 1}) {
			t.Errorf("%+v, %v", run, err)
		}
	}
}

// That a meter was without supply is known in whatever order that comes.
func TestAnInterruptionIsKnownInAnyOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	importGrid(t, w.store)
	r, _ := w.start()
	ago := func(d time.Duration) string { return time.Now().UTC().Add(-d).Format(time.RFC3339) }
	fail, restore := ",power-fail,"+ago(50*time.Hour)+"\n", ",power-restore,"+ago(48*time.Hour)+"\n"
	const head = "meter,service_point,event,time\n"
	w.produce(head + "m1,point-1" + restore)
	w.taken(r, 1)
	w.produce(head + "m1,point-1" + fail)
	w.taken(r, 2)
	w.produce(head + "m2,point-2" + restore + "m2,point-2" + fail)
	w.taken(r, 4)
	if got := w.texts(said); got != "interrupted point-1, interrupted point-2" {
		t.Error(got)
	}
	if err := w.store.Read(t.Context(), func(tx *store.Tx) error {
		return tx.Each(func(r *sql.Rows) error {
			var text string
			err := r.Scan(&text)
			var e outage.Evidence
			if err := json.Unmarshal([]byte(text), &e); err != nil {
				return err
			}
			if e.Source-e.Since != int64(2*3600*1e6) {
				t.Error(text)
			}
			return err
		}, `SELECT data FROM outage_evidence WHERE kind = 'interrupted'`)
	}); err != nil {
		t.Error(err)
	}
}

// A record that corrects many hours is taken in several transactions, and gone on with
// where it was.
func TestARecordOfCorrectionsIsTakenInParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.store.Write(t.Context(), func(tx *store.Tx) error { return tx.SaveHeadEnd(store.HeadEnd{ID: "mdm"}) }); err != nil {
		t.Fatal(err)
	}
	const meters = 7
	text := func(value float64) string {
		rows := head
		for n := range meters {
			rows += toldRead{fmt.Sprint("m", n), time.Date(2025, 10, 1, 0, 15, 0, 0, time.UTC), value, Actual, int(value)}.csv()
		}
		return rows + "wrong\n"
	}
	open := func() *session {
		var offsets [2]map[string]map[int32]int64
		for i, consumer := range []string{Consumer, consumerRows} {
			var err error
			if offsets[i], err = w.store.Offsets(t.Context(), consumer); err != nil {
				t.Fatal(err)
			}
		}
		topic := record.TopicsOf("").Import()
		s := newSession(New(Config{Topics: record.TopicsOf(""), Store: w.store, HeadEnds: []HeadEnd{mdm}, Logger: quiet}), offsets[0][topic], offsets[1][topic], "")
		s.bound = 2
		return s
	}
	s := open()
	take := func(s *session, offset int64, value float64) error {
		rec := recordOf("mdm", text(value))
		rec.Offset = offset
		return s.take(t.Context(), rec)
	}
	if err := errors.Join(take(s, 0, 1), s.flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	// Taken up where it was: what isn't committed is taken by the next session.
	other := open()
	if err := take(s, 1, 2); err != nil || s.offsets[0] != 1 || s.begun[0] != placeIn(1, 6) || len(s.corrected) != 1 {
		t.Fatalf("at %v, %v, %d hours wait, %v", s.offsets, s.begun, len(s.corrected), err)
	}
	if err := errors.Join(take(other, 1, 2), other.flush(t.Context())); !errors.Is(err, store.ErrFenced) {
		t.Error(err)
	}
	next := open()
	if err := errors.Join(take(next, 1, 2), next.flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	if a, b := s.Stats(), next.Stats(); a.Corrected != 6 || b.Corrected != 1 || b.Same != 0 || a.Aside != 2 || b.Aside != 0 {
		t.Errorf("%+v, then %+v", a, b)
	}
	if err := errors.Join(take(next, 2, 3), next.flush(t.Context())); err != nil || next.Stats().Corrected != meters+1 {
		t.Errorf("%+v, %v", next.Stats(), err)
	}
	for n := range meters {
		if have := w.samples(fmt.Sprint("m", n), "DmdWh.interval"); len(have) != 1 || have[0].Value != telemetry.FloatValue(3) {
			t.Errorf("%d: %v", n, have)
		}
	}
}

// A table may begin with a byte order mark.
func TestAMarkBeforeATableIsPassedOver(t *testing.T) {
	rows := 0
	err := ReadMaster(Meters, "mdm", strings.NewReader("\ufeffmeter,service_point\nm1,point-1\n"), now,
		func(func(*store.Tx) error) error { rows++; return nil }, func(r *Refusal) { t.Error(r) })
	if err != nil || rows != 1 {
		t.Errorf("%d rows, %v", rows, err)
	}
}

// What is wrong with a file is told apart from what is wrong with the brokers.
func TestAnUnreadableFileIsToldApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wrong := (*Unreadable)(nil)
	if _, err := w.importOf("a,b\n1,2\n", mdm).Send(t.Context()); !errors.As(err, &wrong) || !strings.HasPrefix(err.Error(), "reads.csv:1:1: no column is the meter") {
		t.Error(err)
	}
	i := w.importOf(head, mdm)
	i.Topics = record.TopicsOf("other.")
	if _, err := i.Send(t.Context()); err == nil || errors.As(err, &wrong) {
		t.Error(err)
	}
}
