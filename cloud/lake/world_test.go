package lake

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/lake/object"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/peer"
)

var topics = record.TopicsOf("")

const (
	table    = 0xabcd
	perBlock = 10
)

// world is a broker, a producer that plays gateways, the database of their keys, and a table's directory.
type world struct {
	testing.TB
	broker   *kfake.Cluster
	opts     []kgo.Opt
	producer *kgo.Client
	database string
	keys     *store.Store
	dir      string
	files    object.Store
}

func newWorld(t testing.TB, gateways ...string) *world {
	t.Helper()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, topics.Telemetry(), topics.Backfill()), kfake.SeedTopics(1, topics.Births()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	w := &world{TB: t, broker: broker, opts: []kgo.Opt{kgo.SeedBrokers(broker.ListenAddrs()...)}, dir: filepath.Join(t.TempDir(), "lake"),
		database: filepath.Join(t.TempDir(), "cloud.db")}
	if w.producer, err = kgo.NewClient(w.opts...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.producer.Close)
	if w.keys, err = store.Open(t.Context(), store.Config{Path: w.database}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.keys.Close() })
	identitytest.Enrol(t, w.keys, gateways...)
	if w.files, err = object.OpenDirectory(w.dir); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) config() RunnerConfig {
	return RunnerConfig{Log: w.opts, Topics: topics, Keys: w.keys, Files: w.files, CommitEvery: 20 * time.Millisecond, MaxRows: 1000, Spool: w.TempDir()}
}

// start runs a lake until stop is called or the test ends.
func (w *world) start(cfg RunnerConfig) (r *Runner, stop func() error) {
	r = NewRunner(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx); close(done) }()
	stop = func() error { cancel(); return <-done }
	w.Cleanup(func() { stop() })
	return r, stop
}

func (w *world) send(records ...*kgo.Record) {
	w.Helper()
	if err := w.producer.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		w.Fatal(err)
	}
}

func signal(n int) telemetry.Signal {
	return telemetry.Signal{ID: telemetry.SignalID(n), Device: fmt.Sprintf("meter-%d", n/3), Name: fmt.Sprintf("PhV.phs%c", 'A'+n%3), Unit: "V", Kind: telemetry.Gauge, Asset: "feeder-1"}
}

const signalCount = 7

func birth(t testing.TB, gateway string) *kgo.Record {
	b := record.Birth{Gateway: gateway, Site: "north", Zone: "z", Table: fmt.Sprintf("%016x", uint64(table)), Version: 1, Parts: 1}
	for n := range signalCount {
		b.Signals = append(b.Signals, signal(n))
	}
	value, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return identitytest.Sign(&kgo.Record{Topic: topics.Births(), Key: []byte(b.Key()), Value: value})
}

// sampleOf is the sample with a sequence number: of each kind of value, over several days.
func sampleOf(seq uint64) telemetry.Sample {
	s := telemetry.Sample{Signal: telemetry.SignalID(seq % signalCount), Time: 1_700_000_000_000_000 + telemetry.Micros(seq)*400_000_000}
	switch seq % 11 {
	case 0:
		s.Value = telemetry.ValueFromBits(telemetry.Float64, 0x7ff8_0000_0000_0000|seq) // a NaN that carries the number
	case 1:
		s.Value = telemetry.IntValue(math.MinInt64 + int64(seq))
	case 2:
		s.Value = telemetry.UintValue(math.MaxUint64 - seq)
	case 3:
		s.Value = telemetry.BoolValue(seq%2 == 0)
	case 4:
		s.Value = telemetry.TextValue(fmt.Sprintf("Zustand ü %d", seq))
	case 5:
		s.Quality = telemetry.MakeQuality(telemetry.Bad, telemetry.UnsynchronisedTime, telemetry.Timeout) | telemetry.Stale
	case 6:
		s.Value = telemetry.FloatValue(math.Copysign(0, -1))
	default:
		s.Value = telemetry.FloatValue(230 + float64(seq)/7)
		s.Quality = telemetry.MakeQuality(telemetry.Uncertain, telemetry.DeviceTime, telemetry.NoReason) | telemetry.Estimated
	}
	return s
}

func blockRecord(t testing.TB, gateway string, first, last uint64) *kgo.Record {
	var samples []telemetry.Sample
	for seq := first; seq <= last; seq++ {
		samples = append(samples, sampleOf(seq))
	}
	return recordOf(t, gateway, record.FormatBlock, first, last, samples)
}

func recordOf(t testing.TB, gateway, format string, first, last uint64, samples []telemetry.Sample) *kgo.Record {
	var enc telemetry.Encoder
	payload, err := enc.AppendBlock(nil, telemetry.TableRef{Table: table, Version: 1}, samples)
	if err != nil {
		t.Fatal(err)
	}
	r := record.Record{Identity: record.Identity{Gateway: gateway, Epoch: 1, Stream: record.Telemetry, First: first, Last: last}, Format: format, Payload: payload}
	k := &kgo.Record{Topic: topics.Telemetry(), Key: []byte(gateway), Value: payload}
	for _, h := range r.Headers() {
		k.Headers = append(k.Headers, kgo.RecordHeader(h))
	}
	return identitytest.Sign(k)
}

// again is the record as it comes a second time, by way of the backfill.
func again(r *kgo.Record) *kgo.Record {
	return &kgo.Record{Topic: topics.Backfill(), Key: r.Key, Value: r.Value, Headers: r.Headers}
}

// caughtUp says whether the table has been committed up to the end of the log.
func (w *world) caughtUp() bool {
	st, err := ReadStatus(context.Background(), w.files)
	if err != nil {
		return false
	}
	for _, topic := range []string{topics.Telemetry(), topics.Backfill()} {
		for _, p := range w.broker.PartitionInfos(topic) {
			if st.Offsets[topic][p.Partition] != p.HighWatermark {
				return false
			}
		}
	}
	return true
}

// line is a row of the table.
type line struct {
	Gateway, Epoch, Type, Validity  string
	Device, Name, Unit, Kind, Asset *string
	Value, Integer, Text, Reason    *string
	Boolean                         *bool
	Time, Signal                    int64
	Flags                           int
	SeqFirst                        uint64 `json:"seq_first"`
	SeqLast                         uint64 `json:"seq_last"`
	TimeQuality                     string `json:"time_quality"`
	SignalTable                     string `json:"signal_table"`
	Overlap                         bool
}

func python(t testing.TB) string {
	t.Helper()
	python := cmp.Or(os.Getenv("BUSBAR_PYTHON"), "python3")
	if exec.Command(python, "-c", "import duckdb, pyiceberg, pyarrow").Run() != nil {
		peer.Missing(t, "no duckdb and pyiceberg: make peers-python, and BUSBAR_PYTHON=$PWD/.venv/bin/python")
	}
	return python
}

// rows are the table's, as other people's programs read them.
func (w *world) rows(properties ...string) (list []line) {
	w.Helper()
	st, err := ReadStatus(context.Background(), w.files)
	if err != nil {
		w.Fatal(err)
	}
	cmd := exec.Command(python(w), append([]string{"testdata/read.py", st.Location}, properties...)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		w.Fatalf("%v: %s", err, said.String())
	}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if len(lines.Bytes()) == 0 {
			continue
		}
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			w.Fatal(err)
		}
		list = append(list, l)
	}
	return list
}

func text(s string) *string { return &s }

// lineOf is the row that a sample is to be.
func lineOf(gateway string, first, last uint64, s telemetry.Sample) string {
	of := signal(int(s.Signal))
	l := line{Gateway: gateway, Epoch: "0000000000000001", Type: s.Value.Kind().String(), Validity: s.Quality.Validity().String(),
		Device: &of.Device, Name: &of.Name, Unit: &of.Unit, Kind: text(string(of.Kind)), Asset: &of.Asset, Time: int64(s.Time), Signal: int64(s.Signal),
		Flags: int(s.Quality >> 8), SeqFirst: first, SeqLast: last, SignalTable: fmt.Sprintf("%016x", uint64(table)),
		TimeQuality: [...]string{"gateway", "device", "unsynchronised"}[s.Quality.TimeQuality()]}
	if reason := s.Quality.Reason(); reason != telemetry.NoReason {
		l.Reason = text(reason.String())
	}
	bits := func(b uint64) { l.Value = text(fmt.Sprintf("%016x", b)) }
	switch v := s.Value; v.Kind() {
	case telemetry.Float64:
		bits(v.Bits())
	case telemetry.Int64:
		bits(math.Float64bits(float64(int64(v.Bits()))))
		l.Integer = text(fmt.Sprint(int64(v.Bits())))
	case telemetry.Uint64:
		bits(math.Float64bits(float64(v.Bits())))
		l.Integer = text(fmt.Sprint(v.Bits()))
	case telemetry.Bool:
		bits(math.Float64bits(float64(v.Bits())))
		is := v.Bits() != 0
		l.Boolean = &is
	case telemetry.Text:
		l.Text = text(v.Text())
	}
	return l.String()
}

func (l line) String() string {
	b, err := json.Marshal(l)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// exactlyOnce fails unless the table has each sample of blocks of perBlock, from 0 up to and without sent, once.
func (w *world) exactlyOnce(sent map[string]uint64, properties ...string) {
	w.Helper()
	have := map[string]int{}
	for _, l := range w.rows(properties...) {
		have[l.String()]++
	}
	total := 0
	for gateway, n := range sent {
		for seq := range n {
			first := seq / perBlock * perBlock
			if want := lineOf(gateway, first, first+perBlock-1, sampleOf(seq)); have[want] != 1 {
				for l := range have {
					w.Logf("for example %s", l)
					break
				}
				w.Fatalf("%s: sample %d is there %d times: %s", gateway, seq, have[want], want)
			}
			total++
		}
	}
	if len(have) != total {
		w.Fatalf("%d different rows, %d were sent", len(have), total)
	}
}

// documented runs the queries that docs/lake.md shows on the table.
func (w *world) documented() {
	w.Helper()
	doc, err := os.ReadFile("../../docs/lake.md")
	if err != nil {
		w.Fatal(err)
	}
	st, err := ReadStatus(context.Background(), w.files)
	if err != nil {
		w.Fatal(err)
	}
	var script strings.Builder
	for i, part := range strings.Split(string(doc), "```") {
		if code, found := strings.CutPrefix(part, "python\n"); found && i%2 == 1 {
			script.WriteString(code)
		}
	}
	code := strings.NewReplacer("/var/lib/busbar/lake/metadata/v42.metadata.json", st.Location, "2026-11-26", "2023-11-15", "2026-11-27", "2023-11-16").Replace(script.String())
	out, err := exec.Command(python(w), "-c", code).CombinedOutput()
	if err != nil {
		w.Fatalf("%v: %s", err, out)
	}
	// A sample each 400 s: 216 of gw-1 are of that day, and the 34 last ones of gw-2.
	for _, want := range []string{"meter-2", "PhV.phsA", "\n250\n"} {
		if !strings.Contains(string(out), want) {
			w.Errorf("the documented queries say\n%s\nwithout %q", out, want)
		}
	}
}
