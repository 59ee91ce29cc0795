package iec104peer

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/busbar/busbar/test/peer"
)

// program is one that is told what to do by lines, and says what it does.
type program struct {
	t       testing.TB
	args    []string
	process *exec.Cmd
	in      io.WriteCloser

	mu   sync.Mutex
	said strings.Builder
}

// start starts it; if it runs, again.
func (p *program) start() {
	p.t.Helper()
	p.Kill()
	p.process = exec.Command(p.args[0], p.args[1:]...)
	p.process.Stdout, p.process.Stderr = (*said)(p), (*said)(p)
	var err error
	if p.in, err = p.process.StdinPipe(); err != nil {
		p.t.Fatal(err)
	}
	if err := p.process.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// Kill ends it as a power failure would.
func (p *program) Kill() {
	if p.process != nil {
		p.process.Process.Kill()
		p.process.Wait()
		p.process = nil
	}
}

// end ends it with the test, and shows what it said if that has failed.
func (p *program) end(name string) {
	p.Kill()
	if p.t.Failed() {
		p.t.Logf("%s: %s", name, p.Said())
	}
}

// Do has it do something: a station set IOA VALUE, or invalid IOA; a master what master.py
// says.
func (p *program) Do(format string, args ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.in, format+"\n", args...); err != nil {
		p.t.Fatal(err)
	}
}

// Said is what it has said, by lines.
func (p *program) Said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

type said program

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.Write(p)
}

// c104 is the command that runs one of our programs on c104; missing says why it can't.
func c104(name string) (command []string, missing string) {
	python := os.Getenv("BUSBAR_PYTHON")
	if python == "" {
		python = filepath.Join(peer.Root(), ".venv", "bin", "python")
	}
	if out, err := exec.Command(python, "-c", "import c104").CombinedOutput(); err != nil {
		return nil, strings.TrimSpace(string(out) + err.Error())
	}
	return []string{python, filepath.Join(peer.Root(), "test", "peers", "iec104", name)}, ""
}
