package share

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/postgres"
)

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

func open(t *testing.T, c store.Config) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// busy is who works on which part.
type busy struct {
	*testing.T
	mu    sync.Mutex
	who   map[int]string
	share map[string][]int
	// zombies may work on what others have already.
	zombies bool
}

func (b *busy) work(who string) func(context.Context, store.Share) {
	return func(ctx context.Context, mine store.Share) {
		b.mu.Lock()
		for _, p := range mine.Parts {
			if other := b.who[p]; other != "" && !b.zombies {
				b.Errorf("%s works on part %d, and so does %s", who, p, other)
			}
			b.who[p] = who
		}
		b.share[who] = mine.Parts
		b.mu.Unlock()
		<-ctx.Done()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, p := range mine.Parts {
			b.who[p] = ""
		}
		delete(b.share, who)
	}
}

// sizes is how many parts those have that have any, ascending.
func (b *busy) sizes() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var sizes []int
	for _, parts := range b.share {
		sizes = append(sizes, len(parts))
	}
	slices.Sort(sizes)
	return fmt.Sprint(sizes)
}

// Processes that come and go have as many parts as the others, and no two ever the same.
func TestPartsAreDividedEvenly(t *testing.T) {
	config := storetest.Postgres(t)
	b := &busy{T: t, who: map[int]string{}, share: map[string][]int{}}
	count := func(context.Context) (int, error) { return 7, nil }
	join := func(who string) (d *Division, leave func()) {
		d = New(Config{Store: open(t, config), Work: "w", Parts: count, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { d.Run(ctx, b.work(who)); close(done) }()
		leave = func() { cancel(); <-done }
		t.Cleanup(leave)
		return d, leave
	}
	divided := func(want string) {
		t.Helper()
		await.True(t, "parts divided as "+want, func() bool { return b.sizes() == want })
	}
	_, first := join("a")
	divided("[7]")
	join("b")
	divided("[3 4]")
	third, _ := join("c")
	divided("[2 2 3]")
	first()
	divided("[3 4]")
	if s := third.State(); s.Members != 2 || s.Share.Of != 7 || !s.Idle.IsZero() || s.Took.IsZero() {
		t.Errorf("%+v", s)
	}
}

// Of work that is of one part, one process does it; the others stand by, and one of them
// takes its place, also when the server has dropped its session.
func TestOneWorksAndTheOthersStandBy(t *testing.T) {
	config := storetest.Postgres(t)
	b := &busy{T: t, who: map[int]string{}, share: map[string][]int{}, zombies: true}
	var divisions []*Division
	for _, who := range []string{"a", "b"} {
		d := New(Config{Store: open(t, config), Work: "w", Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
		divisions = append(divisions, d)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { d.Run(ctx, b.work(who)); close(done) }()
		defer func() { cancel(); <-done }()
	}
	settled := func() bool {
		idle := 0
		for _, d := range divisions {
			if s := d.State(); s.Members != 2 {
				return false
			} else if !s.Idle.IsZero() {
				idle++
			}
		}
		return b.sizes() == "[1]" && idle == 1
	}
	await.True(t, "one to work", settled)
	s := open(t, config)
	if err := s.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND objid = 0
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	await.True(t, "the work to be given up", func() bool { return !settled() })
	await.True(t, "one to work again", settled)
}
