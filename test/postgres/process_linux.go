package postgres

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// asUser is how to start a program of PostgreSQL, which doesn't run as root. It ends
// with this process.
func (s *Server) asUser() (*syscall.SysProcAttr, error) {
	attributes := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT, Setpgid: true}
	if os.Geteuid() != 0 {
		return attributes, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	attributes.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attributes, os.Chown(s.dir, uid, gid)
}

// give puts a file into the server's directory, which the server alone can read.
func (s *Server) give(name string, text []byte) error {
	path := filepath.Join(s.data(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil || os.Geteuid() != 0 {
		return err
	}
	attributes, err := s.asUser()
	if err != nil {
		return err
	}
	return os.Chown(path, int(attributes.Credential.Uid), int(attributes.Credential.Gid))
}

// Kill kills the server and all that it has started, as kill -9 does.
func (s *Server) Kill() {
	s.mu.Lock()
	pid := s.process.Pid
	s.mu.Unlock()
	list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	s.end(syscall.SIGKILL)
	for _, child := range strings.Fields(string(list)) {
		n, _ := strconv.Atoi(child)
		for syscall.Kill(n, syscall.SIGKILL) == nil {
			time.Sleep(time.Millisecond)
		}
	}
}
