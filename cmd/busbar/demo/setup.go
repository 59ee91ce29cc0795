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
	Dir                    string
	Console, Kafka, Status string
	Meters                 []string // addresses

	Faults                           int
	FaultAfter, FaultFor, FaultEvery time.Duration
}

const meters = 6

// meter is one simulated meter of the demo: each feeder has one at its head,
// fed by the station battery, and two further out that are fed by the voltage
// they measure.
type meter struct {
	ID, Feeder, Asset, PoweredBy, Profile, RatedPower, Address string
}

func (s setup) AllMeters() []meter {
	all := []meter{
		{ID: "feeder-1-head", Feeder: "feeder-1", Asset: "feeder-1", PoweredBy: "auxiliary", Profile: "H0-A", RatedPower: "120 kW"},
		{ID: "station-1a-meter", Feeder: "feeder-1", Asset: "station-1a", PoweredBy: "measured", Profile: "H0-B", RatedPower: "50 kW"},
		{ID: "station-1b-meter", Feeder: "feeder-1", Asset: "station-1b", PoweredBy: "measured", Profile: "G1-A", RatedPower: "70 kW"},
		{ID: "feeder-2-head", Feeder: "feeder-2", Asset: "feeder-2", PoweredBy: "auxiliary", Profile: "H0-C", RatedPower: "110 kW"},
		{ID: "station-2a-meter", Feeder: "feeder-2", Asset: "station-2a", PoweredBy: "measured", Profile: "G0-A", RatedPower: "60 kW"},
		{ID: "station-2b-meter", Feeder: "feeder-2", Asset: "station-2b", PoweredBy: "measured", Profile: "L1-A", RatedPower: "50 kW"},
	}
	for i := range all {
		all[i].Address = s.Meters[i]
	}
	return all
}

// FaultTimes are when feeder-2 fails.
func (s setup) FaultTimes() []time.Duration {
	times := make([]time.Duration, s.Faults)
	for i := range times {
		times[i] = s.FaultAfter + time.Duration(i)*s.FaultEvery
	}
	return times
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
