package session_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/telemetry"
)

// Thermometer is a device that says its temperature, as a line, when it is connected to.
type Thermometer struct {
	ID, Address string
	Every       time.Duration
	Temperature telemetry.SignalID
	Live        telemetry.SignalID
}

// About implements session.Device.
func (d Thermometer) About() session.About {
	return session.About{ID: d.ID, Where: d.Address, Live: d.Live, Points: []session.Point{{Name: "Tmp", Signal: d.Temperature}}}
}

// Run implements session.Device: it reads in each slot, and whenever somebody asks.
func (d Thermometer) Run(ctx context.Context, s *session.Session) { s.Poll(ctx, d.Every, d.Read) }

// Read implements session.Device.
func (d Thermometer) Read(ctx context.Context) session.Result {
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", d.Address)
	if err != nil { // each point has no value, and why
		return d.About().Failed(err, session.Bad(telemetry.NotConnected)|telemetry.Stale)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	line, err := bufio.NewReaderSize(c, 64).ReadSlice('\n') // no longer, whatever comes
	if err != nil {
		return d.About().Failed(err, session.Bad(telemetry.Timeout)|telemetry.Stale)
	}
	received := time.Now()
	sample := telemetry.Sample{Time: telemetry.MicrosOf(received), Signal: d.Temperature}
	if v, err := strconv.ParseFloat(strings.TrimSpace(string(line)), 64); err == nil {
		sample.Value = telemetry.FloatValue(v)
	} else { // it answers, so it lives; this value is none
		sample.Quality = session.Bad(telemetry.SensorFailure)
	}
	return session.Result{Received: received, Samples: []telemetry.Sample{sample}}
}

// printer is a sink; a gateway's commits and sends what it gets.
type printer struct{ stop context.CancelFunc }

func (p printer) Deliver(_ context.Context, b adapters.Batch) error {
	for _, s := range b.Samples {
		fmt.Println(b.Device, s.Signal, s.Value, s.Quality)
	}
	p.stop()
	return nil
}

func Example() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			fmt.Fprintln(c, "21.5")
			c.Close()
		}
	}()
	ctx, stop := context.WithCancel(context.Background())
	d := Thermometer{ID: "hall", Address: l.Addr().String(), Every: time.Hour, Temperature: 1, Live: 2}
	var a adapters.Adapter = session.New([]Thermometer{d}, slog.New(slog.DiscardHandler))
	a.Run(ctx, printer{stop})
	samples, err := session.New([]Thermometer{d}, nil).ReadOnce(context.Background(), "hall")
	fmt.Println(samples[0].Value, err)
	// Output:
	// hall 1 21.5 good
	// hall 2 true good
	// 21.5 <nil>
}
