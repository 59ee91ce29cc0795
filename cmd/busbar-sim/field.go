package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/sim/field"
	"github.com/busbar/busbar/sim/live"
	"github.com/busbar/busbar/sim/scenario"
)

// fieldFlags say which devices speak with what a grid has that is being played.
type fieldFlags struct {
	Devices      string  `help:"Let devices speak: Modbus TCP meters and bay controllers from this address on, and on the ports after it." placeholder:"HOST:PORT"`
	UnitsPerPort int     `help:"How many units there are behind an address of Modbus TCP." default:"32"`
	Products     string  `help:"What meters of three phases are, and their shares." placeholder:"PROFILE=SHARE,…"`
	Refused      bool    `help:"Answer for a meter without supply with exception 11, as gateways to serial lines do, instead of not at all."`
	IEC104       string  `name:"iec104" help:"Let the bays of substations speak IEC 60870-5-104, instead of Modbus, from this address on and on the ports after it." placeholder:"HOST:PORT"`
	OPCUA        string  `name:"opcua" help:"Let monitors of the transformers speak OPC UA on this address." placeholder:"HOST:PORT"`
	Broker       string  `help:"The MQTT broker for the meters that publish." default:"tcp://127.0.0.1:1883"`
	MQTTShare    float64 `name:"mqtt" help:"Share of the transformers whose meters publish by MQTT." placeholder:"SHARE"`
	Sparkplug    float64 `help:"Share of the transformers whose meters are read by a Sparkplug edge node." placeholder:"SHARE"`

	GatewayConfig   string              `help:"Write the configuration by which a gateway reads the devices." placeholder:"FILE"`
	GatewayID       string              `help:"What the gateway is called in it." default:"sim-gw"`
	GatewayKafka    string              `help:"The broker that it forwards to." default:"127.0.0.1:9092" placeholder:"HOST:PORT"`
	GatewayStatus   string              `help:"Where its status page is." default:"127.0.0.1:9464" placeholder:"HOST:PORT"`
	GatewayCommands string              `help:"The file with the cloud's key, whose commands it then obeys." placeholder:"FILE"`
	GatewayTime     string              `help:"Where it has the time from: kernel or assumed." placeholder:"SOURCE"`
	PollEvery       configfile.Duration `help:"How often the gateway reads each device." default:"1s"`
	Answers         string              `help:"Let the gateway read how often each transformer's meter has answered, and write in the end what the meters have counted." placeholder:"FILE"`
	GatewayModel    string              `help:"Write the grid, as it is known, with the signals by which this gateway shows the positions of switches." placeholder:"FILE"`
}

// config is the devices of a grid. The error says which flag is wrong.
func (c fieldFlags) config(s *scenario.Scenario, l *live.Live) (out field.Config, err error) {
	out = field.Config{Grid: l, Edge: s.Edge, Seed: s.Seed, Listen: c.Devices, UnitsPerPort: c.UnitsPerPort, Refused: c.Refused,
		Broker: c.Broker, MQTTShare: c.MQTTShare, SparkplugShare: c.Sparkplug, IEC104: c.IEC104, OPCUA: c.OPCUA}
	out.Operate = func(id string, closed bool) error {
		if closed {
			return l.Close(id, 0)
		}
		return l.Open(id, 0)
	}
	if c.MQTTShare+c.Sparkplug > 0 {
		if _, err := connectionTo(c.Broker); err != nil {
			return out, fmt.Errorf("--broker: %w", err)
		}
	}
	if c.Products != "" {
		if out.Products, err = field.ParseShares(c.Products); err != nil {
			return out, fmt.Errorf("--products: %w", err)
		}
	}
	return out, errors.Join(out.Check(), c.gateway().Check())
}

// gateway is what else the configuration of a gateway says.
func (c fieldFlags) gateway() field.Gateway {
	return field.Gateway{ID: c.GatewayID, Kafka: c.GatewayKafka, Status: c.GatewayStatus, Poll: time.Duration(c.PollEvery),
		Commands: c.GatewayCommands, Time: c.GatewayTime, Answers: c.Answers != ""}
}

// open places the devices, says so, and writes what a gateway needs. Without --devices
// there are none.
func (c fieldFlags) open(s *scenario.Scenario, l *live.Live, say io.Writer, log *slog.Logger) (*field.Field, error) {
	if c.Devices == "" {
		if c.IEC104 != "" || c.OPCUA != "" || c.MQTTShare+c.Sparkplug > 0 || c.GatewayConfig != "" || c.GatewayModel != "" || c.Answers != "" {
			return nil, program.Usage{Err: errors.New("--devices is missing: from which address on?")}
		}
		return &field.Field{}, nil
	}
	config, err := c.config(s, l)
	if err != nil {
		return nil, program.Usage{Err: err}
	}
	f, err := field.New(config, log)
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for _, d := range f.Devices() {
		count[d.Of+" by "+d.By]++
	}
	for _, of := range []string{field.Meter, field.TransformerMeter, field.Bay, field.Monitor} {
		for _, by := range []string{field.ByModbus, field.ByIEC104, field.ByMQTT, field.BySparkplug, field.ByOPCUA} {
			if n := count[of+" by "+by]; n > 0 {
				fmt.Fprintf(say, "%6d %s by %s\n", n, plural(of, n), by)
			}
		}
	}
	fmt.Fprintf(say, "%6d %s of Modbus TCP from %s on\n", f.Ports(), plural("address", f.Ports()), f.First())
	if err := c.write(s, f, say); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// write writes what a gateway and its cloud need.
func (c fieldFlags) write(s *scenario.Scenario, f *field.Field, say io.Writer) error {
	if c.GatewayModel != "" {
		if err := c.writeModel(s, f); err != nil {
			return err
		}
	}
	if c.GatewayConfig == "" {
		return nil
	}
	if err := f.WriteGateway(c.GatewayConfig, c.gateway()); err != nil {
		return err
	}
	fmt.Fprintf(say, "busbar-gateway run --config %s reads them\n", c.GatewayConfig)
	return nil
}

func (c fieldFlags) writeModel(s *scenario.Scenario, f *field.Field) (err error) {
	var files outputs
	defer func() { err = errors.Join(err, files.close()) }()
	w, err := files.open(c.GatewayModel)
	if err != nil {
		return err
	}
	known, _ := s.Known()
	return gridfile.WriteYAML(w, f.Model(known, c.GatewayID))
}

// writeAnswers writes what the meters have counted.
func (c fieldFlags) writeAnswers(f *field.Field) error {
	if c.Answers == "" {
		return nil
	}
	text, err := json.Marshal(f.Answers())
	if err != nil {
		return err
	}
	return os.WriteFile(c.Answers, append(text, '\n'), 0o644)
}

func plural(noun string, n int) string {
	switch {
	case n == 1:
		return noun
	case noun == "address":
		return "addresses"
	}
	return noun + "s"
}
