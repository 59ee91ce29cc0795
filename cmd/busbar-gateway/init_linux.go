package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/firmware-config/bundle"
	"github.com/busbar/busbar/firmware-config/image/layout"
	"github.com/busbar/busbar/gateway"
	"github.com/busbar/busbar/gateway/appliance"
	"github.com/busbar/busbar/gateway/journal"
	"github.com/busbar/busbar/gateway/status"
	"github.com/busbar/busbar/gateway/update"
	"github.com/busbar/busbar/gatewayconfig"
)

type initCommand struct{}

func (initCommand) Help() string {
	return `This is what images start. It needs to be the first process, and isn't of use on a machine with an
operating system: install the package there.`
}

// retry is how long a gateway rests that couldn't start, or ended by itself.
const retry = 10 * time.Second

func (initCommand) Run(ctx context.Context, info program.Info, logging *program.Logging) error {
	if os.Getpid() != 1 {
		return program.Usage{Err: errors.New("init is for the first process of a machine")}
	}
	screen := &appliance.Screen{}
	kept, log := journal.New(logging.LoggerTo(screen))
	log.Info("starting", "version", info.Version)
	machine, err := appliance.Start(ctx, log)
	if err != nil {
		log.Error("this machine can't run a gateway", "error", err)
		machine.Sign(false)
		rest(ctx, machine, update.Within) // a version on trial is left by the restart, and nothing is lost by one
		return machine.Reboot("")
	}
	ctx, reboot := context.WithCancel(ctx)
	defer reboot()
	var argument atomic.Pointer[string]
	updates, err := openUpdates(machine, log, func(said string) {
		argument.Store(&said)
		reboot()
	})
	if err != nil {
		log.Error("this machine can't be updated", "error", err)
	} else {
		go updates.Guard(ctx)
	}
	o := gateway.Options{Version: info.Version, Log: log, Journal: kept, Alive: machine.Alive, SetClock: machine.SetClock, Updates: updates}
	for ctx.Err() == nil {
		err := runOn(ctx, machine, o, screen)
		if ctx.Err() == nil {
			log.Error("the gateway doesn't run: edit gateway.yaml on the partition BUSBAR, and start again")
			fmt.Fprintln(screen, err)
			if updates != nil {
				updates.Lacks(fmt.Sprintf("the gateway doesn't run: %v", err))
			}
			explain(ctx, machine, err)
		}
	}
	if said := argument.Load(); said != nil {
		return machine.Reboot(*said)
	}
	return machine.Reboot("")
}

// openUpdates is nil on an error.
func openUpdates(machine *appliance.Machine, log *slog.Logger, reboot func(argument string)) (*update.Updater, error) {
	slots, err := machine.Slots()
	if err != nil {
		return nil, err
	}
	keys, err := trusted()
	if err != nil {
		log.Error("bundles can't be checked, and are refused", "error", err)
	}
	return update.Open(update.Options{
		Slots: slots, Keys: keys, Dir: filepath.Join(layout.DataDir, "update"), Reboot: reboot, Limit: machine.Limit,
		Free: func() (int64, error) { return appliance.Free(layout.DataDir) }, Log: log,
	})
}

// trusted are the keys of those whose bundles are taken.
func trusted() (bundle.Keys, error) {
	text, err := os.ReadFile(layout.Trust)
	if err != nil {
		return nil, err
	}
	return bundle.ParseKeys(strings.Fields(string(text))...)
}

// explain says for a while why the gateway doesn't run.
func explain(ctx context.Context, machine *appliance.Machine, err error) {
	ctx, cancel := context.WithTimeout(ctx, retry)
	defer cancel()
	machine.Sign(false)
	certificate, failed := gateway.OpenCertificate(layout.DataDir, "busbar-gateway")
	if failed != nil {
		rest(ctx, machine, 0)
		return
	}
	var page sync.WaitGroup
	page.Go(func() { machine.ShowTrouble(ctx, certificate, err) })
	rest(ctx, machine, 0)
	page.Wait()
}

// runOn runs the gateway of the configuration that was taken from the boot partition.
func runOn(ctx context.Context, machine *appliance.Machine, o gateway.Options, screen io.Writer) error {
	file := filepath.Join(layout.ConfigDir, layout.ConfigName)
	if _, err := os.Stat(file); err != nil && machine.Refused() != nil {
		return machine.Refused()
	}
	config, err := gateway.Load(file, &o)
	if err != nil {
		return err
	}
	if err := machine.Refused(); err != nil {
		o.Refused = fmt.Sprintf("gateway.yaml on the partition BUSBAR isn't what runs, but the one before it: %v", err)
		o.Log.Error("gateway.yaml on the partition BUSBAR isn't what runs, but the one before it")
		fmt.Fprintln(screen, err)
	}
	if err := layout.CheckPaths(config); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	o.Show = func(address string, a status.Access) { go announce(ctx, machine, config, address, a, screen) }
	var opening progress
	opening.made()
	o.Opening = func() {
		opening.made()
		if o.Updates != nil {
			o.Updates.Opening()
		}
	}
	looking, looked := context.WithCancel(ctx)
	go keepOn(looking, machine.Alive, func() bool { return opening.within(stuck) })
	g, err := gateway.New(config, o)
	looked()
	if err != nil {
		return err
	}
	machine.Sign(true)
	return g.Run(ctx)
}

// announce shows those before the machine where its status page is and what it asks for, as
// often as its addresses change. They have the machine, and with it whatever it keeps.
func announce(ctx context.Context, machine *appliance.Machine, config gatewayconfig.Config, address string, a status.Access, screen io.Writer) {
	password := a.Password
	if config.Status.PasswordFile != "" {
		password = "that of status.password_file"
	}
	_, port, _ := net.SplitHostPort(address)
	for shown := ""; ; {
		if at := strings.Join(machine.Addresses(), " "); at != shown && at != "" {
			for _, ip := range machine.Addresses() {
				fmt.Fprintf(screen, "\n%s is at https://%s\n", config.Gateway.ID, net.JoinHostPort(ip, port))
			}
			fmt.Fprintf(screen, "password: %s\ncertificate: %s\n\n", password, a.Fingerprint())
			shown = at
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// rest waits, for ever if that is 0, and keeps the machine on.
func rest(ctx context.Context, machine *appliance.Machine, long time.Duration) {
	until := time.Now().Add(long)
	keepOn(ctx, machine.Alive, func() bool { return long == 0 || time.Now().Before(until) })
}

// progress is when something was last seen to go on.
type progress struct{ last atomic.Pointer[time.Time] }

func (p *progress) made() {
	now := time.Now()
	p.last.Store(&now)
}

func (p *progress) within(long time.Duration) bool { return time.Since(*p.last.Load()) < long }

// keepOn keeps the machine on until ctx ends, or what it is kept on for doesn't go on.
func keepOn(ctx context.Context, alive func(), goesOn func() bool) {
	for ctx.Err() == nil && goesOn() {
		alive()
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}
