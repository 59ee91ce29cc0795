// Package profile says what products measure and where in their registers, or in what they
// publish by MQTT: one YAML file a product. The same profile configures the gateway that
// reads a device and, of registers, the simulator that plays it.
package profile

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

// Profile is a product as its makers document it.
type Profile struct {
	// Name is that of the file below the profiles' directory, without .yaml:
	// eastron/sdm630.
	Name string `yaml:"-"`

	// What it is: maker and model. Example: Eastron SDM630.
	Product string `yaml:"product,required"`

	// Other models that have the same registers.
	Covers []string `yaml:"covers"`

	// Where the registers or topics are documented, and whose words they are.
	Source string `yaml:"source,required"`

	// How it likes to be asked, of one that is read by modbus.
	Modbus Reading `yaml:"modbus"`

	// How it publishes, of one that is read by mqtt; it says that it is.
	MQTT *Publishing `yaml:"mqtt"`

	// What it has at fixed places, by which it is told from others.
	Identify []Identity `yaml:"identify"`

	// What it measures, whether it says so or not. Of one that is read by mqtt, it may be
	// left out, and is for one device only.
	Signals []Signal `yaml:"signals"`

	// What is read of it if it has it, of one that is read by mqtt.
	Follow []Follow `yaml:"follow"`

	// Registers or messages as it has shown them, and the values that they are.
	Examples []Example `yaml:"examples,required"`
}

// Reading is how a device likes to be asked, where it differs from the standard.
// What it refuses beyond that is found out while it is read.
type Reading struct {
	// How many registers that no signal needs may be read along to save a request;
	// of coils and discrete inputs 16 times as many. Default: 16.
	MaxGap *int `yaml:"max_gap"`

	// How many registers one request may ask for; from 1 to 125. Default: 125.
	MaxRegisters int `yaml:"max_registers"`

	// The same of input registers, where the device takes another number of them;
	// from 1 to 125. Default: max_registers.
	MaxInputRegisters int `yaml:"max_input_registers"`

	// How many coils or discrete inputs one request may ask for; from 1 to 2000.
	// Default: 2000.
	MaxBits int `yaml:"max_bits"`

	// Ask for every signal by itself, and every group. Default: false.
	OneByOne bool `yaml:"one_by_one"`

	// How long the device is left alone after each answer; up to 10s. Default: 0s.
	Pause configfile.Duration `yaml:"pause"`

	// How long nothing is asked after a connection was made; up to 10s. Of the
	// devices of an endpoint, the longest counts. Default: 0s.
	PauseAfterConnect configfile.Duration `yaml:"pause_after_connect"`

	// Ask for coils and discrete inputs from address 0 on, since the device ignores
	// where it should begin. Default: false.
	BitsFromZero bool `yaml:"bits_from_zero"`
}

// Reads is the reading as the adapter takes it.
func (r Reading) Reads() modbus.Reads {
	out := modbus.Reads{MaxRegisters: r.MaxRegisters, MaxInputRegisters: r.MaxInputRegisters, MaxBits: r.MaxBits, Single: r.OneByOne, BitsFromZero: r.BitsFromZero}
	switch {
	case r.MaxGap == nil:
	case *r.MaxGap == 0:
		out.MaxGap = -1
	default:
		out.MaxGap = *r.MaxGap
	}
	return out
}

// Over is r where a key is given, else what the other says.
func (r Reading) Over(other Reading, given func(key string) bool) Reading {
	overlay(reflect.ValueOf(&other).Elem(), reflect.ValueOf(r), given)
	return other
}

// Identity is a register with a value that only this product has there.
type Identity struct {
	// Address of the input register.
	Input *uint16 `yaml:"input"`
	// Address of the holding register.
	Holding *uint16 `yaml:"holding"`
	// What it holds.
	Equals uint16 `yaml:"equals,required"`
}

// Register is the identity of a device whose registers begin at an address.
func (i Identity) Register(base uint16) modbus.Register {
	if i.Input != nil {
		return modbus.Register{Table: modbus.Input, Address: *i.Input + base, Value: i.Equals}
	}
	return modbus.Register{Table: modbus.Holding, Address: *i.Holding + base, Value: i.Equals}
}

// Example is a part of a table as a device has shown it, or messages, and what is in it.
type Example struct {
	// Address of the first input register.
	Input *uint16 `yaml:"input"`
	// Address of the first holding register.
	Holding *uint16 `yaml:"holding"`
	// The registers in hexadecimal, with spaces as one likes.
	Registers string `yaml:"registers"`
	// By mqtt, the topic of the device, or with + of several.
	Topic string `yaml:"topic"`
	// By mqtt, what is published, one after the other.
	Messages []Published `yaml:"messages"`
	// The values of the signals that lie in them; of one without a value, the reason. By
	// mqtt, a unit that the device has told may stand behind.
	Values map[string]string `yaml:"values,required"`
}

// Parse reads and checks a profile; file is used in messages. The error is
// configfile.Errors.
func Parse(name, file string, src []byte) (Profile, error) {
	p := Profile{Name: name}
	f, _ := configfile.Decode(file, src, &p)
	if len(p.Signals)+len(p.Follow) == 0 && !f.Broken("signals") && !f.Broken("follow") {
		f.Errorf("signals", "no signal, expected at least one")
	}
	if p.By() == MQTT {
		p.checkMQTT(f)
	} else {
		if f.Has("follow") {
			f.Errorf("follow", "the product is read by %s, which hasn't got this, expected the key to be left out, or mqtt beside it", Modbus)
		}
		CheckSignals(f, "signals", Modbus, p.Signals)
		p.Modbus.Check(f, "modbus")
	}
	for i := range p.Signals {
		p.Signals[i].Fill()
	}
	for i, id := range p.Identify {
		if (id.Input == nil) == (id.Holding == nil) {
			f.Errorf(configfile.Item("identify", i), "expected either input or holding")
		}
	}
	// What is wrong with the profile isn't said of each example again.
	right := f.Err() == nil
	for i, e := range p.Examples {
		p.checkExample(f, configfile.Item("examples", i), e, right)
	}
	if err := f.Err(); err != nil {
		return Profile{}, err
	}
	return p, nil
}

// By is how the product is read: Modbus or MQTT.
func (p Profile) By() Protocol {
	if p.MQTT != nil {
		return MQTT
	}
	return Modbus
}

// Check adds what is wrong with the reading at path of f.
func (r Reading) Check(f *configfile.File, path string) {
	if r.MaxGap != nil && *r.MaxGap < 0 {
		f.Errorf(path+".max_gap", "%d, expected 0 or more", *r.MaxGap)
	}
	if f.Has(path+".max_registers") && (r.MaxRegisters < 1 || r.MaxRegisters > 125) {
		f.Errorf(path+".max_registers", "%d, expected 1 to 125", r.MaxRegisters)
	}
	if f.Has(path+".max_input_registers") && (r.MaxInputRegisters < 1 || r.MaxInputRegisters > 125) {
		f.Errorf(path+".max_input_registers", "%d, expected 1 to 125", r.MaxInputRegisters)
	}
	for key, pause := range map[string]configfile.Duration{"pause": r.Pause, "pause_after_connect": r.PauseAfterConnect} {
		if longest := configfile.Duration(modbus.MaxPause); pause > longest {
			f.Errorf(path+"."+key, "%s is out of range, expected 0s to %s", pause, longest)
		}
	}
	if f.Has(path+".max_bits") && (r.MaxBits < 1 || r.MaxBits > 2000) {
		f.Errorf(path+".max_bits", "%d, expected 1 to 2000", r.MaxBits)
	}
}

// Library is the profiles of a file system whose files are maker/model.yaml, or
// product.yaml.
type Library struct{ files fs.FS }

// NewLibrary is the profiles in files.
func NewLibrary(files fs.FS) Library { return Library{files} }

// Names is every profile, sorted.
func (l Library) Names() []string {
	var names []string
	_ = fs.WalkDir(l.files, ".", func(file string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && path.Ext(file) == ".yaml" {
			names = append(names, strings.TrimSuffix(file, ".yaml"))
		}
		return nil
	})
	slices.Sort(names)
	return names
}

// ErrUnknown says that there is no such profile.
var ErrUnknown = errors.New("no such profile")

// Source is the file of the profile of that name. The error is ErrUnknown.
func (l Library) Source(name string) ([]byte, error) {
	src, err := fs.ReadFile(l.files, name+".yaml")
	if err != nil {
		return nil, fmt.Errorf("profile %q: %w", name, ErrUnknown)
	}
	return src, nil
}

// Load is the profile of that name. The error is ErrUnknown or
// configfile.Errors.
func (l Library) Load(name string) (Profile, error) {
	src, err := l.Source(name)
	if err != nil {
		return Profile{}, err
	}
	return Parse(name, name+".yaml", src)
}

// LoadAll is every profile, by name. It fails if one is wrong.
func (l Library) LoadAll() (list []Profile, err error) {
	for _, name := range l.Names() {
		p, err := l.Load(name)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// LoadBy is every profile of what is read by a protocol, by name. It fails if one is wrong.
func (l Library) LoadBy(by Protocol) ([]Profile, error) {
	list, err := l.LoadAll()
	return slices.DeleteFunc(list, func(p Profile) bool { return p.By() != by }), err
}

// LoadFile is the profile in a file of its own.
func LoadFile(file string) (Profile, error) {
	src, err := configfile.Read(file)
	if err != nil {
		return Profile{}, err
	}
	return ParseFile(file, src)
}

// ParseFile is LoadFile of a file whose bytes are src.
func ParseFile(file string, src []byte) (Profile, error) {
	return Parse(strings.TrimSuffix(filepath.Base(file), ".yaml"), file, src)
}

// Signal is the signal of that name.
func (p Profile) Signal(name string) (Signal, bool) {
	i := slices.IndexFunc(p.Signals, func(s Signal) bool { return s.Name == name })
	if i < 0 {
		return Signal{}, false
	}
	return p.Signals[i], true
}

// End is the address after the last that the profile reads.
func (p Profile) End() int {
	end := 0
	for _, id := range p.Identify {
		end = max(end, int(id.Register(0).Address)+1)
	}
	for _, s := range p.Signals {
		point := s.Point()
		end = max(end, int(point.Address)+point.Size())
		if s.Factor != nil {
			end = max(end, int(*s.Factor)+1)
		}
	}
	return end
}

// At is the signals of a device whose registers begin at an address.
func (p Profile) At(base uint16) []Signal {
	signals := slices.Clone(p.Signals)
	if base == 0 {
		return signals
	}
	shift := func(a *uint16) *uint16 {
		if a == nil {
			return nil
		}
		moved := *a + base
		return &moved
	}
	for i := range signals {
		s := &signals[i]
		s.Input, s.Holding, s.Coil, s.Discrete, s.Factor = shift(s.Input), shift(s.Holding), shift(s.Coil), shift(s.Discrete), shift(s.Factor)
	}
	return signals
}

// checkExample has the example decoded as the gateway does; of messages, only if the
// profile is right.
func (p Profile) checkExample(f *configfile.File, at string, e Example, right bool) {
	for by, keys := range map[Protocol][]string{Modbus: {"input", "holding", "registers"}, MQTT: {"topic", "messages"}} {
		for _, key := range keys {
			if by != p.By() && f.Has(at+"."+key) {
				f.Errorf(at+"."+key, "the product is read by %s, whose examples haven't got this, expected the key to be left out", p.By())
			}
		}
	}
	if p.By() == MQTT {
		if right {
			p.checkMessages(f, at, e)
		}
		return
	}
	table, first := modbus.Input, e.Input
	if e.Holding != nil {
		table, first = modbus.Holding, e.Holding
	}
	if (e.Input == nil) == (e.Holding == nil) {
		f.Errorf(at, "expected either input or holding")
		return
	}
	data, err := hex.DecodeString(strings.Join(strings.Fields(e.Registers), ""))
	if err != nil || len(data)%2 != 0 {
		f.Errorf(at+".registers", "expected registers of four hexadecimal digits each")
		return
	}
	for name, want := range e.Values {
		s, known := p.Signal(name)
		if !known {
			f.Errorf(at+".values."+name, "there is no signal %q in this profile", name)
			continue
		}
		value, reason, err := s.Point().Decode(table, *first, data)
		switch {
		case err != nil:
			f.Errorf(at+".values."+name, "%v", err)
		case reason != telemetry.NoReason && reason.String() != want:
			f.Errorf(at+".values."+name, "the registers hold no value, %s, expected %s", reason, want)
		case reason == telemetry.NoReason && !means(s.Point().Type, value, want):
			f.Errorf(at+".values."+name, "the registers hold %s, expected %s", value, want)
		}
	}
}

// means reports whether a person who writes a text means the value of a type: the
// float32 that comes nearest to 230.1 is 230.10000610351562.
func means(t modbus.Type, v telemetry.Value, text string) bool {
	if v.String() == text {
		return true
	}
	got, number := v.Float()
	want, err := strconv.ParseFloat(text, 64)
	return number && err == nil && math.Abs(got-want) <= t.Resolution()*math.Abs(want)
}

// near reports whether two float64 are the same but for the last digits of a scale.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-12*math.Abs(b) }
