package postgres

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// shared is the one server of a test's process.
var shared struct {
	sync.Mutex
	server *Server
	err    error
	full   bool // there is the template
	made   atomic.Int64
}

const template = "template_busbar"

// Main runs a package's tests, and then Stop.
func Main(m *testing.M) int {
	defer Stop()
	return m.Run()
}

// Stop ends the server that the tests of this process have shared.
func Stop() {
	if shared.server != nil {
		shared.server.Stop()
	}
}

// Database is the URL of a database that is the test's own. Prepare has put what all of
// them begin with into the database of its URL; it is called once in a process. The
// package's TestMain calls Main or Stop.
func Database(t testing.TB, prepare func(url string) error) string {
	t.Helper()
	s := sharedServer(t)
	shared.Lock()
	defer shared.Unlock()
	if !shared.full {
		if err := s.Create(template, ""); err != nil {
			t.Fatal(err)
		}
		shared.full = true
		if err := prepare(s.URL(template)); err != nil {
			t.Fatal(err)
		}
	}
	return s.own(t, template)
}

// CPU is Server.CPU of the shared server; 0 if none runs.
func CPU() time.Duration {
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		return 0
	}
	return shared.server.CPU()
}

// Empty is the URL of a database that is the test's own, with nothing in it. Databases
// go with their server.
func Empty(t testing.TB) string {
	t.Helper()
	return sharedServer(t).own(t, "")
}

func sharedServer(t testing.TB) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = start(Fast)
	}
	if shared.err != nil {
		missing(t, shared.err)
		t.Fatal(shared.err)
	}
	return shared.server
}

func (s *Server) own(t testing.TB, from string) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", shared.made.Add(1))
	if err := s.Create(name, from); err != nil {
		t.Fatal(err)
	}
	return s.URL(name)
}
