// Package update brings new versions onto a machine that runs nothing but a gateway, and
// takes them back by itself if they don't do what the one before did.
//
// A version comes as a signed bundle, is written into a slot beside the one that runs, and
// is tried at the next start. It is kept when the gateway has proved itself with it, and
// left for the one before when it hasn't within a while, or doesn't come up at all.
package update

import "github.com/busbar/busbar/firmware-config/bundle"

// Slot is a version that a machine can be started with: kernel, archive and command line.
type Slot struct {
	Number  int
	Version string
	Epoch   uint64
	// Content tells what it was filled with from anything else of the same version: the
	// digest of the bundle's manifest; "" of one that an image brought.
	Content string `json:",omitempty"`
	// Trial says that it isn't confirmed: the machine leaves it by itself when the starts
	// that it has left are used up.
	Trial bool
	Left  int // of those; 0 if it isn't on trial
}

// Slots are a machine's, which always has one that is confirmed. What a method writes is on
// the medium when it returns; if the power is cut meanwhile, the machine starts with a slot
// that is whole.
type Slots interface {
	// Target is the kind of machine.
	Target() bundle.Target
	// Running is what the machine was started with.
	Running() Slot
	// Others are the further slots, those included that were given up.
	Others() ([]Slot, error)
	// Stage writes the files of a bundle into a slot that isn't running, reads back what it
	// has written, and has the slot tried. The slots that aren't running are lost. Room is
	// made, or the error says what there is too little of; it is an Unfit if no later try with
	// the same bundle can do better.
	Stage(*bundle.Reader) (Slot, error)
	// Confirm makes the running slot the one that the machine starts with from now on.
	Confirm() error
	// Drop removes a slot that isn't running.
	Drop(number int) error
	// TrialArgument is what a restart has to say to the firmware for a slot to be tried;
	// "" if any restart does it.
	TrialArgument() string
}
