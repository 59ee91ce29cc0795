package gateway

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/control"
	"github.com/busbar/busbar/gateway/status"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/keyfile"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
)

// controlTokenFile is beside the buffer's files. It holds what somebody on this
// machine has to show to operate a device: who can read it may.
const controlTokenFile = "control.token"

// controlDrain is how long a stopping gateway lets an operation go on undisturbed.
const controlDrain = 5 * time.Second

// prepareControl makes the one Authoriser. Without its token nobody on this machine
// operates anything, but the gateway still reads.
func (g *Gateway) prepareControl(d devices) error {
	points, err := d.controlled()
	if err != nil {
		return err
	}
	enabled := g.config.Gateway.Control == gatewayconfig.Enabled
	g.control = control.New(control.Options{
		Enabled: enabled, Points: points, Controller: g.field, Read: g.readForInterlock, Audit: g.audit, Log: g.log,
	})
	path := controlTokenPath(g.config, g.options.Dir)
	if !enabled {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			g.log.Warn("the token of an earlier process can't be removed; it is worth nothing", "path", path, "error", err)
		}
		return nil
	}
	if g.controlToken, err = newControlToken(path); err != nil {
		g.log.Error("the token for control can't be written; nobody on this machine can operate a device", "path", path, "error", err)
	}
	return nil
}

func controlTokenPath(config gatewayconfig.Config, dir string) string {
	return filepath.Join(config.Buffer.Path.In(dir), controlTokenFile)
}

// newControlToken draws a token for this process, which its owner alone can read.
func newControlToken(path string) (string, error) {
	token := rand.Text()
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	return token, keyfile.Create(path, []byte(token+"\n"))
}

// controlled is what the configuration lists under control.
func (d *devices) controlled() ([]control.Point, error) {
	var points []control.Point
	for i, c := range d.config.Devices {
		for j, s := range c.Signals {
			o, listed := c.ControlOf(s.Name)
			if !listed {
				continue
			}
			p := control.Point{
				Device: c.ID, Signal: s.Name, ID: d.list[i].signals[j], Asset: c.Asset, Unit: s.Unit, Bool: s.Type == modbus.Bool,
				OneOf: o.OneOf, ByRules: o.ByRules, Select: o.Mode == gatewayconfig.ControlSelected, SelectFor: time.Duration(o.SelectTimeout), Every: time.Duration(o.MinInterval),
			}
			switch {
			case o.Min != nil && o.Max != nil:
				p.Min, p.Max = *o.Min, *o.Max
			case p.Bool:
				p.Max = 1
			}
			for _, lock := range o.Interlock {
				compiled, problem := rules.CompileInterlock(lock.When, lock.Target(c.ID), d.model)
				if problem != nil {
					return nil, fmt.Errorf("gateway: interlock of %s of %s: %w", s.Name, c.ID, problem.Err)
				}
				p.Interlocks = append(p.Interlocks, compiled)
			}
			points = append(points, p)
		}
	}
	return points, nil
}

// readForInterlock reads a device anew. That it has answered is its ChannelLive.
func (g *Gateway) readForInterlock(ctx context.Context, id string) ([]telemetry.Sample, error) {
	samples, err := g.field.ReadOnce(ctx, id)
	if err != nil {
		return nil, err
	}
	devices := g.live.Load().devices.list
	at := slices.IndexFunc(devices, func(d device) bool { return d.id == id })
	if at < 0 {
		return nil, fmt.Errorf("gateway: there is no device %s any more", id)
	}
	return append(samples, telemetry.Sample{
		Signal: devices[at].live, Time: telemetry.MicrosOf(time.Now()), Value: telemetry.BoolValue(true),
	}), nil
}

// audit writes a step of an operation down, and sends it also if that fails.
func (g *Gateway) audit(c telemetry.Control) error {
	now := g.clock.Now()
	item, err := g.item(telemetry.Event{Kind: telemetry.ControlAttempted, Time: now, Decided: now, Control: &c})
	if err != nil {
		return err
	}
	if settles(c) {
		err = g.pipeline.settle(item)
	} else {
		err = g.buffer.Events.Hold([]buffer.Item{item}, nil)
	}
	if err != nil {
		return err
	}
	return g.buffer.Events.CommitHeld()
}

// endControl refuses everything from now on, and leaves what goes on some time.
func (g *Gateway) endControl(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, controlDrain)
	defer cancel()
	g.control.Close(ctx)
}

// controlActions are what a request over the status listener may ask for.
var controlActions = []telemetry.ControlAction{telemetry.ControlSelect, telemetry.ControlOperate, telemetry.ControlCancel}

// Operate implements status.Source.
func (g source) Operate(ctx context.Context, device, signal, action, token string, body status.ControlRequest) (status.ControlAnswer, error) {
	if !slices.Contains(controlActions, telemetry.ControlAction(action)) {
		return status.ControlAnswer{}, status.ErrNoAction
	}
	request := control.Request{Device: device, Signal: signal, Origin: telemetry.ControlLocal, By: strings.TrimSpace(body.By), Selection: body.Selection}
	enabled := g.control.Stats().Enabled
	if enabled && !g.authorised(token) {
		detail := "the token isn't that in " + controlTokenPath(g.config, g.options.Dir)
		g.control.Refuse(telemetry.ControlAction(action), request, control.Unauthorised, "it was asked for without the gateway's token")
		return status.ControlAnswer{}, fmt.Errorf("%w: %s", status.ErrUnauthorised, detail)
	}
	point, listed := g.control.Point(device, signal)
	if enabled && listed && action != string(telemetry.ControlCancel) {
		var err error
		if request.Value, err = point.Parse(body.Value); err != nil {
			return controlAnswer(point, request.Value, g.control.Refuse(telemetry.ControlAction(action), request, control.OutOfRange, err.Error())), nil
		}
	}
	var answer control.Answer
	switch telemetry.ControlAction(action) {
	case telemetry.ControlSelect:
		answer = g.control.Select(ctx, request)
	case telemetry.ControlOperate:
		answer = g.control.Operate(ctx, request)
	default:
		answer = g.control.Cancel(request)
	}
	return controlAnswer(point, request.Value, answer), nil
}

func (g source) authorised(token string) bool {
	return g.controlToken != "" && subtle.ConstantTimeCompare([]byte(token), []byte(g.controlToken)) == 1
}

func controlAnswer(p control.Point, requested telemetry.Value, a control.Answer) status.ControlAnswer {
	return status.ControlAnswer{
		ID: a.ID, Outcome: a.Outcome, Cause: string(a.Cause), Detail: a.Detail, Unit: p.Unit,
		Requested: control.Text(requested), Old: control.Text(a.Old), ReadBack: control.Text(a.ReadBack), Expires: a.Expires,
	}
}

// reportControl says how operating devices stands.
func (g source) reportControl(r *status.Report) {
	s := g.control.Stats()
	r.Control = status.Control{Enabled: s.Enabled, Points: s.Points}
	for c, n := range s.Counts {
		r.Control.Counts = append(r.Control.Counts, status.ControlCount{Action: string(c.Action), Outcome: string(c.Outcome), Count: n})
	}
	slices.SortFunc(r.Control.Counts, func(a, b status.ControlCount) int {
		return strings.Compare(a.Action+a.Outcome, b.Action+b.Outcome)
	})
	for _, p := range s.Selected {
		r.Control.Selected = append(r.Control.Selected, status.Selected{Device: p.Device, Signal: p.Signal, By: p.By, Expires: p.Expires})
	}
	if s.Enabled && g.controlToken == "" {
		r.Problems = append(r.Problems, "control is enabled, but its token couldn't be written: until the gateway is started again, nobody on this machine can operate a device")
	}
}
