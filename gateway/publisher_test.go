package gateway

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/mosquitto"
)

// Alarms reach the broker of the site with the log away, and it shows what is active
// over restarts of the gateway, and nothing else.
func TestAlarmsArePublishedWithoutTheLog(t *testing.T) {
	broker := mosquitto.New(t, "")
	broker.Start()
	b := newBench(t)
	b.source += "serve: {mqtt: {broker: \"tcp://" + broker.Address + "\"}}\n"
	b.config = b.parse(b.source)
	b.withStatus()
	b.cluster.Close()
	const topic = "busbar/gw/alarms/voltage-interruption/feeder-1"
	shows := func(kind telemetry.EventKind) (e telemetry.Event) {
		t.Helper()
		var kept map[string]string
		for limit := time.Now().Add(time.Minute); time.Now().Before(limit); time.Sleep(20 * time.Millisecond) {
			kept = broker.Kept("busbar/gw")
			if kept["busbar/gw/status"] != "online" {
				continue
			}
			if kept[topic] == "" && kind == "" {
				return e
			}
			if json.Unmarshal([]byte(kept[topic]), &e) == nil && e.Kind == kind {
				return e
			}
		}
		t.Fatalf("%v, expected %q", kept, kind)
		return e
	}
	stop := b.run()
	shows("")
	b.meter.set(0)
	raised := shows(telemetry.AlarmRaised)
	if raised.Alarm.Asset != "feeder-1" || len(raised.Alarm.Inputs) == 0 || raised.Alarm.Summary == "" {
		t.Errorf("%+v", raised.Alarm)
	}
	b.awaitStatus()
	for path, want := range map[string]string{
		"/":        "Alarms by MQTT to tcp://" + broker.Address + ": connected",
		"/metrics": "busbar_gateway_mqtt_published_total 1\n",
	} {
		answer, err := http.Get("http://" + b.config.Status.Listen + path)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if !strings.Contains(string(text), want) {
			t.Errorf("%s doesn't say %q", path, want)
		}
	}
	broker.Kill()
	s := source{b.gateway, time.Now()}
	for limit := time.Now().Add(time.Minute); s.Report().MQTT.Connected; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the loss of the broker isn't noticed")
		}
	}
	if problems := strings.Join(s.Report().Problems, "\n"); !strings.Contains(problems, "alarms can't be published: ") {
		t.Errorf("%s", problems)
	}
	stop()
	// Another process, and a broker that has forgotten everything.
	broker.Start()
	stop = b.run()
	if e := shows(telemetry.AlarmRaised); e.Alarm.ID != raised.Alarm.ID || e.Time != raised.Time || e.Alarm.Priority != raised.Alarm.Priority {
		t.Errorf("%+v, expected %+v", e.Alarm, raised.Alarm)
	}
	b.meter.set(230)
	shows("")
	stop()
}

// Values reach the broker too, if they are to, those of the gateway itself as well.
func TestValuesArePublished(t *testing.T) {
	broker := mosquitto.New(t, "")
	broker.Start()
	b := newBench(t)
	b.source += "serve: {mqtt: {broker: \"tcp://" + broker.Address + "\", values: {qos: 1, retain: true}}}\n"
	b.config = b.parse(b.source)
	stop := b.run()
	shows := func(signal, value string) {
		t.Helper()
		var kept map[string]string
		for limit := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			kept = broker.Kept("busbar/gw/values")
			if strings.Contains(kept["busbar/gw/values/"+signal], value) {
				return
			}
			if time.Now().After(limit) {
				t.Fatalf("%s isn't %s in %v", signal, value, kept)
			}
		}
	}
	device := b.config.Devices[0]
	signal := device.ID + "/" + device.Signals[0].Name
	shows(signal, `"value":230,`)
	shows(device.ID+"/ChLiv", `"value":true,`)
	shows("gw/ClkSt", `"unit":"1"`)
	b.meter.set(207)
	shows(signal, `"value":207,`)
	stop()
}

// The alarm that isn't a rule's, of a gateway that can't write its buffer, is published
// too.
func TestTheAlarmOfTheDiskIsPublished(t *testing.T) {
	broker := mosquitto.New(t, "")
	broker.Start()
	b := newBench(t)
	b.source += "serve: {mqtt: {broker: \"tcp://" + broker.Address + "\"}}\n"
	b.config = b.parse(b.source)
	b.config.Gateway.Key = configfile.Path(filepath.Join(t.TempDir(), "gateway.key"))
	dir := string(b.config.Buffer.Path)
	if err := errors.Join(os.Remove(dir), os.Symlink(filepath.Base(dir), dir)); err != nil { // it leads to itself
		t.Fatal(err)
	}
	stop := b.run()
	var e telemetry.Event
	for limit := time.Now().Add(time.Minute); e.Kind != telemetry.AlarmRaised; time.Sleep(20 * time.Millisecond) {
		json.Unmarshal([]byte(broker.Kept("busbar/gw")["busbar/gw/alarms/buffer-unwritable/gw"]), &e)
		if time.Now().After(limit) {
			t.Fatal("it isn't published")
		}
	}
	stop()
}
