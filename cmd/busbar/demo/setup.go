package demo

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
)

// setup is what the configuration files of one run are made from.
type setup struct {
	Dir                             string
	Console, Kafka, Status, Devices string // addresses
}

// What files/grid.yaml has.
const (
	points  = 24
	devices = points + 6 + 2 // meters of service points and of transformers, and bay controllers
	breaker = "feeder-2-breaker"
	cable   = "cable-2a" // behind that breaker
)

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
