package lake

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/cloud/lake/iceberg"
	"github.com/busbar/busbar/cloud/lake/object"
	"github.com/busbar/busbar/cloud/lake/parquet"
	"github.com/busbar/busbar/telemetry"
)

// series is what the samples of a signal have in common.
type series struct {
	gateway, table string
	signal         telemetry.Signal // without device and name if no table names it
	rank           int              // among those that are written together
}

func (s *series) compare(o *series) int {
	return cmp.Or(strings.Compare(s.gateway, o.gateway), strings.Compare(s.signal.Device, o.signal.Device),
		strings.Compare(s.signal.Name, o.signal.Name), strings.Compare(s.table, o.table), cmp.Compare(s.signal.ID, o.signal.ID))
}

// source is what the samples of a record have in common.
type source struct {
	epoch       string
	first, last uint64
	overlap     bool
}

type row struct {
	sample telemetry.Sample
	series *series
	source *source
}

const microsOfDay = 24 * 3600 * 1_000_000

func dayOf(at telemetry.Micros) int32 {
	day := at / microsOfDay
	if at%microsOfDay < 0 {
		day--
	}
	return int32(day)
}

func telemetryDay(day int32) time.Time { return time.Unix(int64(day)*86400, 0).UTC() }

// spool gathers rows in memory, and in a file a day that is a Parquet file when the rows
// are committed.
type spool struct {
	dir      string
	rows     []row
	nameless map[namelessKey]*series // of rows
	days     map[int32]bool          // of rows and files
	values   []parquet.Values
	scratch  *parquet.Scratch
	files    map[int32]*spooled
	failed   error // of the flush that has written some of its rows, and can't be done again
}

// mostDays is for how many days there may be rows before they are committed; each day is an
// open file. The record that reaches it may be of record.MaxMinutes more.
const mostDays = 500

type namelessKey struct {
	tableKey
	signal telemetry.SignalID
}

type spooled struct {
	file            *os.File
	writer          *parquet.Writer
	rows            int64
	first, last     telemetry.Micros
	lowest, highest string // gateways
}

func newSpool(dir string) *spool {
	return &spool{dir: dir, nameless: map[namelessKey]*series{}, days: map[int32]bool{}, values: make([]parquet.Values, columnCount),
		scratch: parquet.NewScratch(), files: map[int32]*spooled{}}
}

// add adds a record's samples.
func (s *spool) add(from *source, samples []telemetry.Sample, seriesOf func(telemetry.SignalID) *series) {
	var of *series
	var day int32
	for i, sample := range samples {
		if i == 0 || sample.Signal != samples[i-1].Signal {
			of = seriesOf(sample.Signal)
		}
		if d := dayOf(sample.Time); i == 0 || d != day {
			day = d
			s.days[day] = true
		}
		s.rows = append(s.rows, row{sample, of, from})
	}
}

// bytes is how much is in the files.
func (s *spool) bytes() (n int64) {
	for _, f := range s.files {
		n += f.writer.Size()
	}
	return n
}

// close drops what is in the spool.
func (s *spool) close() {
	for _, f := range s.files {
		f.file.Close()
		os.Remove(f.file.Name())
	}
	clear(s.files)
	clear(s.days)
	s.dropRows()
}

func (s *spool) dropRows() {
	clear(s.rows)
	s.rows = s.rows[:0]
	clear(s.nameless)
}

// flush writes the rows into the files, each day's as a row group, by series and time. After an
// error the spool is of no more use.
func (s *spool) flush() (err error) {
	if s.failed != nil {
		return s.failed
	}
	defer func() { s.failed = err }()
	ranked := map[*series]bool{}
	for i, r := range s.rows {
		if i == 0 || r.series != s.rows[i-1].series {
			ranked[r.series] = true
		}
	}
	for rank, r := range slices.SortedFunc(maps.Keys(ranked), (*series).compare) {
		r.rank = rank
	}
	slices.SortFunc(s.rows, func(a, b row) int {
		if c := cmp.Compare(dayOf(a.sample.Time), dayOf(b.sample.Time)); c != 0 {
			return c
		}
		if a.series.rank != b.series.rank {
			return cmp.Compare(a.series.rank, b.series.rank)
		}
		return cmp.Or(cmp.Compare(a.sample.Time, b.sample.Time), cmp.Compare(a.source.first, b.source.first))
	})
	for from := 0; from < len(s.rows); {
		day := dayOf(s.rows[from].sample.Time)
		to := from
		for to < len(s.rows) && dayOf(s.rows[to].sample.Time) == day {
			to++
		}
		if err := s.write(day, s.rows[from:to]); err != nil {
			return err
		}
		from = to
	}
	s.dropRows()
	return nil
}

func (s *spool) write(day int32, rows []row) error {
	f := s.files[day]
	if f == nil {
		file, err := os.CreateTemp(s.dir, "busbar-lake-")
		if err != nil {
			return fmt.Errorf("lake: %w", err)
		}
		os.Remove(file.Name()) // a kill leaves nothing; where that can't be, close does it
		f = &spooled{file: file, first: rows[0].sample.Time, last: rows[0].sample.Time,
			lowest: rows[0].series.gateway, highest: rows[0].series.gateway}
		s.files[day] = f
		if f.writer, err = parquet.NewWriter(file, parquetColumns(), s.scratch); err != nil {
			return err
		}
	}
	for i := range s.values {
		s.values[i].Reset()
	}
	for i := range rows {
		s.columns(&rows[i])
		at := rows[i].sample.Time
		f.first, f.last = min(f.first, at), max(f.last, at)
	}
	f.lowest, f.highest = min(f.lowest, rows[0].series.gateway), max(f.highest, rows[len(rows)-1].series.gateway)
	f.rows += int64(len(rows))
	return f.writer.RowGroup(len(rows), s.values)
}

var timeQualities = [...]string{telemetry.GatewayTime: "gateway", telemetry.DeviceTime: "device", telemetry.UnsynchronisedTime: "unsynchronised", telemetry.SinceBoot: "since boot"}

// columns appends a row to the values of the columns.
func (s *spool) columns(r *row) {
	v := s.values
	text := func(column int, t string) { v[column].Texts = append(v[column].Texts, t) }
	optional := func(column int, present bool, t string) {
		v[column].Present = append(v[column].Present, present)
		if present {
			text(column, t)
		}
	}
	number := func(column int, n uint64) { v[column].Numbers = append(v[column].Numbers, n) }
	named := r.series.signal.Name != ""
	value := r.sample.Value
	kind := value.Kind()
	quality := r.sample.Quality

	text(colGateway, r.series.gateway)
	optional(colDevice, named, r.series.signal.Device)
	optional(colName, named, r.series.signal.Name)
	optional(colUnit, named, r.series.signal.Unit)
	optional(colKind, named, string(r.series.signal.Kind))
	optional(colAsset, named && r.series.signal.Asset != "", r.series.signal.Asset)
	number(colTime, uint64(r.sample.Time))
	f, ok := value.Float()
	v[colValue].Present = append(v[colValue].Present, ok)
	if kind == telemetry.Float64 {
		number(colValue, value.Bits()) // not by way of a float64, which may lose what a NaN carries
	} else if ok {
		number(colValue, math.Float64bits(f))
	}
	whole := kind == telemetry.Int64 || kind == telemetry.Uint64
	v[colInteger].Present = append(v[colInteger].Present, whole)
	if whole {
		v[colInteger].Decimals = append(v[colInteger].Decimals, parquet.Decimal{Bits: value.Bits(), Negative: kind == telemetry.Int64 && int64(value.Bits()) < 0})
	}
	optional(colText, kind == telemetry.Text, value.Text())
	v[colBoolean].Present = append(v[colBoolean].Present, kind == telemetry.Bool)
	if kind == telemetry.Bool {
		number(colBoolean, value.Bits())
	}
	text(colType, kind.String())
	text(colValidity, quality.Validity().String())
	optional(colReason, quality.Reason() != telemetry.NoReason, quality.Reason().String())
	number(colFlags, uint64(quality>>8))
	text(colTimeQuality, timeQualities[quality.TimeQuality()])
	text(colEpoch, r.source.epoch)
	number(colSeqFirst, r.source.first)
	number(colSeqLast, r.source.last)
	text(colSignalTable, r.series.table)
	number(colSignal, uint64(r.series.signal.ID))
	overlap := uint64(0)
	if r.source.overlap {
		overlap = 1
	}
	number(colOverlap, overlap)
}

// deliver ends the files and puts them into the store, named for the table's next commit.
func (s *spool) deliver(ctx context.Context, to object.Store, t *iceberg.Table) (list []iceberg.DataFile, err error) {
	for _, day := range slices.Sorted(maps.Keys(s.files)) {
		f := s.files[day]
		if err := f.writer.Close(); err != nil {
			return nil, fmt.Errorf("lake: %w", err)
		}
		size := f.writer.Size()
		name := t.NextName("data/time_day="+dayName(day), "samples", "parquet")
		if err := to.Put(ctx, name, f.file, size); err != nil {
			return nil, err
		}
		d := iceberg.DataFile{Path: to.URL(name), Day: day, Records: f.rows, Bytes: size,
			Lower: map[int][]byte{fieldID(colTime): longBound(int64(f.first))}, Upper: map[int][]byte{fieldID(colTime): longBound(int64(f.last))}}
		if len(f.highest) <= 64 && len(f.lowest) <= 64 {
			d.Lower[fieldID(colGateway)], d.Upper[fieldID(colGateway)] = []byte(f.lowest), []byte(f.highest)
		}
		list = append(list, d)
	}
	return list, nil
}
