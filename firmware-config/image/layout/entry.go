package layout

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// EntriesDir is the directory of systemd-boot's entries in the boot partition.
const EntriesDir = "loader/entries"

// Files of a slot, in its directory and in a bundle for machines with UEFI.
const (
	Kernel      = "vmlinuz"
	Archive     = "initrd"  // that the kernel unpacks, with the gateway's program
	CommandLine = "cmdline" // in a bundle only: what the kernel is told
)

// Trust is where a started machine has the public keys of those whose bundles it takes:
// in the archive, so that they come and go with the version.
const Trust = "/etc/busbar/release.pub"

// Target is where a started machine with UEFI has the target that its version is for.
const Target = "/etc/busbar/target"

// Modules is where a started machine has its kernel's modules, if that has any.
const Modules = "/lib/modules"

// SlotDir is a slot's directory in the boot partition.
func SlotDir(number int) string { return path.Join("busbar", strconv.Itoa(number)) }

// Entry is a slot as systemd-boot knows it: a file of the Boot Loader Specification, whose
// name has the slot's number, and while the slot is on trial how many starts it has left
// and had. Of those that have any left, the loader starts the one of the highest number.
type Entry struct {
	Number  int // grows with each version that is installed
	Version string
	Epoch   uint64
	Content string // as Started has it
	Options string // of the version, for the kernel
	Local   string // of this machine, which updates keep
	Trial   bool   // until it is confirmed
	Left    int    // starts, if it is on trial
	Done    int
}

// Tries is how many starts a version has to prove itself.
const Tries = 3

// Name is the entry's file name.
func (e Entry) Name() string {
	switch {
	case !e.Trial:
		return fmt.Sprintf("busbar-%d.conf", e.Number)
	case e.Done == 0:
		return fmt.Sprintf("busbar-%d+%d.conf", e.Number, e.Left)
	}
	return fmt.Sprintf("busbar-%d+%d-%d.conf", e.Number, e.Left, e.Done)
}

// Text is the entry's content.
func (e Entry) Text() []byte {
	var text strings.Builder
	fmt.Fprintf(&text, "title Busbar gateway %s\nversion %s\nlinux /%s/%s\ninitrd /%s/%s\noptions %s\n",
		e.Version, e.Version, SlotDir(e.Number), Kernel, SlotDir(e.Number), Archive, e.Options)
	if e.Local != "" {
		fmt.Fprintf(&text, "options %s\n", e.Local)
	}
	fmt.Fprintf(&text, "options %s -- init\n", Started{Number: e.Number, Version: e.Version, Epoch: e.Epoch, Content: e.Content, Trial: e.Trial})
	return []byte(text.String())
}

var entryName = regexp.MustCompile(`^busbar-([1-9][0-9]{0,8})(?:\+([0-9]{1,3})(?:-([0-9]{1,3}))?)?\.conf$`)

// ParseEntry reads an entry that Name and Text made. A text that was cut short makes an
// entry without a Version.
func ParseEntry(name string, text []byte) (e Entry, ok bool) {
	m := entryName.FindStringSubmatch(strings.ToLower(name))
	if m == nil {
		return e, false
	}
	e.Number, _ = strconv.Atoi(m[1])
	e.Trial = m[2] != ""
	e.Left, _ = strconv.Atoi(m[2])
	e.Done, _ = strconv.Atoi(m[3])
	var options []string
	for line := range strings.Lines(string(text)) {
		if key, value, _ := strings.Cut(strings.TrimSpace(line), " "); key == "options" {
			options = append(options, value)
		}
	}
	if len(options) < 2 {
		return e, true
	}
	s := ParseStarted(options[len(options)-1])
	if s.Number == e.Number {
		e.Version, e.Epoch, e.Content, e.Options, e.Local = s.Version, s.Epoch, s.Content, options[0], strings.Join(options[1:len(options)-1], " ")
	}
	return e, true
}

// Started is what a machine's command line says about the slot that it was started from.
type Started struct {
	Number  int // 0: it doesn't say
	Version string
	Epoch   uint64
	Content string // what the slot was filled with, by its bundle's digest; "": an image
	Trial   bool
	Local   string // what this machine's kernel is told behind that
}

// String is what is said on the command line.
func (s Started) String() string {
	text := fmt.Sprintf("busbar.slot=%d busbar.version=%s busbar.epoch=%d", s.Number, s.Version, s.Epoch)
	if s.Content != "" {
		text += " busbar.content=" + s.Content
	}
	if s.Trial {
		text += " busbar.trial=1"
	}
	if s.Local != "" {
		text += " " + s.Local
	}
	return text
}

// ParseStarted reads a kernel's command line.
func ParseStarted(line string) (s Started) {
	var local []string
	for _, word := range strings.Fields(line) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "--":
			return s
		case "busbar.slot":
			s.Number, _ = strconv.Atoi(value)
		case "busbar.version":
			s.Version = value
		case "busbar.epoch":
			s.Epoch, _ = strconv.ParseUint(value, 10, 64)
		case "busbar.content":
			s.Content = value
		case "busbar.trial":
			s.Trial = value == "1"
		default:
			if s.Number != 0 {
				local = append(local, word)
				s.Local = strings.Join(local, " ")
			}
		}
	}
	return s
}

// ParseOptions reads the command line that a bundle brings: one line, of which what is
// behind " -- " and what says which slot it is are added by the machine.
func ParseOptions(text []byte) (string, error) {
	line := strings.TrimSpace(string(text))
	if line == "" || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) || strings.Contains(line+" ", " -- ") {
		return "", fmt.Errorf("%s: expected one line of what the kernel is told, without --", CommandLine)
	}
	return line, nil
}
