package demo

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
	"time"
)

// setup is what the configuration files of one run are made from.
type setup struct {
	Dir                             string
	Console, Kafka, Status, Devices string // addresses

	Times                            int // that feeder-2 fails
	FaultAfter, FaultFor, FaultEvery time.Duration
}

// What files/grid.yaml has, and what happens in it.
const (
	points  = 24
	devices = points + 6 + 2 // meters of service points and of transformers, and bay controllers
	breaker = "feeder-2-breaker"
	cable   = "cable-2a" // behind that breaker
)

// fault is one of feeder-2, as the scenario has it.
type fault struct {
	ID, Asset, Breaker string
	At, Until          time.Duration
}

// Faults are all of them.
func (s setup) Faults() []fault {
	faults := make([]fault, s.Times)
	for i := range faults {
		at := s.FaultAfter + time.Duration(i)*s.FaultEvery
		faults[i] = fault{fmt.Sprintf("%s-%d", cable, i+1), cable, breaker, at, at + s.FaultFor}
	}
	return faults
}

//go:embed files/*.yaml
var files embed.FS

var templates = template.Must(template.ParseFS(files, "files/*.yaml"))

func (s setup) write(dir string) error {
	for _, t := range templates.Templates() {
		f, err := os.OpenFile(filepath.Join(dir, t.Name()), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		if err := t.Execute(f, s); err != nil {
			f.Close()
			return fmt.Errorf("write %s: %w", f.Name(), err)
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}
