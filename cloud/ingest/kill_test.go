package ingest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/compact"
	"github.com/busbar/busbar/cloud/store"
	"github.com/twmb/franz-go/pkg/kgo"
)

const ingestChild = "BUSBAR_TEST_INGEST_CHILD"

func TestMain(m *testing.M) {
	if spec, child := os.LookupEnv(ingestChild); child {
		runIngest(spec)
		return
	}
	os.Exit(m.Run())
}

// runIngest is a process that ingests, and packs what it has, until it is killed.
func runIngest(spec string) {
	broker, path, _ := strings.Cut(spec, " ")
	s, err := store.Open(context.Background(), store.Config{Path: path})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	go func() {
		for r := compact.New(compact.Config{Store: s}); ; {
			if err := r.Pass(context.Background(), time.Now()); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		}
	}()
	New(Config{Log: []kgo.Opt{kgo.SeedBrokers(broker)}, Topics: topics, Store: s, FlushEvery: time.Millisecond, MaxSamples: 50}).Run(context.Background())
}

// Whatever the moment at which the process is killed, each sample that was sent,
// some of them several times, is stored once, packed or not.
func TestKilledAtAnyMoment(t *testing.T) {
	w := newWorld(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const gateways, kills, perBlock = 3, 30, 10
	var sent [gateways]uint64
	var again []*kgo.Record
	sendOne := func() {
		g := random.IntN(gateways)
		name := fmt.Sprintf("gw-%d", g)
		if sent[g] == 5*perBlock {
			w.send(birthRecord(t, name, signals(7)...))
		}
		b := blockRecord(t, name, 1, sent[g], sent[g]+perBlock-1, 7)
		again = append(again, &kgo.Record{Topic: b.Topic, Key: b.Key, Value: b.Value, Headers: b.Headers})
		w.send(b)
		sent[g] += perBlock
		if random.IntN(4) == 0 {
			old := *again[random.IntN(len(again))]
			w.send(&old)
		}
	}
	committed := func() string {
		offsets, err := w.store.Offsets(t.Context(), consumer)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(offsets)
	}
	for range kills {
		before := committed()
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), ingestChild+"="+w.broker.ListenAddrs()[0]+" "+w.path)
		child.Stdout, child.Stderr = os.Stderr, os.Stderr
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		w.await("a commit", func() bool { sendOne(); return committed() != before })
		for end := time.Now().Add(time.Duration(random.IntN(60_000)) * time.Microsecond); time.Now().Before(end); {
			sendOne()
		}
		child.Process.Kill()
		child.Wait()
	}
	for g := range gateways {
		if sent[g] <= 5*perBlock {
			t.Fatalf("gateway %d has sent %d samples only", g, sent[g])
		}
	}
	w.start(w.config())
	w.await("the rest", w.caughtUp)
	once := func() {
		t.Helper()
		for g := range gateways {
			w.exactlyOnce(fmt.Sprintf("gw-%d", g), sent[g])
		}
	}
	once()
	r := compact.New(compact.Config{Store: w.store})
	if err := r.Pass(t.Context(), time.Now()); err != nil {
		t.Error(err)
	}
	t.Logf("%d hours left to be packed", r.Stats().Packed)
	once()
}
