package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/gateway/status"
	"github.com/busbar/busbar/gatewayconfig"
)

// CaptureDevice writes what goes over a device's link to w, as a file that Wireshark reads,
// until ctx ends. If the configuration's gateway runs on this machine, it is its link, which
// goes on undisturbed; else one of its own, over which the device is read, as a gateway does.
func CaptureDevice(ctx context.Context, config gatewayconfig.Config, dir, device string, log *slog.Logger, w io.Writer) error {
	if answered, err := captureRunning(ctx, config, dir, device, w); answered {
		log.Info("captured by the gateway that is running", "device", device)
		return err
	}
	one := config
	one.Devices = slices.DeleteFunc(slices.Clone(config.Devices), func(d gatewayconfig.Device) bool { return d.ID != device })
	f, err := newField(newDevices(one, dir), log)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	capturing, end := context.WithCancel(context.WithoutCancel(ctx)) // to the end of the transfer
	defer end()
	begins := &beginning{Writer: w, begun: make(chan struct{})}
	captured := make(chan error, 1)
	go func() {
		captured <- f.capture(capturing, device, begins)
		stop()
	}()
	select {
	case <-begins.begun: // from the first octet on
	case <-ctx.Done():
	}
	err = f.Run(ctx, nowhere{})
	end()
	return errors.Join(err, <-captured)
}

// beginning tells when something is written first.
type beginning struct {
	io.Writer
	begun chan struct{}
	once  sync.Once
}

func (b *beginning) Write(p []byte) (int, error) {
	b.once.Do(func() { close(b.begun) })
	return b.Writer.Write(p)
}

// nowhere is a sink for who only looks at how a device is read.
type nowhere struct{}

func (nowhere) Deliver(ctx context.Context, _ adapters.Batch) error { return ctx.Err() }

// captureRunning reports false for answered if no gateway of this configuration runs here,
// or it doesn't know the device.
func captureRunning(ctx context.Context, config gatewayconfig.Config, dir, device string, w io.Writer) (answered bool, err error) {
	if config.Gateway.ID == "" {
		return false, nil
	}
	answer, name, err := question{at: here(config, dir), path: "/devices/" + url.PathEscape(device) + "/capture"}.ask(ctx)
	if err != nil {
		return ctx.Err() != nil, nil
	}
	defer answer.Body.Close()
	switch {
	case name != config.Gateway.ID, answer.StatusCode == http.StatusNotFound:
		return false, nil
	case answer.StatusCode != http.StatusOK:
		return true, take(answer, nil)
	}
	if _, err = io.Copy(w, answer.Body); ctx.Err() != nil { // it was to end
		err = nil
	} else if err == nil {
		err = errors.New("the gateway that is running has ended it")
	}
	return true, err
}

// Capture implements status.Source.
func (g source) Capture(ctx context.Context, device string, w io.Writer) error {
	if !slices.ContainsFunc(g.live.Load().config.Devices, func(d gatewayconfig.Device) bool { return d.ID == device }) {
		return status.ErrNoDevice
	}
	return g.field.capture(ctx, device, w)
}

// capture writes what goes over a device's link to w until ctx ends.
func (f *field) capture(ctx context.Context, device string, w io.Writer) error {
	r := f.reader(device)
	if r == nil {
		return fmt.Errorf("gateway: there is no device %q", device)
	}
	if c := r.capturer(); c != nil {
		return c.Capture(ctx, device, w)
	}
	return fmt.Errorf("gateway: what goes to and from device %s can't be captured by its protocol, only that of iec104 and iec101", device)
}
