//go:build linux

package netem

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Namespace is a network of its own. It ends with its last user.
type Namespace struct {
	mu   sync.RWMutex
	file *os.File
}

// NewNamespace makes one in which nothing is but a loopback interface.
func NewNamespace() (*Namespace, error) {
	made := make(chan error)
	n := &Namespace{}
	go func() {
		// The thread isn't unlocked, and so ends with its namespace.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			n.file, err = os.Open(own())
		}
		if err == nil {
			err = Run("ip", "link", "set", "lo", "up")
		}
		made <- err
	}()
	if err := <-made; err != nil {
		n.Close()
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	return n, nil
}

// own is the namespace of the calling thread.
func own() string { return fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()) }

// Close lets go of it.
func (n *Namespace) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.file != nil {
		n.file.Close()
	}
}

// Inside calls f in the namespace: what f itself opens, dials or starts is there.
// Goroutines that it starts are not.
func (n *Namespace) Inside(f func()) error {
	runtime.LockOSThread()
	home, err := os.Open(own())
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() {
		// A thread that can't go back ends with the goroutine.
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		home.Close()
	}()
	n.mu.RLock()
	err = unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET)
	n.mu.RUnlock()
	if err != nil {
		return fmt.Errorf("enter a network namespace: %w", err)
	}
	f()
	return nil
}

// Listen is net.Listen inside.
func (n *Namespace) Listen(address string) (l net.Listener, err error) {
	if e := n.Inside(func() { l, err = net.Listen("tcp", address) }); e != nil {
		return nil, e
	}
	return l, err
}

// Expose makes what listens at an address of the inner loopback reachable at the
// same address outside. Connections end when the result is closed.
func (n *Namespace) Expose(address string) (io.Closer, error) {
	outside, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			client, err := outside.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				go n.connect(client, address)
			}
		}
	}()
	return outside, nil
}

func (n *Namespace) connect(client net.Conn, address string) {
	defer client.Close()
	var server net.Conn
	err := errors.Join(n.Inside(func() { server, _ = net.Dial("tcp", address) }))
	if err != nil || server == nil {
		return
	}
	defer server.Close()
	go func() {
		io.Copy(server, client)
		server.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(client, server)
}

// Run runs a command in the caller's namespace.
func Run(command ...string) error {
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, out)
	}
	return nil
}
