package demo

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/busbar/busbar/cmd/internal/program"
)

// process is one of Busbar's programs, started again whenever it ends without
// having been asked to, unless it says that it can't work like this.
type process struct {
	name string
	args []string
	path string
	log  string // file for its output
	// died is told that it ended by itself and will be started again.
	died func(pid int, how string)
	// refused takes it when it has ended with program.ExitConfig.
	refused chan<- *process

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
			if cmd.ProcessState.Exited() {
				how += ": " + p.tail(1)
			}
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
		if cmd != nil && cmd.ProcessState.ExitCode() == program.ExitConfig {
			p.refused <- p
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

// tail is the last lines of its log.
func (p *process) tail(n int) string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

const tailLines = 10

// refusal is why it isn't started again.
func (p *process) refusal() error {
	return fmt.Errorf("busbar-%s ended with exit code %d and is not started again; %s ends with\n%s", p.name, program.ExitConfig, p.log, p.tail(tailLines))
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
type processes struct {
	sim, gateway, cloud *process
	refused             <-chan *process
}

func (p *processes) all() []*process { return []*process{p.gateway, p.sim, p.cloud} }

func (p *processes) stopAll() {
	for _, one := range p.all() {
		if one != nil && one.ended != nil {
			one.stop()
		}
	}
}

func (p *process) restarted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.restarts
}

func (p *processes) restarts() int {
	n := 0
	for _, one := range p.all() {
		n += one.restarted()
	}
	return n
}

// failures are the ends of the logs of those that ended by themselves, to follow
// a sentence.
func (p *processes) failures() string {
	var b strings.Builder
	for _, one := range p.all() {
		if one.restarted() > 0 {
			fmt.Fprintf(&b, "; %s ends with\n%s", one.log, one.tail(tailLines))
		}
	}
	return b.String()
}

// parts are the processes, not started.
func (s *story) parts() *processes {
	refused := make(chan *process, 3)
	part := func(name string, args ...string) *process {
		return &process{
			refused: refused,
			name:    name, args: args,
			path: filepath.Join(s.options.Programs, "busbar-"+name),
			log:  filepath.Join(s.setup.Dir, name+".log"),
			died: func(pid int, how string) {
				s.say("the %s (process %d) ended by itself: %s; it is started again", name, pid, how)
			},
		}
	}
	return &processes{
		refused: refused,
		cloud:   part("cloud", "run", "--config", "cloud.yaml"),
		// Each device has an address of its own, so that nobody waits for those without supply.
		sim: part("sim", "live", "demo.yaml", "--start", "now", "--listen", s.options.Grid, "--truth", "truth.jsonl",
			"--devices", s.setup.Devices, "--units-per-port", "1", "--answers", "answers.json",
			"--gateway-config", "gateway.yaml", "--gateway-id", "demo-gateway", "--gateway-kafka", s.setup.Kafka, "--gateway-status", s.setup.Status,
			"--gateway-commands", "commands.pub", "--gateway-time", "assumed", // the cloud has the same clock here
			"--gateway-model", "model.yaml"),
		gateway: part("gateway", "run", "--config", "gateway.yaml"),
	}
}

// start starts the simulated grid, which writes what the gateway and the cloud need, and
// then these two.
func (s *story) start(ctx context.Context, p *processes) error {
	launch := func(one *process) error {
		if err := one.start(); err != nil {
			return fmt.Errorf("start busbar-%s: %w", one.name, err)
		}
		return nil
	}
	if err := launch(p.sim); err != nil {
		return err
	}
	if err := p.awaitDevices(ctx); err != nil {
		return err
	}
	t := tools{s.setup.Dir, s.options.Programs}
	if err := t.enrol(ctx); err != nil {
		return err
	}
	if err := t.importNetwork(ctx); err != nil {
		return err
	}
	if err := launch(p.cloud); err != nil {
		return err
	}
	return launch(p.gateway)
}

// awaitDevices returns when the simulator says that it has written the gateway's
// configuration, which comes last.
func (p *processes) awaitDevices(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !strings.Contains(p.sim.tail(tailLines), "gateway.yaml reads them") {
		select {
		case refused := <-p.refused:
			return refused.refusal()
		case <-bounded.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("no devices within %v%s", startTime, p.failures())
		case <-ticker.C:
		}
	}
	return nil
}
