package field

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/devices"
	"github.com/busbar/busbar/sim/transformer"
)

// Gateway is what else a configuration that reads the devices says.
type Gateway struct {
	ID     string        // of the gateway; "": sim-gw
	Kafka  string        // a broker; "": 127.0.0.1:9092
	Buffer string        // a directory; "": data
	Status string        // where its status page is; "": where the gateway has it by default
	Poll   time.Duration // how often devices are read; 1s if it is 0
	// Commands is the file with the keys of whose commands it obeys; "": it obeys none.
	Commands string
	// Time is the source of its clock; "": what a gateway does without being told.
	Time string
	// Answers has it read how often each transformer's meter has answered.
	Answers bool
}

var gatewayID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Check says what is wrong, if something is.
func (g Gateway) Check() error {
	if g.fill(); !gatewayID.MatchString(g.ID) {
		return fmt.Errorf("%q is no gateway's id, expected lower-case letters, digits and hyphens", g.ID)
	}
	return nil
}

func (g *Gateway) fill() {
	if g.ID == "" {
		g.ID = "sim-gw"
	}
	if g.Kafka == "" {
		g.Kafka = "127.0.0.1:9092"
	}
	if g.Buffer == "" {
		g.Buffer = "data"
	}
	if g.Poll == 0 {
		g.Poll = time.Second
	}
}

// WriteGateway writes the configuration by which a gateway reads the devices, and beside
// it the profiles of those that are no product.
func (f *Field) WriteGateway(path string, g Gateway) error {
	for _, file := range []string{bayFile, onePhaseFile} {
		if !slices.ContainsFunc(f.devices, func(d Device) bool { return d.Product == file && d.By == ByModbus }) {
			continue
		}
		src, err := profiles.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), file), src, 0o644); err != nil {
			return err
		}
	}
	var text bytes.Buffer
	f.gateway(&text, g)
	return os.WriteFile(path, text.Bytes(), 0o644)
}

func (f *Field) gateway(w io.Writer, g Gateway) {
	g.fill()
	control := ""
	if f.config.Operate != nil {
		control = ", control: enabled"
	}
	if g.Commands != "" {
		control += fmt.Sprintf(", commands: {key: %q}", g.Commands)
	}
	status := ""
	if g.Time != "" {
		status = fmt.Sprintf("time: {source: %s}\n", g.Time)
	}
	if g.Status != "" {
		status += fmt.Sprintf("status: {listen: %q}\n", g.Status)
	}
	fmt.Fprintf(w, `# The devices of a simulated grid. Written by busbar-sim.
gateway: {id: %s%s}
forward: {kafka: {brokers: [%q]}}
buffer: {path: %q}
%sdefaults: {poll_every: %v, timeout: 500ms}

assets:
`, word(g.ID), control, g.Kafka, g.Buffer, status, configfile.Duration(g.Poll))
	f.assets(w)
	fmt.Fprintln(w, "\ndevices:")
	for i := range f.devices {
		f.device(w, &f.devices[i], g.Answers)
	}
	if slices.ContainsFunc(f.devices, func(d Device) bool { return d.By == BySparkplug }) {
		fmt.Fprintf(w, "  - {id: field, powered_by: auxiliary, sparkplug: {broker: %q, host_id: %s, groups: [%s]}}\n", f.config.Broker, word(g.ID), Group)
	}
	fmt.Fprint(w, `
rules:
  - use: en50160
  - use: supervision
  - use: switchgear
`)
	if f.config.OPCUA != "" {
		fmt.Fprint(w, "  - use: transformer\n")
	}
}

// assets is the equipment that the devices are about, each once.
func (f *Field) assets(w io.Writer) {
	had := map[string]bool{}
	for _, d := range f.devices {
		if had[d.Asset] || d.By == BySparkplug {
			continue
		}
		had[d.Asset] = true
		fmt.Fprintf(w, "  - {id: %s, kind: %s", word(d.Asset), d.kind)
		if d.parent != "" {
			fmt.Fprintf(w, ", parent: %s", word(d.parent))
		}
		if d.voltage > 0 {
			fmt.Fprintf(w, ", nominal_voltage: %g V", float64(d.voltage))
		}
		fmt.Fprintln(w, "}")
	}
}

func (f *Field) device(w io.Writer, d *Device, answers bool) {
	if d.By == BySparkplug {
		return // they are told of by their edge nodes
	}
	fmt.Fprintf(w, "  - {id: %s, asset: %s, powered_by: %s", word(d.ID), word(d.Asset), d.PoweredBy)
	if d.Supply != "" {
		fmt.Fprintf(w, ", supply: %s", word(d.Supply))
	}
	switch d.By {
	case ByModbus:
		fmt.Fprintf(w, ", modbus: {endpoint: %q, unit: %d}, profile: %s", d.Endpoint, d.Unit, d.Product)
		if d.Of == Bay && f.config.Operate != nil {
			fmt.Fprint(w, ", control: [{signal: PosOn, settle: 5s}]")
		}
		if d.Of == TransformerMeter && answers {
			fmt.Fprintf(w, ", signals: [{name: Answers, holding: 0x%04X, type: uint32, unit: \"1\", kind: counter}]", devices.AnswersAddress)
		}
	case ByIEC104:
		i := slices.IndexFunc(f.bays, func(b *bayStation) bool { return b.edge == d.index })
		f.bays[i].signals(w)
	case ByOPCUA:
		node := func(variable string) string {
			return fmt.Sprintf("nsu=%s;s=%s.%s", transformer.Namespace, d.Asset, variable)
		}
		fmt.Fprintf(w, ", opcua: {endpoint: %q, security: {policy: None}}, signals: [{name: Load, node: %q, unit: \"1\"}, {name: TopOilTmp, node: %q, unit: Cel}, {name: HPTmp, node: %q, unit: Cel}]",
			d.Endpoint, node("Load"), node("TopOil"), node("HotSpot"))
	case ByMQTT:
		topic := "meters/" + d.ID
		fmt.Fprintf(w, ", mqtt: {broker: %q, stale_after: %v, available: {topic: meters/status}}, signals: [{name: PhV.phsA, topic: %s, json: $.voltage, time: $.time, unit: V}, {name: TotW, topic: %s, json: $.power, time: $.time, unit: W}, {name: DmdWh, topic: %s, json: $.energy, time: $.time, unit: W.h, kind: counter}]",
			f.config.Broker, configfile.Duration(max(3*f.config.Every, time.Second)), topic, topic, topic)
	}
	fmt.Fprintln(w, "}")
}

// Model is the grid with the signals by which the gateway of that id shows the positions of
// switches.
func (f *Field) Model(of *grid.Model, gateway string) *grid.Model {
	if gateway == "" {
		gateway = "sim-gw"
	}
	by := map[string]*Device{}
	s := f.config.Grid.Snapshot()
	for i := range f.devices {
		if d := &f.devices[i]; d.Of == Bay { // whose Pos shows it, by either protocol
			by[s.EdgeAsset(d.index).ID] = d
		}
	}
	m := *of
	m.Switches = slices.Clone(of.Switches)
	for i := range m.Switches {
		if d := by[m.Switches[i].ID]; d != nil {
			m.Switches[i].Signal, m.Switches[i].Device, m.Switches[i].Gateway = "Pos", d.ID, gateway
		}
	}
	return &m
}

var plain = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]*$`)

// word is a name as YAML has it.
func word(name string) string {
	switch strings.ToLower(name) {
	case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		return fmt.Sprintf("%q", name)
	}
	if plain.MatchString(name) {
		return name
	}
	return fmt.Sprintf("%q", name)
}
