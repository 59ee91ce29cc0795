package gateway

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/busbar/busbar/gateway/clock"
	"github.com/busbar/busbar/gateway/control"
	"github.com/busbar/busbar/gateway/station"
	"github.com/busbar/busbar/gateway/status"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/telemetry"
)

// stationName is the file in the buffer's directory that keeps the events of the station.
const stationName = "iec104-events.db"

// masterError bounds how far a time is off that a master has told: what the way took isn't
// known.
const masterError = 500 * time.Millisecond

// prepareStation makes nothing if the gateway is no controlled station.
func (g *Gateway) prepareStation(d devices) error {
	c := g.config.Serve.IEC104
	if c == nil {
		return nil
	}
	o := station.Options{
		Config: c.Controlled(), Listen: c.Address(), Control: g.control, Log: g.log.With("station", "iec104"),
		File: filepath.Join(g.config.Buffer.Path.In(g.options.Dir), stationName),
		Lost: func(group string, count uint64) error {
			at := g.clock.Now()
			return g.hold(telemetry.Event{Kind: telemetry.MasterMissed, Time: at, Decided: at, Missed: &telemetry.Missed{Master: group, Count: count}})
		},
		Damaged: g.declareDamage,
	}
	if c.TLS != nil {
		o.TLS = func() (*tls.Config, error) { return stationTLS(*c.TLS, g.options.Dir, gatewayTime(g.clock)) }
	}
	if c.TakeTime {
		o.SetClock = g.takeTime
	}
	for _, s := range d.config.ServedPoints() {
		o.Signals = append(o.Signals, station.Signal{Device: s.Device, Name: s.Signal, Bool: s.Bool, Scale: s.Scale, Point: s.Point, Control: s.Control})
	}
	s, err := station.New(o)
	if err != nil {
		return fmt.Errorf("gateway: serve.iec104: %w", err)
	}
	s.Define(d.model.Signals)
	g.pipeline.station = s
	return nil
}

// stationTLS is the certificates as they are now.
func stationTLS(t gatewayconfig.StationTLS, dir string, now func() time.Time) (*tls.Config, error) {
	trust, err := kafkaconn.TLS{CA: t.CA}.Config(dir)
	if err != nil {
		return nil, err
	}
	own, err := tls.LoadX509KeyPair(t.Cert.In(dir), t.Key.In(dir))
	if err != nil {
		return nil, fmt.Errorf("read the certificate and its key: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{own}, ClientCAs: trust.RootCAs, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: trust.MinVersion, Time: now}, nil
}

// takeTime takes a time that a master tells.
func (g *Gateway) takeTime(at time.Time) error {
	boot := g.clock.SinceBoot()
	return g.clock.Offer(clock.Fix{Source: "IEC 104 master", Began: telemetry.MicrosOf(at) - boot, At: boot, MaxError: masterError, Agreeing: 1})
}

// tellMasters hands on what was evaluated, if the gateway is a controlled station.
func (p *pipeline) tellMasters(b queued, samples []telemetry.Sample) {
	if p.station != nil {
		p.station.Take(samples, b.stamp.Held == clock.Everything || b.stamp.Guessed, b.past)
	}
}

// reportStation says how control rooms are served.
func (g source) reportStation(r *status.Report) {
	if g.pipeline.station == nil {
		return
	}
	s := g.pipeline.station.Stats()
	r.IEC104 = &status.Station{Listen: s.Listen, Encrypted: s.Encrypted, Listening: s.Cause == nil, Kept: s.Unkept == nil, Passed: s.Passed}
	var away []string
	for _, group := range s.Groups {
		r.IEC104.Groups = append(r.IEC104.Groups, status.StationGroup{Name: group.Name, Master: group.Started, Waiting: group.Waiting, Dropped: group.Dropped})
		if group.Started == "" {
			away = append(away, group.Name)
		}
	}
	switch {
	case s.Cause != nil:
		r.Problems = append(r.Problems, fmt.Sprintf("control rooms can't be served at %s: %s", s.Listen, s.Cause))
	case len(away) > 0:
		r.Problems = append(r.Problems, "no control room has started a connection of "+strings.Join(away, ", ")+" (serve.iec104)")
	}
	if s.Unkept != nil {
		r.Problems = append(r.Problems, fmt.Sprintf("events are told to control rooms without being kept, and what they haven't taken would end with the process: %s", s.Unkept))
	}
}

var _ station.Controller = (*control.Authoriser)(nil)
