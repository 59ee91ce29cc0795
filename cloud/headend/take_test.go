package headend

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/compact"
	"github.com/busbar/busbar/cloud/completeness"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

const head = "meter,channel,end,interval,value,unit,quality,version\n"

// told is a read of a test.
type toldRead struct {
	meter   string
	end     time.Time
	value   float64
	status  Status
	version int
}

func (r toldRead) csv() string {
	return fmt.Sprintf("%s,1-0:1.29.0,%s,15m,%g,Wh,%s,%d\n", r.meter, r.end.Format(time.RFC3339), r.value, r.status, r.version)
}

func (r toldRead) json() string {
	return fmt.Sprintf(`{"meter":%q,"channel":"1.29.0","end":%q,"interval":"PT15M","value":%g,"unit":"Wh","quality":%q,"version":%d}`+"\n",
		r.meter, r.end.Format(time.RFC3339), r.value, r.status, r.version)
}

func (r toldRead) counts() int { return r.version*10 + rank(qualities[r.status]) }

// The same reads in any order and parts, by file and by topic, some of them twice, while what
// is stored is packed and summed up, come to the same.
func TestTheOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewSource(1))
	w := newWorld(t)
	r, _ := w.start()
	begin := time.Date(2025, 10, 1, 0, 0, 0, 0, time.UTC)
	want := map[string]map[telemetry.Micros]toldRead{"m1": {}, "m2": {}}
	var all []toldRead
	for meter := range want {
		for n := range 2 * 96 {
			end := begin.Add(time.Duration(n+1) * 15 * time.Minute)
			list := []toldRead{{meter, end, float64(rnd.Intn(1000)), Estimated, 0}, {meter, end, float64(rnd.Intn(1000)), Actual, 0}}[rnd.Intn(2):]
			if rnd.Intn(4) == 0 {
				list = append(list, toldRead{meter, end, float64(rnd.Intn(1000)), Actual, 1 + rnd.Intn(2)})
			}
			if rnd.Intn(8) == 0 {
				list = append(list, toldRead{meter, end, float64(rnd.Intn(1000)), Edited, 1})
			}
			for _, one := range list {
				start := telemetry.MicrosOf(end.Add(-15 * time.Minute))
				if was, is := want[meter][start]; !is || one.counts() > was.counts() {
					want[meter][start] = one
				}
			}
			all = append(all, list...)
		}
	}
	packer := compact.New(compact.Config{Store: w.store, Logger: quiet})
	done := int64(0)
	for range 2 {
		rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for part := all[:len(all)*3/4]; len(part) > 0; {
			n := min(len(part), 1+rnd.Intn(300))
			var text strings.Builder
			if n%2 == 0 {
				for _, one := range part[:n] {
					text.WriteString(one.json())
				}
				w.produce(text.String())
				done += int64(n)
				w.taken(r, done)
			} else {
				text.WriteString(head)
				for _, one := range part[:n] {
					text.WriteString(one.csv())
				}
				_, run, refused := w.send(text.String(), mdm)
				if run.Aside > 0 || len(refused) > 0 {
					t.Fatalf("%+v, %v", run, refused)
				}
				done += int64(n)
			}
			part = part[n:]
			if rnd.Intn(3) == 0 {
				if err := packer.Pass(t.Context(), time.Now()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	w.send(head+strings.Join(csvs(all), ""), mdm)
	if err := packer.Pass(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	for meter, of := range want {
		have := w.samples(meter, "DmdWh.interval")
		if len(have) != len(of) {
			t.Errorf("%d samples of %s, expected %d", len(have), meter, len(of))
		}
		sums := map[int64]float64{}
		for _, s := range have {
			one := of[s.Time]
			if v, _ := s.Value.Float(); v != one.value || s.Quality != qualities[one.status] {
				t.Fatalf("%s at %s: %v %s, expected %+v", meter, s.Time.Time(), v, s.Quality, one)
			}
			for _, width := range []int64{15, 60, 1440} {
				at := int64(s.Time) / (width * 60e6) * (width * 60e6)
				sums[at*10_000+width] += one.value
			}
		}
		rows := 0
		err := w.store.Read(t.Context(), func(tx *store.Tx) error {
			return tx.Each(func(r *sql.Rows) error {
				var width, start int64
				var sum float64
				err := r.Scan(&width, &start, &sum)
				if sums[start*10_000+width] != sum {
					t.Errorf("%s: the sum of %d minutes at %s is %v, expected %v", meter, width, telemetry.Micros(start).Time(), sum, sums[start*10_000+width])
				}
				rows++
				return err
			}, `SELECT width, start_time, sum_value FROM rollup WHERE series = ?`, int64(w.series(meter, "DmdWh.interval").ID))
		})
		if err != nil || rows != len(sums) {
			t.Errorf("%d rows sum %s up, expected %d: %v", rows, meter, len(sums), err)
		}
	}
	// What was received is counted once.
	var received int
	if err := w.store.Read(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT SUM(samples) FROM received`, nil, &received)
	}); err != nil || received != 2*2*96 {
		t.Errorf("%d reads counted, expected %d: %v", received, 2*2*96, err)
	}
}

func csvs(list []toldRead) (out []string) {
	for _, one := range list {
		out = append(out, one.csv())
	}
	return out
}

// A row that can't be taken is told with its place, and costs no other.
func TestOneBadRowIsSetAside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, _ := w.start()
	_, run, refused := w.send(head+
		"m1,1-0:1.29.0,2025-10-01T00:15:00Z,15m,1,Wh,actual,1\n"+
		"m1,1-0:1.29.0,2025-10-01T00:30:00Z,15m,x,Wh,actual,1\n"+
		"m1,1-0:1.29.0,2025-10-01T00:15:00Z,15m,2,Wh,actual,1\n"+
		"m1,1-0:1.29.0,2025-10-01T00:45:00Z,15m,,Wh,missing,1\n"+
		"m1,1-0:1.29.0,2025-10-01T01:00:00Z,15m,3,Wh,actual,1\n", mdm)
	if len(refused) != 1 || refused[0] != `3:40: "x" is no number, expected one such as 0.25` {
		t.Errorf("refused: %v", refused)
	}
	if run.Fresh != 2 || run.Aside != 1 || run.File != "reads.csv" || run.By != "test" {
		t.Errorf("%+v", run)
	}
	w.produce(`{"meter":"m1","channel":"1.29.0","end":"2025-10-01T01:15:00Z","interval":"15m","value":4,"unit":"Wh"}` + "\nnonsense\n")
	if err := w.producer.ProduceSync(t.Context(), recordOf("stranger", "{}")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	w.taken(r, 6)
	if have := w.samples("m1", "DmdWh.interval"); len(have) != 3 || have[0].Value != telemetry.FloatValue(1) {
		t.Errorf("%v", have)
	}
	aside, err := w.store.SetAsideRows(t.Context(), "", 10)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, a := range aside {
		texts = append(texts, a.HeadEnd+" "+a.Place+": "+a.Cause)
	}
	got := strings.Join(texts, "\n")
	for _, want := range []string{
		"mdm reads.csv:4: DmdWh.interval of meter m1 at 2025-10-01T00:00:00Z is 2, and was 1 before in version 1, actual: expected a higher version, or another quality",
		":2:1: invalid character", "stranger busbar.import/", `head-end "stranger" isn't in the cloud's configuration`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nexpected %s", got, want)
		}
	}
}

// A record that the database rejects is set aside, and doesn't stop those that come with it.
func TestARejectedRecordIsSetAside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.store.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`CREATE UNIQUE INDEX one_meter ON meter (point)`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, meter := range []string{"m1", "m2", "m3"} {
		point := map[string]string{"m1": "p1", "m2": "p1", "m3": "p3"}[meter]
		w.produce("meter,service_point,signal,time,value,unit\n" + meter + "," + point + ",V,2025-10-01T00:00:00Z,7,V\n")
	}
	long := recordOf("mdm", "")
	long.Headers = []kgo.RecordHeader{{Key: headRun, Value: bytes.Repeat([]byte("x"), 1000)}}
	if err := w.producer.ProduceSync(t.Context(), long).FirstErr(); err != nil {
		t.Fatal(err)
	}
	r, _ := w.start()
	w.taken(r, 4)
	if got := r.Stats(); got.Fresh != 2 || got.Aside != 2 {
		t.Errorf("%+v", got)
	}
	aside, err := w.store.SetAsideRows(t.Context(), "", 10)
	if err != nil || len(aside) != 2 {
		t.Fatalf("%v, %v", aside, err)
	}
	causes := aside[0].Cause + "\n" + aside[1].Cause
	if !strings.Contains(causes, "the database rejects this record: store: ") || !strings.Contains(causes, "header run") {
		t.Error(causes)
	}
}

// An import that is broken off is taken up where it was, and a session that is overtaken
// stores nothing twice.
func TestABrokenImportIsTakenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var text strings.Builder
	text.WriteString(head)
	const rows = 5 * together
	for n := range rows {
		text.WriteString(toldRead{fmt.Sprint("m", n%7), time.Date(2025, 9, 1, 0, 15*(n/7+1), 0, 0, time.UTC), float64(n), Actual, 0}.csv())
	}
	r, stop := w.start()
	ctx, cancel := context.WithCancel(t.Context())
	broken := w.importOf(text.String(), mdm)
	broken.Progress = func(_ string, line int) {
		if line == 2*together+10 {
			w.taken(r, 2*together)
			cancel()
		}
	}
	first, err := broken.Send(ctx)
	if err == nil {
		t.Fatal("it wasn't broken off")
	}
	stop()
	w.start()
	again, run, _ := w.send(text.String(), mdm)
	if again.ID != first.ID || again.Resumed != 2*together+1 || again.Reads != rows-2*together || run.Fresh != rows || run.Same != 0 {
		t.Errorf("first %+v, then %+v, %+v", first, again, run)
	}
	third, run, _ := w.send(text.String(), mdm)
	if third.Resumed != 0 || run.Fresh != 0 || run.Same != rows {
		t.Errorf("%+v, %+v", third, run)
	}
}

// What a meter tells is kept once, and becomes evidence if it is of now.
func TestEventsBecomeEvidence(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	importGrid(t, w.store)
	w.start()
	at := time.Now().UTC().Truncate(time.Second)
	ago := func(d time.Duration) string { return at.Add(-d).Format(time.RFC3339) }
	text := "meter,service_point,event,time,text\n" +
		"m1,point-1,power-fail," + ago(0) + ",last gasp\n" +
		"m2,point-2,PF," + ago(time.Minute) + ",\n" +
		"m2,,power-restore," + ago(0) + ",\n" +
		"m3,point-3,power-fail," + ago(50*time.Hour) + ",\n" +
		"m3,point-3,power-restore," + ago(48*time.Hour) + ",\n" +
		"m4,,power-fail," + ago(0) + ",\n" +
		"m1,point-1,cover-open," + ago(0) + ",\n"
	headend := mdm
	headend.Events = map[string]EventKind{"PF": PowerFail}
	for n, want := range []store.ImportCounts{{Fresh: 7}, {Same: 7}} {
		if _, run, refused := w.send(text, headend); run.ImportCounts != want || len(refused) > 0 {
			t.Errorf("%d: %+v, %v", n, run, refused)
		}
	}
	var got []string
	if err := w.store.Read(t.Context(), func(tx *store.Tx) error {
		return tx.Each(func(r *sql.Rows) error {
			var kind, asset, gateway string
			err := r.Scan(&kind, &asset, &gateway)
			got = append(got, kind+" "+asset+gateway)
			return err
		}, `SELECT kind, asset, gateway FROM outage_evidence WHERE kind NOT IN ('meter', 'network') ORDER BY asset, seq`)
	}); err != nil {
		t.Fatal(err)
	}
	if want := "last-gasp point-1, last-gasp point-2, power-up point-2, interrupted point-3"; strings.Join(got, ", ") != want {
		t.Errorf("%s, expected %s", strings.Join(got, ", "), want)
	}
	// A meter whose place is told later has had its events there.
	if err := w.store.Write(t.Context(), func(tx *store.Tx) error { return tx.SaveMeter("mdm", "m4", "point-4", telemetry.MicrosOf(at)) }); err != nil {
		t.Fatal(err)
	}
	var kinds string
	if err := w.store.Read(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT kind FROM meter_event WHERE asset = 'point-4'`, nil, &kinds)
	}); err != nil || kinds != string(PowerFail) {
		t.Errorf("%s, %v", kinds, err)
	}
}

// A gateway's id is no head-end's.
func TestAGatewaysNameIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	enrol(t, w.store, "mdm")
	err := w.store.Write(t.Context(), func(tx *store.Tx) error { return tx.SaveHeadEnd(store.HeadEnd{ID: "mdm"}) })
	if err == nil || !strings.Contains(err.Error(), "a gateway of this id is enrolled") {
		t.Error(err)
	}
	// That costs no other head-end anything.
	r, _ := w.start(mdm, HeadEnd{ID: "other"})
	w.produce("meter,signal,time,value,unit\nm1,V,2025-10-01T00:00:00Z,7,V\n")
	if err := w.producer.ProduceSync(t.Context(), recordOf("other", "meter,signal,time,value,unit\nm1,V,2025-10-01T00:00:00Z,7,V\n")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	w.taken(r, 2)
	if got := r.Stats(); got.Fresh != 1 || got.Aside != 1 {
		t.Errorf("%+v", got)
	}
	public, _, _ := ed25519.GenerateKey(nil)
	if _, err := w.store.EnrolKey(t.Context(), store.GatewayKey{Gateway: "other", PublicKey: public}); !errors.Is(err, store.ErrHeadEnd) {
		t.Error(err)
	}
}

// What a head-end should have read and hasn't given is missing, once it is due.
func TestReadsAreExpectedByTheirIntervals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	var text strings.Builder
	text.WriteString(head)
	day := time.Date(2025, 10, 1, 0, 0, 0, 0, time.UTC)
	for n := range 96 {
		if n >= 8 && n < 12 {
			continue
		}
		text.WriteString(toldRead{"m1", day.Add(time.Duration(n+1) * 15 * time.Minute), 1, Actual, 0}.csv())
		if n%4 == 0 {
			fmt.Fprintf(&text, "m2,1-0:1.29.0,%s,1h,4,Wh,actual,0\n", day.Add(time.Duration(n+4)*15*time.Minute).Format(time.RFC3339))
		}
	}
	w.send(text.String()+"m1,1-0:1.8.0,2025-10-01T02:15:00Z,,1,Wh,actual,0\n", mdm)
	query := completeness.Query{Gateway: "mdm", From: telemetry.MicrosOf(day), To: telemetry.MicrosOf(day.Add(24 * time.Hour))}
	for _, c := range []struct {
		after              time.Duration
		letters            string
		expected, received uint64
	}{
		{48 * time.Hour, strings.Repeat("c", 8) + "iiii" + strings.Repeat("c", 84), 96, 92},
		{3 * time.Hour, strings.Repeat("c", 8) + "oooo" + strings.Repeat("c", 84), 92, 92},
	} {
		report, err := completeness.Read(t.Context(), w.store, query, telemetry.MicrosOf(day.Add(c.after)))
		if err != nil || len(report.Devices) != 2 {
			t.Fatalf("%+v, %v", report, err)
		}
		one, two := report.Devices[0], report.Devices[1]
		if string(one.Letters) != c.letters || one.Expected != c.expected || one.Received != c.received {
			t.Errorf("after %s: %s, %d of %d, expected %s", c.after, one.Letters, one.Received, one.Expected, c.letters)
		}
		if c.after > 24*time.Hour && (two.Expected != 24 || two.Received != 23 || string(two.Letters) != strings.Repeat("c", 8)+"i"+strings.Repeat("c", 87)) {
			t.Errorf("%s, %d of %d", two.Letters, two.Received, two.Expected)
		}
	}
}

// A meter that is read by other intervals from some time on is expected to be, in whatever
// order its reads come.
func TestAMetersIntervalsChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	day := time.Date(2025, 10, 1, 0, 0, 0, 0, time.UTC)
	half := func(meter string, from, hours int, width time.Duration) string {
		var text strings.Builder
		text.WriteString(head)
		for at := time.Duration(from) * time.Hour; at < time.Duration(from+hours)*time.Hour; at += width {
			if at != 5*time.Hour && at != 20*time.Hour {
				fmt.Fprintf(&text, "%s,1-0:1.29.0,%s,%s,1,Wh,actual,0\n", meter, day.Add(at+width).Format(time.RFC3339), width)
			}
		}
		return text.String()
	}
	quarters, hours := 15*time.Minute, time.Hour
	for _, text := range []string{half("m1", 0, 12, quarters), half("m1", 12, 12, hours), half("m2", 12, 12, hours), half("m2", 6, 6, quarters), half("m2", 0, 6, quarters)} {
		w.send(text, mdm)
	}
	query := completeness.Query{Gateway: "mdm", From: telemetry.MicrosOf(day), To: telemetry.MicrosOf(day.Add(24 * time.Hour))}
	report, err := completeness.Read(t.Context(), w.store, query, telemetry.MicrosOf(day.Add(72*time.Hour)))
	if err != nil || len(report.Devices) != 2 {
		t.Fatalf("%+v, %v", report, err)
	}
	letters := strings.Repeat("c", 20) + "i" + strings.Repeat("c", 59) + "i" + strings.Repeat("c", 15)
	for _, d := range report.Devices {
		if string(d.Letters) != letters || d.Expected != 48+12 || d.Received != 48+12-2 {
			t.Errorf("%s: %s, %d of %d", d.Name, d.Letters, d.Received, d.Expected)
		}
	}
}
