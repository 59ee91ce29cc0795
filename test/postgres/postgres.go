// Package postgres runs PostgreSQL servers for tests, each in a directory of its own
// and reached by a Unix socket. It needs the server's programs: Debian's postgresql.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a server whose databases have byte order nowhere by themselves: texts are
// compared as English has them unless their column says otherwise.
type Server struct {
	dir     string
	options []string
	port    int // of its socket's name

	mu      sync.Mutex
	process *os.Process
	ended   chan struct{} // closed when the process is gone
}

// Fast has a server promise nothing for the case that the machine fails.
var Fast = []string{"fsync=off", "full_page_writes=off"}

// Start makes a server that runs, with settings of its own, until the test ends. It
// fails the test in CI, and skips it elsewhere, if PostgreSQL isn't installed.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := start(settings)
	if err != nil {
		missing(t, err)
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

var errAbsent = errors.New("PostgreSQL isn't installed: apt-get install postgresql")

func missing(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, errAbsent) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
}

func program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) == 0 {
		return "", errAbsent
	}
	return found[len(found)-1], nil
}

func start(settings []string) (*Server, error) {
	initdb, err := program("initdb")
	if err != nil {
		return nil, err
	}
	// The path of a socket is short.
	dir, err := os.MkdirTemp("/tmp", "busbar-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, options: settings, port: 5432}
	attributes, err := s.asUser()
	if err != nil {
		s.Stop()
		return nil, err
	}
	cmd := exec.Command(initdb, "--pgdata", s.data(), "--username", "busbar", "--auth", "trust", "--encoding", "UTF8", "--no-sync",
		"--locale", "C.UTF-8", "--locale-provider", "icu", "--icu-locale", "en")
	cmd.Dir, cmd.SysProcAttr = dir, attributes
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Stop()
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if err := s.Restart(); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Restart starts the server again, after it was killed, and waits until it answers.
func (s *Server) Restart() error {
	postgres, err := program("postgres")
	if err != nil {
		return err
	}
	attributes, err := s.asUser()
	if err != nil {
		return err
	}
	args := []string{"-D", s.data(), "-k", s.dir, "-c", "listen_addresses=", "-c", "shared_buffers=64MB", "-c", "max_connections=300"}
	for _, option := range s.options {
		args = append(args, "-c", option)
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(postgres, args...)
	cmd.Dir, cmd.SysProcAttr, cmd.Stdout, cmd.Stderr = s.dir, attributes, log, log
	started, ended := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // the process ends with the thread that started it
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
		close(ended)
	}()
	if err := <-started; err != nil {
		return err
	}
	s.mu.Lock()
	s.process, s.ended = cmd.Process, ended
	s.mu.Unlock()
	for deadline := time.Now().Add(time.Minute); ; {
		err := s.exec("postgres", "SELECT 1")
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			text, _ := os.ReadFile(log.Name())
			return fmt.Errorf("PostgreSQL has ended:\n%s", text)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("PostgreSQL doesn't answer: %w", err)
		}
	}
}

func (s *Server) end(signal syscall.Signal) {
	s.mu.Lock()
	process, ended := s.process, s.ended
	s.mu.Unlock()
	if process != nil {
		process.Signal(signal)
		<-ended
	}
}

// Stop ends the server and removes all that it has.
func (s *Server) Stop() {
	s.end(syscall.SIGQUIT)
	os.RemoveAll(s.dir)
}

// CPU is the time that the server's processes have used since it was started last, those
// that have ended included.
func (s *Server) CPU() (used time.Duration) {
	const tick = 10 * time.Millisecond // of the kernel's counts, everywhere
	s.mu.Lock()
	pid := s.process.Pid
	s.mu.Unlock()
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for i, process := range append([]string{strconv.Itoa(pid)}, strings.Fields(string(children))...) {
		stat, _ := os.ReadFile("/proc/" + process + "/stat")
		_, counts, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(counts)
		last := 13 // user and system time
		if i == 0 {
			last = 15 // and those of children that have ended
		}
		for at := 11; at < min(last, len(fields)); at++ {
			n, _ := strconv.Atoi(fields[at])
			used += time.Duration(n) * tick
		}
	}
	return used
}

// URL is that of one of its databases.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("postgres://busbar@/%s?host=%s&port=%d", database, s.dir, s.port)
}

// Create makes a database, as a copy of another one, or as a new one if that is "".
func (s *Server) Create(database, from string) error {
	if from == "" {
		from = "template0"
	}
	return s.exec("postgres", "CREATE DATABASE "+database+" TEMPLATE "+from)
}

func (s *Server) exec(database, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL(database))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", strings.SplitN(statement, "\n", 2)[0], err)
	}
	return nil
}
