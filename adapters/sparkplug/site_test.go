package sparkplug

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/mosquitto"
)

const live telemetry.SignalID = 1

// site is a host application at a broker, and what it delivers.
type site struct {
	t      *testing.T
	broker *mosquitto.Broker
	*Adapter

	mu            sync.Mutex
	signals       []adapters.Found // of the ids from live+1 on
	registrations int
	came          []string // in words
	samples       []telemetry.Sample
	current       map[string]string
}

func newSite(t *testing.T) *site {
	s := &site{t: t, broker: mosquitto.New(t, ""), current: map[string]string{}}
	s.broker.Start()
	return s
}

func (s *site) device() Device {
	return Device{
		ID: "plant", HostID: "busbar", Groups: []string{"plant-a"}, ReorderTimeout: 500 * time.Millisecond, Live: live,
		Broker: mqttconn.Config{Broker: "tcp://" + s.broker.Address, ClientID: "gw-plant"},
	}
}

func (s *site) run(d Device) (stop func()) {
	s.Adapter = New([]Device{d}, slog.New(slog.DiscardHandler))
	s.mu.Lock()
	s.current = map[string]string{}
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan struct{})
	go func() { s.Run(ctx, s); close(ended) }()
	stop = func() { cancel(); <-ended }
	s.t.Cleanup(stop)
	return stop
}

// Register implements adapters.Registrar, as a gateway does: what changes gets another id.
func (s *site) Register(_ context.Context, device string, told []adapters.Found) ([]telemetry.SignalID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registrations++
	ids := make([]telemetry.SignalID, len(told))
	for i, f := range told {
		at := slices.IndexFunc(s.signals, func(k adapters.Found) bool {
			return k.Name == f.Name && k.Encoding == f.Encoding && k.Unit == f.Unit
		})
		if at < 0 {
			at = len(s.signals)
			s.signals = append(s.signals, f)
		}
		ids[i] = live + 1 + telemetry.SignalID(at)
	}
	return ids, nil
}

// Known implements adapters.Registrar.
func (s *site) Known(context.Context, string) ([]adapters.Found, []telemetry.SignalID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]telemetry.SignalID, len(s.signals))
	for i := range ids {
		ids[i] = live + 1 + telemetry.SignalID(i)
	}
	return slices.Clone(s.signals), ids, nil
}

// Deliver implements adapters.Sink.
func (s *site) Deliver(_ context.Context, b adapters.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range b.Samples {
		name := telemetry.ChannelLive
		if v.Signal != live {
			name = s.signals[v.Signal-live-1].Name
		}
		text := v.Value.String()
		if q := v.Quality.WithTime(0); q != 0 {
			text += " " + q.String()
		}
		if b.Past {
			s.came = append(s.came, "past "+name+" "+text)
			continue
		}
		s.came = append(s.came, name+" "+text)
		s.current[name] = text
	}
	s.samples = append(s.samples, b.Samples...)
	return nil
}

// has waits until signals are what they should be.
func (s *site) has(want map[string]string) {
	s.t.Helper()
	var got string
	defer func() {
		if s.t.Failed() {
			s.t.Log(got)
		}
	}()
	await.True(s.t, fmt.Sprint(want), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		got = fmt.Sprint(s.current)
		for name, value := range want {
			if s.current[name] != value {
				return false
			}
		}
		return true
	})
}

// heard is what was delivered of a signal.
func (s *site) heard(name string) (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range s.came {
		if value, of := strings.CutPrefix(line, name+" "); of {
			list = append(list, value)
		}
	}
	return list
}

func (s *site) signal(name string) (adapters.Found, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range slices.Backward(s.signals) {
		if f.Name == name {
			return f, true
		}
	}
	return adapters.Found{}, false
}

var _ session.Device = Device{}
