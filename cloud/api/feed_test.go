package api

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/telemetry"
)

// facts is an API on a store to which a test adds facts.
type facts struct {
	testing.TB
	store  *store.Store
	server *httptest.Server
}

func openFacts(t testing.TB, at store.Config) *facts {
	t.Helper()
	s, err := store.Open(context.Background(), at)
	if err != nil {
		t.Fatal(err)
	}
	f := &facts{t, s, httptest.NewServer(Guard(New(Options{Version: "test", Store: s, Live: NewLive(), Log: quiet}), nil, false))}
	t.Cleanup(f.close)
	return f
}

func (f *facts) close() {
	f.server.CloseClientConnections()
	f.server.Close()
	f.store.Close()
}

// add adds a fact that says when it was added, in about so many bytes.
func (f *facts) add(size int) {
	f.Helper()
	err := f.store.Write(context.Background(), func(t *store.Tx) error {
		_, err := t.AddFact("alarm", 1, map[string]any{"at": time.Now().UnixMicro(), "summary": strings.Repeat("x", size)})
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
}

// follow calls each with the number and the data of each fact of a stream, until it says
// no more.
func (f *facts) follow(last string, open func(), each func(seq int64, data string) bool) error {
	request, err := http.NewRequest("GET", f.server.URL+"/api/v1/stream", nil)
	if err != nil {
		return err
	}
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	var seq int64
	for lines.Scan() {
		line := lines.Text()
		if line == ": busbar" {
			open()
		}
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			seq, _ = strconv.ParseInt(id, 10, 64)
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok && !each(seq, data) {
			return nil
		}
	}
	return lines.Err()
}

// Each of many streams has every fact once and in order, where it begins anew and where
// it resumes.
func TestEveryStreamHasEveryFact(t *testing.T) {
	f := openFacts(t, storetest.New(t))
	const before, after = 20, 60
	for range before {
		f.add(10)
	}
	var opened, ended sync.WaitGroup
	for i := range 40 {
		last, first := "", int64(before+1)
		if i%2 == 1 {
			last, first = strconv.Itoa(i/2), int64(i/2+1)
		}
		opened.Add(1)
		ended.Go(func() {
			next := first
			err := f.follow(last, opened.Done, func(seq int64, _ string) bool {
				if seq != next {
					t.Errorf("stream %d has fact %d, want %d", i, seq, next)
					return false
				}
				next++
				return next <= before+after
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	opened.Wait()
	for range after {
		f.add(10)
	}
	ended.Wait()
}

// A client resumes where it was although the cloud has been started anew, and facts have
// been added meanwhile.
func TestStreamResumesAfterARestart(t *testing.T) {
	at := storetest.New(t)
	f := openFacts(t, at)
	f.add(10)
	f.add(10)
	var last int64
	if err := f.follow("0", func() {}, func(seq int64, _ string) bool { last = seq; return false }); err != nil {
		t.Fatal(err)
	}
	f.close()
	f = openFacts(t, at)
	f.add(10)
	var got []int64
	if err := f.follow(strconv.FormatInt(last, 10), func() {}, func(seq int64, _ string) bool { got = append(got, seq); return len(got) < 2 }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, []int64{last + 1, last + 2}) {
		t.Errorf("after %d came %d", last, got)
	}
}

// What a stream that resumes has read from the store may wait in its queue as well.
func TestNoFactIsSentTwice(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s := eventWriter{w, http.NewResponseController(w), store.Sight{All: true}}
		after, err := s.frames(framesOf([]store.Fact{{Seq: 7, Kind: "alarm"}, {Seq: 8, Kind: "alarm"}, {Seq: 9, Kind: "alarm"}}), 7)
		if err == nil {
			after, err = s.frames(append(framesOf([]store.Fact{{Seq: 9, Kind: "alarm"}, {Seq: 10, Kind: "alarm"}}), frame{text: []byte("id: newest\n")}), after)
		}
		if after != 10 || err != nil {
			t.Errorf("after %d, %v", after, err)
		}
	}))
	defer server.Close()
	response, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if ids := regexp.MustCompile(`id: (\w+)`).FindAllString(string(body), -1); err != nil || strings.Join(ids, " ") != "id: 8 id: 9 id: 10 id: newest" {
		t.Errorf("%q, %v", ids, err)
	}
}

// A feed that has ended leaves the values to the one that has begun since.
func TestAFeedThatHasEndedTakesNoValues(t *testing.T) {
	live := NewLive()
	live.want(true)
	live.Publish([]telemetry.Sample{{Signal: 1, Value: telemetry.FloatValue(1)}})
	f := newFeed(Options{Live: live, Log: quiet})
	ended, end := context.WithCancel(t.Context())
	end()
	f.handOutLatest(ended)
	if n := len(live.take()); n != 1 {
		t.Errorf("%d values are left", n)
	}
}

func TestAQueueHasABound(t *testing.T) {
	q := &queue{wake: make(chan struct{}, 1)}
	for seq := range int64(mostBehind) {
		q.put([]frame{{seq: seq + 1}})
	}
	if frames, lost, _ := q.take(); len(frames) != mostBehind || lost != 0 {
		t.Errorf("%d frames, lost up to %d", len(frames), lost)
	}
	for seq := range int64(mostBehind + 2) {
		q.put([]frame{{seq: seq + 1}})
	}
	if frames, lost, _ := q.take(); len(frames) != 1 || frames[0].seq != mostBehind+2 || lost != mostBehind+1 {
		t.Errorf("%d frames, lost up to %d", len(frames), lost)
	}
}

// 1,000 streams, and 20 events of 400 bytes in a second: how long each takes from before
// its transaction to the client, of ten seconds.
func BenchmarkThousandStreams(b *testing.B) {
	f := openFacts(b, storetest.SQLite(b))
	const streams, events = 1000, 200
	for b.Loop() {
		var mu sync.Mutex
		var took []float64
		var failed atomic.Int64
		var opened, ended sync.WaitGroup
		for range streams {
			opened.Add(1)
			ended.Go(func() {
				mine := make([]float64, 0, events)
				err := f.follow("", opened.Done, func(_ int64, data string) bool {
					var fact struct {
						At telemetry.Micros
					}
					json.Unmarshal([]byte(data), &fact)
					mine = append(mine, float64(time.Now().UnixMicro()-int64(fact.At))/1000)
					return len(mine) < events
				})
				if err != nil || len(mine) != events {
					failed.Add(1)
				}
				mu.Lock()
				took = append(took, mine...)
				mu.Unlock()
			})
		}
		opened.Wait()
		pace := time.NewTicker(50 * time.Millisecond)
		for range events {
			<-pace.C
			f.add(350)
		}
		pace.Stop()
		ended.Wait()
		if failed.Load() > 0 {
			b.Fatalf("%d streams have lost events", failed.Load())
		}
		slices.Sort(took)
		b.ReportMetric(took[len(took)/2], "p50-ms")
		b.ReportMetric(took[len(took)*99/100], "p99-ms")
		b.ReportMetric(took[len(took)-1], "max-ms")
	}
	b.ReportMetric(0, "ns/op")
}
