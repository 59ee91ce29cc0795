package lake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/lake/iceberg"
	"github.com/busbar/busbar/cloud/lake/object"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
)

const lakeChild = "BUSBAR_TEST_LAKE_CHILD"

func TestMain(m *testing.M) {
	if spec, child := os.LookupEnv(lakeChild); child {
		runChild(spec)
		return
	}
	os.Exit(m.Run())
}

// child is what a process reads and writes.
type child struct{ Broker, Database, Dir, Spool string }

func runChild(spec string) {
	var c child
	err := json.Unmarshal([]byte(spec), &c)
	var keys *store.Store
	if err == nil {
		keys, err = store.OpenReadOnly(context.Background(), store.Config{Path: c.Database})
	}
	var files object.Store
	if err == nil {
		files, err = object.OpenDirectory(c.Dir)
	}
	if err == nil {
		err = NewRunner(RunnerConfig{Log: []kgo.Opt{kgo.SeedBrokers(c.Broker)}, Topics: topics, Keys: keys, Files: files, Spool: c.Spool,
			CommitEvery: time.Millisecond, MaxRows: 40}).Run(context.Background())
	}
	fmt.Println(err)
	os.Exit(1)
}

func TestOthersReadWhatWasSent(t *testing.T) {
	w := newWorld(t, "gw-1", "gw-2")
	sent := map[string]uint64{"gw-1": 600, "gw-2": 50}
	var records []*kgo.Record
	for _, gateway := range []string{"gw-1", "gw-2"} {
		records = append(records, birth(t, gateway))
		for first := uint64(0); first < sent[gateway]; first += perBlock {
			r := blockRecord(t, gateway, first, first+perBlock-1)
			records = append(records, r)
			if first%30 == 0 {
				records = append(records, again(r))
			}
		}
	}
	w.send(records...)
	cfg := w.config()
	cfg.MaxRows = 64 // several row groups a file
	r, stop := w.start(cfg)
	await.True(t, "everything in the table", w.caughtUp)
	if err := stop(); err != nil {
		t.Error(err)
	}
	w.exactlyOnce(sent)
	if s := r.Stats(); s.Samples != 650 || s.Duplicates != 22 || s.Lag != 0 || s.Version < 2 {
		t.Errorf("%+v", s)
	}
	w.documented()
	days := map[string]bool{}
	names, err := w.files.List(t.Context(), "data/")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		days[strings.Split(name, "/")[1]] = true
	}
	if !days["time_day=2023-11-14"] || !days["time_day=2023-11-17"] || len(days) != 4 {
		t.Errorf("the days are %v", days)
	}
}

func TestWhatMayNotBeInTheTable(t *testing.T) {
	w := newWorld(t, "gw")
	good := blockRecord(t, "gw", 0, 9)
	tampered := blockRecord(t, "gw", 10, 19)
	tampered.Value = slices.Clone(tampered.Value)
	tampered.Value[20] ^= 1
	short := recordOf(t, "gw", record.FormatBlock, 20, 29, []telemetry.Sample{sampleOf(20)})
	w.send(birth(t, "gw"), blockRecord(t, "stranger", 0, 9), tampered, short, good)
	r, _ := w.start(w.config())
	await.True(t, "everything in the table", w.caughtUp)
	w.exactlyOnce(map[string]uint64{"gw": 10})
	want := map[string]uint64{"unknown-key": 1, "bad-signature": 1, corruptBlock: 1}
	if got := r.Stats().Refused; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("refused %v, want %v", got, want)
	}
}

func TestThinnedRecordsThatOverlapAreMarked(t *testing.T) {
	w := newWorld(t, "gw")
	covered := recordOf(t, "gw", record.FormatThinned, 0, 9, []telemetry.Sample{sampleOf(3)})
	over := recordOf(t, "gw", record.FormatThinned, 5, 24, []telemetry.Sample{sampleOf(8), sampleOf(17)})
	w.send(birth(t, "gw"), blockRecord(t, "gw", 0, 9), covered, over)
	w.start(w.config())
	await.True(t, "everything in the table", w.caughtUp)
	marked := 0
	rows := w.rows()
	for _, l := range rows {
		if l.Overlap {
			marked++
		}
	}
	if len(rows) != 12 || marked != 2 {
		t.Errorf("%d rows, %d of them marked", len(rows), marked)
	}
}

func TestARecordWaitsForItsTableAndIsWrittenWithoutIt(t *testing.T) {
	w := newWorld(t, "gw", "mute")
	w.send(blockRecord(t, "gw", 0, 9), blockRecord(t, "mute", 0, 9), blockRecord(t, "gw", 10, 19))
	cfg := w.config()
	cfg.ParkFor = time.Hour
	r, stop := w.start(cfg)
	await.True(t, "three records that wait", func() bool { return r.Stats().Parked == 3 })
	stop()
	// Whoever comes next reads them again.
	cfg.ParkFor = 50 * time.Millisecond
	w.send(birth(t, "gw"))
	r, _ = w.start(cfg)
	await.True(t, "everything in the table", w.caughtUp)
	named, nameless := 0, 0
	for _, l := range w.rows() {
		if l.Name != nil && l.Gateway == "gw" {
			named++
		} else if l.Name == nil && l.Gateway == "mute" {
			nameless++
		}
	}
	if named != 20 || nameless != 10 || r.Stats().Nameless != 1 {
		t.Errorf("%d rows with a name and %d without, %+v", named, nameless, r.Stats())
	}
}

func TestAStaleWriterStops(t *testing.T) {
	w := newWorld(t, "gw")
	w.send(birth(t, "gw"), blockRecord(t, "gw", 0, 9))
	old, _ := w.start(w.config())
	await.True(t, "the first commit", w.caughtUp)
	stale := w.config()
	ended := make(chan error, 1)
	stale.CommitEvery = time.Hour
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	second := NewRunner(stale)
	go func() { ended <- second.Run(ctx) }()
	await.True(t, "the second has opened the table", func() bool { return second.Stats().Version > 0 && !second.Stats().Current.IsZero() })
	w.send(blockRecord(t, "gw", 10, 19))
	await.True(t, "the second has read it", func() bool { return second.Stats().Waiting == perBlock })
	await.True(t, "the first has committed", w.caughtUp)
	cancel() // it then commits what it has read
	if err := <-ended; !errors.Is(err, iceberg.ErrFenced) {
		t.Errorf("the stale writer ended with %v", err)
	}
	w.send(blockRecord(t, "gw", 20, 29))
	await.True(t, "the first goes on", w.caughtUp)
	await.True(t, "three commits of the first", func() bool { return old.Stats().Samples == 30 })
	// What the stale writer left is found, and nothing else.
	deleted, err := iceberg.Clean(t.Context(), w.files, Definition(), false)
	if err != nil || !slices.ContainsFunc(deleted, func(name string) bool { return strings.HasPrefix(name, "data/") }) {
		t.Errorf("deleted %v, %v", deleted, err)
	}
	w.exactlyOnce(map[string]uint64{"gw": 30})
}

// killed kills processes that write at random moments, and counts.
func killed(t *testing.T, kills int) {
	w := newWorld(t, "gw-0", "gw-1", "gw-2")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	sent := map[string]uint64{}
	spool := t.TempDir()
	var old []*kgo.Record
	sendOne := func() {
		gateway := fmt.Sprintf("gw-%d", random.IntN(3))
		if sent[gateway] == 3*perBlock {
			w.send(birth(t, gateway))
		}
		r := blockRecord(t, gateway, sent[gateway], sent[gateway]+perBlock-1)
		sent[gateway] += perBlock
		old = append(old, again(r))
		w.send(r)
		if random.IntN(3) == 0 {
			r := *old[random.IntN(len(old))]
			w.send(&r)
		}
	}
	for gateway := range 3 { // all have told their tables in the end
		for range 4 {
			name := fmt.Sprintf("gw-%d", gateway)
			w.send(blockRecord(t, name, sent[name], sent[name]+perBlock-1))
			if sent[name] += perBlock; sent[name] == perBlock {
				w.send(birth(t, name))
			}
		}
	}
	version := func() int64 {
		st, err := ReadStatus(context.Background(), w.files)
		if err != nil {
			return 0
		}
		return st.Version
	}
	for range kills {
		spec, _ := json.Marshal(child{w.broker.ListenAddrs()[0], w.database, w.dir, spool})
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), lakeChild+"="+string(spec))
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		before := version()
		await.True(t, "a commit", func() bool { sendOne(); return version() > before })
		for end := time.Now().Add(time.Duration(random.IntN(30_000)) * time.Microsecond); time.Now().Before(end); {
			sendOne()
		}
		cmd.Process.Kill()
		cmd.Wait()
		if random.IntN(3) == 0 {
			if _, err := iceberg.Clean(t.Context(), w.files, Definition(), false); err != nil {
				t.Fatal(err)
			}
		}
	}
	sendOne() // one more version: what the last one killed left for it is then old
	_, stop := w.start(w.config())
	await.True(t, "everything in the table", w.caughtUp)
	stop()
	if _, err := iceberg.Clean(t.Context(), w.files, Definition(), false); err != nil {
		t.Fatal(err)
	}
	names, err := w.files.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.Contains(name, object.Temporary) {
			t.Errorf("%s is left", name)
		}
	}
	w.exactlyOnce(sent)
	t.Logf("%d kills, version %d, %v samples", kills, version(), sent)
}

func TestKilledAnywhereNothingIsLostOrDoubled(t *testing.T) { killed(t, 5) }

func TestTortureKilledAnywhere(t *testing.T) {
	if os.Getenv("BUSBAR_TORTURE") == "" {
		t.Skip("it takes minutes: make torture")
	}
	killed(t, 200)
}

func TestEveryKindOfMistakeIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		"log: {kafka: {brokers: [127.0.0.1:9092]}}\nstore: {path: a}\ntable: {}\n":                                                                                        "lake.yaml:3:",
		"log: {kafka: {brokers: [127.0.0.1:9092]}}\nstore: {path: a}\ntable: {path: b, s3: {endpoint: https://h, bucket: b, access_key_file: a, secret_key_file: s}}\n":   "both path and s3",
		"log: {kafka: {brokers: [127.0.0.1:9092]}}\nstore: {path: a}\ntable: {s3: {endpoint: 'http://far.example', bucket: b, access_key_file: a, secret_key_file: s}}\n": "isn't encrypted",
		"log: {kafka: {brokers: [127.0.0.1:9092]}}\nstore: {path: a}\ntable: {path: b}\ncommit: {every: 1ms}\n":                                                           "lake.yaml:4:17",
	} {
		if _, err := ParseConfig("lake.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q\n%v, want %q", text, err, want)
		}
	}
	for _, store := range []string{"{path: a}", "{postgres: {url: 'postgres://u@db.example/b', password_file: p, tls: {ca: ca.crt, cert: c, key: k}}}"} {
		if _, err := ParseConfig("lake.yaml", []byte("log: {kafka: {brokers: [127.0.0.1:9092]}}\nstore: "+store+"\ntable: {path: b}\n")); err != nil {
			t.Error(err)
		}
	}
}
