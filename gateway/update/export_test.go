package update

import (
	"testing"

	"github.com/busbar/busbar/firmware-config/bundle"
)

// Bench is a machine for tests of what is outside.
type Bench struct{ *bench }

func NewBench(t *testing.T) Bench { return Bench{newBench(t)} }

func (b Bench) Start() *Updater                 { return b.start() }
func (b Bench) Bundle(m bundle.Manifest) []byte { return b.bundle(m) }
func (b Bench) Rebooted() string                { return <-b.reboots }

var Two = two
