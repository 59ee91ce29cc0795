package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	firmware "github.com/busbar/busbar/firmware-config"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/profile"
	"github.com/busbar/busbar/test/mosquitto"
)

// watched is the last that has been read of each signal of a device.
type watched struct {
	config gatewayconfig.Config

	mu   sync.Mutex
	last map[string]Reading
}

func (w *watched) take(readings []Reading) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range readings {
		w.last[r.Signal] = r
	}
}

func (w *watched) now() map[string]Reading {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.last)
}

// is reports whether a reading is what an example says: a value, maybe with the unit that
// the device has told, or why there is none.
func is(r Reading, want string) bool {
	if r.Value == want || r.Value+" "+r.Unit == want || strings.HasSuffix(r.Value, " ("+want+")") || r.Quality == "bad ("+want+")" {
		return true
	}
	got, err := strconv.ParseFloat(r.Value, 64)
	number, wrong := strconv.ParseFloat(want, 64)
	return err == nil && wrong == nil && fmt.Sprintf("%.10g", got) == fmt.Sprintf("%.10g", number)
}

// watch reads a device of the broker until the test ends.
func watchBroker(t *testing.T, b *mosquitto.Broker, keys string) *watched {
	t.Helper()
	config, err := gatewayconfig.Parse("gateway.yaml", []byte(`gateway: {id: gw}
forward: {kafka: {brokers: ["localhost:9092"]}}
buffer: {path: data}
devices:
  - id: site
`+strings.ReplaceAll(keys, "BROKER", "tcp://"+b.Address)))
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{config: config, last: map[string]Reading{}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- WatchDevice(ctx, config, t.TempDir(), "site", slog.New(slog.DiscardHandler), w.take)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *watched) await(t *testing.T, want map[string]string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		got := w.now()
		missing := ""
		for name, value := range want {
			if r, known := got[name]; !known || !is(r, value) {
				missing = fmt.Sprintf("%s is %s %s, %s, expected %s", name, r.Value, r.Unit, r.Quality, value)
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatal(missing)
		}
	}
}

// What the products publish, through a broker that has retained it in an order of its own,
// is what their profiles say.
func TestPublishedAsProfilesSay(t *testing.T) {
	list, err := firmware.Profiles().LoadBy(profile.MQTT)
	if err != nil || len(list) < 6 {
		t.Fatalf("%d, %v", len(list), err)
	}
	for _, p := range list {
		t.Run(p.Name, func(t *testing.T) {
			b := mosquitto.New(t, "")
			b.Start()
			of := map[string]map[string]string{}
			for _, e := range p.Examples {
				for _, m := range e.Messages {
					b.Publish(m.Topic, m.Payload, "-r")
				}
				of[e.Topic] = e.Values
			}
			for topic, values := range of {
				w := watchBroker(t, b, fmt.Sprintf("    mqtt: {broker: BROKER, topic: %q}\n    profile: %s\n", topic, p.Name))
				w.await(t, values)
			}
		})
	}
}

// Of all devices of a kind one goes, and of one with a topic all; what the configuration
// lists is there before it comes, and what it gives of a name is its own.
func TestTheDevicesOfAProfileGo(t *testing.T) {
	b := mosquitto.New(t, "")
	b.Start()
	b.Publish("tele/cellar/LWT", "Online", "-r")
	all := watchBroker(t, b, "    mqtt: {broker: BROKER}\n    profile: tasmota\n    follow: [{name: TotW, scale: 0.001, unit: kW}]\n")
	one := watchBroker(t, b, "    mqtt: {broker: BROKER, topic: cellar}\n    profile: tasmota\n    signals: [{name: TotW, scale: 0.001, unit: kW}, {name: Hz}]\n")
	for _, w := range []*watched{all, one} {
		w.await(t, map[string]string{"ChLiv": "true"})
	}
	const power = `{"ENERGY":{"Power":%d,"Voltage":230}}`
	b.Publish("tele/cellar/SENSOR", fmt.Sprintf(power, 1000))
	b.Publish("tele/attic/SENSOR", fmt.Sprintf(power, 2000))
	all.await(t, map[string]string{"cellar.TotW": "1 kW", "attic.TotW": "2 kW", "cellar.PhV": "230 V", "cellar.Online": "1"})
	one.await(t, map[string]string{"TotW": "1 kW", "PhV": "230 V", "Online": "1"})
	b.Publish("tele/cellar/LWT", "Offline", "-r")
	all.await(t, map[string]string{"cellar.TotW": "not connected", "cellar.PhV": "not connected", "cellar.Online": "0", "attic.TotW": "2 kW", "ChLiv": "true"})
	one.await(t, map[string]string{"TotW": "not connected", "PhV": "not connected", "Hz": "not connected", "Online": "0", "ChLiv": "false"})
	// Who asks once, without a gateway, is told of it as well.
	said := func(r Reading) bool { return r.Signal == "Online" && is(r, "0") }
	for end := time.Now().Add(time.Minute); ; {
		readings, err := ReadDevice(t.Context(), one.config, t.TempDir(), "site", slog.New(slog.DiscardHandler))
		if err == nil && slices.ContainsFunc(readings, said) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%+v, %v", readings, err)
		}
	}
	b.Publish("tele/cellar/LWT", "Online", "-r")
	b.Publish("tele/cellar/SENSOR", fmt.Sprintf(power, 3000))
	all.await(t, map[string]string{"cellar.TotW": "3 kW", "cellar.Online": "1"})
	one.await(t, map[string]string{"TotW": "3 kW", "Online": "1", "ChLiv": "true"})
}
