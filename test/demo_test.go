package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

type summary struct {
	Read       int64   `json:"samples_read"`
	Stored     int64   `json:"samples_stored"`
	Lost       int64   `json:"samples_lost"`
	Duplicated int64   `json:"samples_duplicated"`
	Raised     int     `json:"alarms_raised"`
	Cleared    int     `json:"alarms_cleared"`
	P50        float64 `json:"alarm_latency_ms_p50"`
	P99        float64 `json:"alarm_latency_ms_p99"`
	Outages    []struct {
		Device    string `json:"device"`
		Customers int    `json:"customers"`
		State     string `json:"state"`
		Alarms    int    `json:"alarms"`
	} `json:"outages"`
	Restarts int      `json:"restarts"`
	Problems []string `json:"problems"`
}

const storyTime = 45 * time.Second

// demo runs the story; meanwhile does what the test wants to do to it.
func demo(t *testing.T, dir string, meanwhile func(running *exec.Cmd)) (summary, int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "busbar"), "demo", "--for", storyTime.String(), "--headless", "--dir", dir, "--console", freeAddress(t), "--grid", freeAddress(t))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	meanwhile(cmd)
	cmd.Wait()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var s summary
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &s); err != nil {
		t.Fatalf("the last line is no summary: %v\n%s", err, out.String())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s\n%s\n%s", out.String(), tail(filepath.Join(dir, "gateway.log")), tail(filepath.Join(dir, "cloud.log")))
		}
	})
	return s, cmd.ProcessState.ExitCode()
}

func (s summary) check(t *testing.T, code int) {
	t.Helper()
	if code != 0 || len(s.Problems) > 0 {
		t.Errorf("exit code %d, problems %q", code, s.Problems)
	}
	if s.Lost != 0 || s.Duplicated != 0 || s.Read == 0 || s.Read != s.Stored {
		t.Errorf("samples: %+v", s)
	}
	if s.Raised < 3 || s.Cleared != s.Raised {
		t.Errorf("alarms: %+v", s)
	}
	// One outage, of the breaker that opened, with all who are behind it; its alarm stands
	// for those of their meters; and supply is back.
	if len(s.Outages) != 1 {
		t.Fatalf("%d outages: %+v", len(s.Outages), s)
	}
	if o := s.Outages[0]; o.Device != "feeder-2-breaker" || o.Customers != 44 || o.Alarms < 12 || o.State != "restored" && o.State != "verified" {
		t.Errorf("the outage: %+v", o)
	}
}

func TestDemoTellsTheStory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, code := demo(t, dir, func(*exec.Cmd) {})
	s.check(t, code)
	if s.P50 <= 0 || s.P99 < s.P50 {
		t.Errorf("latencies: %+v", s)
	}
	if missing, _ := compareWithMeters(t, dir); missing != 0 {
		t.Errorf("%d answers of the meters that were always on are missing, with nothing killed", missing)
	}
}

// Killed again and again, gateway and cloud lose nothing that was committed and
// store nothing twice. The meters number their answers, which tells the truth
// without asking Busbar.
func TestDemoSurvivesKills(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const kills = 8
	gatewayKills := 1
	began := time.Now()
	s, code := demo(t, dir, func(running *exec.Cmd) {
		time.Sleep(5 * time.Second)
		for i := range kills {
			victim := []string{"gateway", "cloud"}[i%2]
			if victim == "gateway" {
				gatewayKills++
			}
			pid := child(t, running.Process.Pid, victim)
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Errorf("kill the %s: %v", victim, err)
			}
			time.Sleep(time.Duration(1500+rand.IntN(2000)) * time.Millisecond)
		}
		// The story ends before the gateway is started again.
		time.Sleep(time.Until(began.Add(storyTime - 200*time.Millisecond)))
		if err := syscall.Kill(child(t, running.Process.Pid, "gateway"), syscall.SIGKILL); err != nil {
			t.Errorf("kill the gateway: %v", err)
		}
	})
	s.check(t, code)
	if s.Restarts < kills+1 {
		t.Errorf("%d restarts, at least %d were expected", s.Restarts, kills+1)
	}
	missing, answers := compareWithMeters(t, dir)
	// A killed gateway takes with it what it had read and not committed: at most
	// a second of polls, one in flight, for each of the six meters.
	if most := gatewayKills * 3 * 6; missing > most {
		t.Errorf("%d of %d answers are missing after %d kills of the gateway, at most %d may be", missing, answers, gatewayKills, most)
	}
}

// Whoever has started the demo in a terminal and closes it, or has read enough of
// what it prints, leaves nothing behind.
func TestDemoCleansUpWhenNobodyIsThere(t *testing.T) {
	t.Parallel()
	temporary := t.TempDir()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(bin, "busbar"), "demo", "--console", freeAddress(t), "--grid", freeAddress(t))
	cmd.Env = append(os.Environ(), "TMPDIR="+temporary)
	cmd.Stdout = write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	write.Close()
	if _, err := read.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	read.Close()
	child(t, cmd.Process.Pid, "gateway")
	closed := syscall.SIGHUP
	if signal.Ignored(closed) {
		closed = syscall.SIGTERM // under nohup, children don't hear of terminals either
	}
	if err := cmd.Process.Signal(closed); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// child finds the process of one of the demo's programs.
func child(t *testing.T, parent int, name string) (pid int) {
	t.Helper()
	await(t, "the "+name+" runs", 10*time.Second, func() bool {
		stats, _ := filepath.Glob("/proc/[0-9]*/stat")
		for _, path := range stats {
			text, err := os.ReadFile(path)
			if err != nil {
				continue
			}
			fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
			id, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if ppid, _ := strconv.Atoi(fields[1]); ppid != parent || fields[0] == "Z" {
				continue
			}
			if line, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline")); bytes.Contains(line, []byte("busbar-"+name)) {
				pid = id
				return true
			}
		}
		return false
	})
	return pid
}

// compareWithMeters reads the numbered answers of the transformers' meters, which are
// never silent, from the store: every number at most once, in order. It returns how
// many of those that the meters gave are missing.
func compareWithMeters(t *testing.T, dir string) (missing, answers int) {
	t.Helper()
	given := answersOf(t, filepath.Join(dir, "answers.json"))
	s, err := store.Open(t.Context(), store.Config{Path: filepath.Join(dir, "cloud.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	series, err := s.Series(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, one := range series {
		if one.Name != "Answers" {
			continue
		}
		compared++
		_, samples, err := s.Samples(context.Background(), one.ID, 0, telemetry.MicrosOf(time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		var numbers []uint64
		for _, sample := range samples {
			if sample.Value.Kind() != telemetry.None {
				numbers = append(numbers, sample.Value.Bits())
			}
		}
		if !slices.IsSorted(numbers) || len(slices.Compact(slices.Clone(numbers))) != len(numbers) {
			t.Errorf("%s: the answers' numbers are not strictly rising: %v", one.Device, numbers)
		}
		missing += int(given[one.Device]) - len(numbers)
		answers += int(given[one.Device])
	}
	if compared != 6 || answers == 0 {
		t.Fatalf("%d meters compared, %d answers: the comparison compares nothing", compared, answers)
	}
	return missing, answers
}

// answersOf is what a simulated grid's meters have counted.
func answersOf(t *testing.T, path string) (counted map[string]uint64) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &counted)
	}
	if err != nil {
		t.Fatal(err)
	}
	return counted
}

func lastAnswers(t *testing.T, path string) map[string]uint64 {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	last := map[string]uint64{}
	for line := range strings.Lines(string(text)) {
		var entry struct {
			What    string            `json:"what"`
			Answers map[string]uint64 `json:"answers"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(fmt.Errorf("%s: %w", path, err))
		}
		if entry.What == "answers" {
			last = entry.Answers
		}
	}
	return last
}
