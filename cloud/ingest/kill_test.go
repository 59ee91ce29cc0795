package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/compact"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/postgres"
	"github.com/twmb/franz-go/pkg/kgo"
)

const ingestChild = "BUSBAR_TEST_INGEST_CHILD"

func TestMain(m *testing.M) {
	if spec, child := os.LookupEnv(ingestChild); child {
		runIngest(spec)
		return
	}
	os.Exit(storetest.Main(m))
}

// child is what a process ingests from and into.
type child struct {
	Broker   string
	Database store.Config
	Share    bool // the work with others
}

// runIngest is a process that ingests, and packs what it has, until it is killed.
func runIngest(spec string) {
	var c child
	err := json.Unmarshal([]byte(spec), &c)
	var s *store.Store
	for err == nil {
		// The database may be down, too.
		if s, err = store.Open(context.Background(), c.Database); err == nil {
			break
		}
		if c.Database.Postgres != nil {
			time.Sleep(10 * time.Millisecond)
			err = nil
		}
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if c.Share {
		runShare(c, s)
		return
	}
	go func() {
		for r := compact.New(compact.Config{Store: s}); ; {
			if err := r.Pass(context.Background(), time.Now()); err != nil {
				if c.Database.Postgres == nil {
					fmt.Println(err)
					os.Exit(1)
				}
				time.Sleep(10 * time.Millisecond) // the database may be down
			}
		}
	}()
	New(c.config(s)).Run(context.Background())
}

func (c child) config(s *store.Store) Config {
	return Config{Log: []kgo.Opt{kgo.SeedBrokers(c.Broker)}, Topics: topics, Store: s, FlushEvery: time.Millisecond, MaxSamples: 50}
}

// load is gateways that send on and on, some of it several times.
type load struct {
	*world
	random *rand.Rand
	sent   [5]uint64 // by gateway
	again  []*kgo.Record
}

const (
	perBlock = 10
	unborn   = 5 * perBlock // samples that a gateway sends before its births
)

func newLoad(w *world) *load {
	seed := uint64(time.Now().UnixNano())
	w.Logf("seed %d", seed)
	l := &load{world: w, random: rand.New(rand.NewPCG(seed, 0))}
	for g := range l.sent {
		l.enrol(l.name(g))
	}
	return l
}

func (l *load) name(g int) string { return fmt.Sprintf("gw-%d", g) }

func (l *load) sendOne() {
	g := l.random.IntN(len(l.sent))
	if l.sent[g] == unborn {
		l.send(birthRecord(l, l.name(g), signals(7)...))
	}
	b := blockRecord(l, l.name(g), 1, l.sent[g], l.sent[g]+perBlock-1, 7)
	l.again = append(l.again, &kgo.Record{Topic: b.Topic, Key: b.Key, Value: b.Value, Headers: b.Headers})
	l.send(b)
	l.sent[g] += perBlock
	if l.random.IntN(4) == 0 {
		old := *l.again[l.random.IntN(len(l.again))]
		l.send(&old)
	}
}

// awaitCommit sends until somebody has committed, and some 10 ms longer.
func (l *load) awaitCommit() {
	l.Helper()
	// The database may have been killed a moment ago.
	committed := func() (string, bool) {
		offsets, err := l.store.Offsets(context.Background(), Consumer)
		return fmt.Sprint(offsets), err == nil
	}
	var before string
	await.True(l, "the database", func() (ok bool) { before, ok = committed(); return ok })
	await.True(l, "a commit", func() bool {
		l.sendOne()
		now, ok := committed()
		return ok && now != before
	})
	for end := time.Now().Add(time.Duration(l.random.IntN(60_000)) * time.Microsecond); time.Now().Before(end); {
		l.sendOne()
	}
}

// startChild starts a process that ingests, until kill is called.
func (l *load) startChild() (kill func()) {
	cmd := l.launch(false)
	killed := false
	kill = func() {
		if !killed {
			killed = true
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
	l.Cleanup(kill)
	return kill
}

func (l *load) launch(share bool) *exec.Cmd {
	l.Helper()
	spec, err := json.Marshal(child{l.broker.ListenAddrs()[0], l.database, share})
	if err != nil {
		l.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), ingestChild+"="+string(spec))
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		l.Fatal(err)
	}
	return cmd
}

// storedOnce takes the rest, and fails unless all that was sent is stored once.
func (l *load) storedOnce() {
	l.Helper()
	for g, sent := range l.sent {
		if sent <= unborn {
			l.Fatalf("gateway %d has sent %d samples only", g, sent)
		}
	}
	l.start(l.config())
	await.True(l, "the rest", l.caughtUp)
	once := func() {
		l.Helper()
		for g, sent := range l.sent {
			l.exactlyOnce(l.name(g), sent)
		}
	}
	once()
	r := compact.New(compact.Config{Store: l.store})
	if err := r.Pass(context.Background(), time.Now()); err != nil {
		l.Error(err)
	}
	l.Logf("%d hours left to be packed", r.Stats().Packed)
	once()
}

// Whatever the moment at which the process is killed, each sample that was sent,
// some of them several times, is stored once, packed or not.
func TestKilledAtAnyMoment(t *testing.T) {
	l := newLoad(newWorld(t))
	for range 30 {
		kill := l.startChild()
		l.awaitCommit()
		kill()
	}
	l.storedOnce()
}

// The same with PostgreSQL, which is killed as well, alone or with the process.
func TestPostgresKilledAtAnyMoment(t *testing.T) { killPostgres(t, 5) }

func TestTorturePostgresKilledAtAnyMoment(t *testing.T) {
	if os.Getenv("BUSBAR_TORTURE") == "" {
		t.Skip("set BUSBAR_TORTURE for 200 kills of PostgreSQL and of the process")
	}
	killPostgres(t, 200)
}

func killPostgres(t *testing.T, kills int) {
	if !storetest.OnPostgres() {
		t.Skip("it runs with PostgreSQL")
	}
	server := postgres.Start(t)
	if err := server.Create("ingest", ""); err != nil {
		t.Fatal(err)
	}
	l := newLoad(newWorldIn(t, store.Config{Postgres: &store.Postgres{URL: server.URL("ingest")}}))
	kill := l.startChild()
	for i := range kills {
		l.awaitCommit()
		if i%3 == 1 {
			kill()
		}
		server.Kill()
		for range l.random.IntN(5) {
			l.sendOne()
		}
		if err := server.Restart(); err != nil {
			t.Fatal(err)
		}
		if i%3 == 2 {
			kill()
		}
		if i%3 > 0 {
			kill = l.startChild()
		}
	}
	l.awaitCommit()
	kill()
	l.storedOnce()
}
