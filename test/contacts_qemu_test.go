package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/firmware-config/cpio"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/machine"
)

// level is what the machine has read of a line.
type level struct {
	Name, Value, Quality string
	Time, Received       telemetry.Micros
}

// A real kernel's lines: a key that is pressed is seen twice, with the moments of its
// edges; one that isn't pressed for long enough not at all; and a line that there isn't,
// or that somebody else has, touches no other.
func TestContactsAtARealKernel(t *testing.T) {
	m := machine.Demand(t, machine.ARM)
	dir := t.TempDir()
	if err := m.Build(dir, "./contacts"); err != nil {
		t.Fatal(err)
	}
	initrd, console, monitor := filepath.Join(dir, "initrd.gz"), filepath.Join(dir, "console"), filepath.Join(dir, "monitor")
	if err := cpio.WriteFile(initrd, cpio.File{Path: "init", From: filepath.Join(dir, "contacts")}); err != nil {
		t.Fatal(err)
	}
	cmd := m.Command(initrd, console, "", "-accel", "tcg", "-cpu", "cortex-a72", "-m", "256", "-qmp", "unix:"+monitor+",server=on,wait=off")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() { cmd.Process.Kill(); <-ended })
	key := &keyOf{t: t, monitor: monitor}
	phases := map[string]map[string][]level{}
	phase, pressed, done := "", 0, false
	read := 0 // of the console
	await(t, "the machine ends", 5*time.Minute, func() bool {
		over := false
		select {
		case <-ended:
			over = true
		default:
		}
		text, _ := os.ReadFile(console)
		for {
			line, _, whole := strings.Cut(string(text[read:]), "\n")
			if !whole {
				return over
			}
			read += len(line) + 1
			said, is := strings.CutPrefix(strings.TrimSpace(line), "guest ")
			word, rest, _ := strings.Cut(said, " ")
			switch {
			case !is:
			case word == "phase":
				fmt.Sscanf(rest, "%q", &phase)
				phases[phase] = map[string][]level{}
			case word == "press":
				pressed++
				key.press()
			case word == "read":
				var l level
				if err := json.Unmarshal([]byte(rest), &l); err != nil {
					t.Fatal(err)
				}
				phases[phase][l.Name] = append(phases[phase][l.Name], l)
			case word == "done":
				done = true
			default:
				t.Errorf("guest: %s", said)
			}
		}
	})
	if !done || pressed != 4 {
		t.Fatalf("it pressed %d times and didn't end well: %s\n%s", pressed, errs.String(), tail(console))
	}
	for name, want := range map[string]string{"plain": "false true false true false", "active low": "true false true", "debounced": "false"} {
		p := phases[name]
		var got []string
		for i, l := range p["Key"] {
			got = append(got, l.Value)
			if l.Quality != "good" || l.Time > l.Received || i > 0 && l.Time <= p["Key"][i-1].Time {
				t.Errorf("%s: %+v", name, l)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, expected %s", name, got, want)
			continue
		}
		for i := 1; i+1 < len(got); i += 2 {
			if held := p["Key"][i+1].Time - p["Key"][i].Time; held < 50_000 || held > 1_000_000 {
				t.Errorf("%s: the key was down for %d µs, expected some 100 ms", name, held)
			}
		}
		if still := p["Still"]; len(still) != 1 || still[0].Value != "false" || still[0].Quality != "good" {
			t.Errorf("%s: %+v", name, still)
		}
		for lacking, quality := range map[string]string{"Beyond": "bad (refused by device)", "Again": "bad (refused by device)"} {
			if l := p[lacking]; len(l) != 1 || l[0].Quality != quality {
				t.Errorf("%s: %s: %+v, expected %s", name, lacking, l, quality)
			}
		}
	}
}

// keyOf is the machine's power key, which its monitor presses.
type keyOf struct {
	t       *testing.T
	monitor string
	conn    net.Conn
	answers *bufio.Reader
}

func (k *keyOf) press() {
	k.t.Helper()
	if k.conn == nil {
		conn, err := net.Dial("unix", k.monitor)
		if err != nil {
			k.t.Fatal(err)
		}
		k.t.Cleanup(func() { conn.Close() })
		k.conn, k.answers = conn, bufio.NewReader(conn)
		k.expect("QMP")
		k.do("qmp_capabilities")
	}
	k.do("system_powerdown")
}

func (k *keyOf) do(command string) {
	k.t.Helper()
	if _, err := fmt.Fprintf(k.conn, "{\"execute\": %q}\n", command); err != nil {
		k.t.Fatal(err)
	}
	k.expect("return")
}

// expect reads up to an answer that has the key; events come between.
func (k *keyOf) expect(key string) {
	k.t.Helper()
	k.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	for {
		line, err := k.answers.ReadBytes('\n')
		if err != nil {
			k.t.Fatalf("the machine's monitor: %v", err)
		}
		var answer map[string]json.RawMessage
		if json.Unmarshal(line, &answer) == nil && answer[key] != nil {
			return
		}
	}
}
