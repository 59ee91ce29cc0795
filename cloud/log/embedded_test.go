package log

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const embeddedChild = "BUSBAR_TEST_EMBEDDED_CHILD"

func TestMain(m *testing.M) {
	if spec, child := os.LookupEnv(embeddedChild); child {
		runEmbedded(spec)
		return
	}
	os.Exit(m.Run())
}

// runEmbedded is a process with a broker, until its standard input ends.
func runEmbedded(spec string) {
	listen, dir, _ := strings.Cut(spec, " ")
	e, err := StartEmbedded(context.Background(), EmbeddedOptions{Listen: listen, Dir: dir, Topics: []Topic{{Name: "t", Partitions: 2}}})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	e.Close()
}

type brokerProcess struct {
	cmd   *exec.Cmd
	stdin io.Closer
}

func startBroker(t *testing.T, listen, dir string) brokerProcess {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), embeddedChild+"="+listen+" "+dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if line != "ready\n" {
		t.Fatalf("broker process: %q, %v", line, err)
	}
	return brokerProcess{cmd, stdin}
}

func (p brokerProcess) kill()  { p.cmd.Process.Kill(); p.cmd.Wait() }
func (p brokerProcess) close() { p.stdin.Close(); p.cmd.Wait() }

// A producer carries on over an orderly stop and kills, and every record that
// it got an acknowledgement for is in the log, in order.
func TestEmbeddedKeepsWhatItAcknowledged(t *testing.T) {
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen, dir := port.Addr().String(), t.TempDir()
	port.Close()
	broker := startBroker(t, listen, dir)
	opts := []kgo.Opt{kgo.SeedBrokers(listen)}
	producer := client(t, opts, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }))
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	// Each stop comes while records are under way.
	const perStop = 300
	acked := make(chan error, 6*perStop)
	sent := 0
	for stop := range 6 {
		for range perStop {
			producer.Produce(ctx, &kgo.Record{Topic: "t", Value: []byte(strconv.Itoa(sent))}, func(_ *kgo.Record, err error) { acked <- err })
			sent++
			if sent%50 == 0 {
				if err := <-acked; err != nil {
					t.Fatalf("after stop %d: %v", stop, err)
				}
				acked <- nil
			}
		}
		if stop == 1 || stop == 3 {
			broker.close()
		} else {
			broker.kill()
		}
		broker = startBroker(t, listen, dir)
	}
	for range sent {
		if err := <-acked; err != nil {
			t.Fatal(err)
		}
	}
	broker.kill()
	broker = startBroker(t, listen, dir)
	defer broker.kill()
	r, err := OpenReader(ctx, opts, []string{"t"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for next := 0; next < sent; {
		records, err := r.Poll(ctx, time.Minute, 1000)
		if err != nil || ctx.Err() != nil {
			t.Fatalf("after %d of %d records: %v", next, sent, err)
		}
		for _, rec := range records {
			n, _ := strconv.Atoi(string(rec.Value))
			if n > next {
				t.Fatalf("record %d comes after %d", n, next-1)
			}
			next = max(next, n+1)
		}
	}
}

func TestEmbeddedRefusesAWildcardAddress(t *testing.T) {
	for _, listen := range []string{":9092", "0.0.0.0:9092", "[::]:9092", "9092"} {
		if _, err := StartEmbedded(t.Context(), EmbeddedOptions{Listen: listen, Dir: t.TempDir()}); err == nil {
			t.Errorf("%s is accepted", listen)
		}
	}
}

func TestEmbeddedHasItsDirectoryAlone(t *testing.T) {
	o := EmbeddedOptions{Listen: "127.0.0.1:0", Dir: filepath.Join(t.TempDir(), "log"), Topics: []Topic{{Name: "t", Partitions: 1}}}
	first, err := StartEmbedded(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(o.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info.Mode(), err)
	}
	if _, err := StartEmbedded(t.Context(), o); !errors.Is(err, errInUse) || !strings.Contains(err.Error(), o.Dir) {
		t.Errorf("a second broker: %v", err)
	}
	first.Close()
	second, err := StartEmbedded(t.Context(), o)
	if err != nil {
		t.Fatalf("after the first was closed: %v", err)
	}
	second.Close()
}

// Offsets would count from the start again if a restart gave topics new ids.
func TestEmbeddedKeepsTopicIDs(t *testing.T) {
	dir := t.TempDir()
	var ids [2]string
	for i := range ids {
		e, err := StartEmbedded(t.Context(), EmbeddedOptions{Listen: "127.0.0.1:0", Dir: dir, Topics: []Topic{{Name: "t", Partitions: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := OpenReader(t.Context(), []kgo.Opt{kgo.SeedBrokers(e.Addr())}, []string{"t"}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = r.TopicID("t")
		r.Close()
		e.Close()
	}
	if ids[0] == "" || ids[0] != ids[1] {
		t.Errorf("ids %q", ids)
	}
}
