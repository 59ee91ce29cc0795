package demo

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// process is one of Busbar's programs, started again whenever it ends without
// having been asked to.
type process struct {
	name string
	args []string
	path string
	log  string // file for its output
	// died is told that it ended by itself and will be started again.
	died func(pid int, how string)

	mu       sync.Mutex
	cmd      *exec.Cmd
	stopping bool
	restarts int
	ended    chan struct{} // closed when it has been stopped
}

const restartAfter = 500 * time.Millisecond

func (p *process) start() error {
	p.ended = make(chan struct{})
	started := make(chan error)
	go p.supervise(started)
	return <-started
}

// supervise keeps its thread, because a child that is to end with its parent
// ends with the thread that started it.
func (p *process) supervise(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.ended)
	for first := true; ; first = false {
		cmd, err := p.launch()
		if first {
			started <- err
		}
		if cmd == nil && first {
			return
		}
		how := fmt.Sprint(err)
		if cmd != nil {
			cmd.Wait()
			how = cmd.ProcessState.String()
		}
		p.mu.Lock()
		stopping := p.stopping
		if !stopping {
			p.restarts++
		}
		p.mu.Unlock()
		if stopping {
			return
		}
		pid := 0
		if cmd != nil {
			pid = cmd.Process.Pid
		}
		p.died(pid, how)
		time.Sleep(restartAfter)
	}
}

func (p *process) launch() (*exec.Cmd, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping {
		return nil, nil
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(p.path, p.args...)
	cmd.Dir = filepath.Dir(p.log)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = endWithParent()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.cmd = cmd
	return cmd, nil
}

func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// stop ends the process in its own time, up to a limit; false if it had to be
// killed.
func (p *process) stop() bool {
	p.mu.Lock()
	again := p.stopping
	p.stopping = true
	if p.cmd != nil && !again {
		p.cmd.Process.Signal(syscall.SIGTERM)
	}
	p.mu.Unlock()
	select {
	case <-p.ended:
		return true
	case <-time.After(15 * time.Second):
		p.cmd.Process.Kill()
		<-p.ended
		return false
	}
}

// processes are the three programs of the demo.
type processes struct{ sim, gateway, cloud *process }

func (p *processes) all() []*process { return []*process{p.gateway, p.sim, p.cloud} }

func (p *processes) stopAll() {
	for _, one := range p.all() {
		if one != nil && one.ended != nil {
			one.stop()
		}
	}
}

func (p *processes) restarts() int {
	n := 0
	for _, one := range p.all() {
		one.mu.Lock()
		n += one.restarts
		one.mu.Unlock()
	}
	return n
}

func (s *story) start() (*processes, error) {
	make := func(name string, args ...string) *process {
		return &process{
			name: name, args: args,
			path: filepath.Join(s.options.Programs, "busbar-"+name),
			log:  filepath.Join(s.setup.Dir, name+".log"),
			died: func(pid int, how string) {
				s.say("the %s (process %d) ended by itself: %s; it is started again", name, pid, how)
			},
		}
	}
	p := &processes{
		cloud:   make("cloud", "run", "--config", "cloud.yaml"),
		sim:     make("sim", "run", "sim.yaml"),
		gateway: make("gateway", "run", "--config", "gateway.yaml"),
	}
	for _, one := range []*process{p.cloud, p.sim, p.gateway} {
		if err := one.start(); err != nil {
			p.stopAll()
			return nil, fmt.Errorf("start busbar-%s: %w", one.name, err)
		}
	}
	return p, nil
}
