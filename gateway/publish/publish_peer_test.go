package publish

import (
	"context"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/kafka"
	"github.com/busbar/busbar/test/mosquitto"
)

// alarm is one that was raised or cleared, and its event.
func alarm(kind telemetry.EventKind, id, rule, asset string) (telemetry.Event, []byte) {
	e := telemetry.Event{Kind: kind, Time: 1, Decided: 2, Alarm: &telemetry.AlarmChange{ID: id, Rule: rule, Asset: asset, Priority: telemetry.High}}
	payload, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	return e, payload
}

// site is a publisher and its broker.
type site struct {
	t      *testing.T
	broker *mosquitto.Broker
	*Publisher
}

func (s *site) start(config mqttconn.Config) (stop func()) {
	s.Publisher = New(Options{Config: config, Gateway: "gw", Prefix: "busbar", Log: slog.New(slog.DiscardHandler)})
	return s.runs()
}

func (s *site) runs() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { s.Run(ctx); close(ended) }()
	stop = func() { cancel(); <-ended }
	s.t.Cleanup(stop)
	return stop
}

func (s *site) raise(id, rule string) { s.Add(alarm(telemetry.AlarmRaised, id, rule, "feeder-1")) }
func (s *site) clear(id, rule string) { s.Add(alarm(telemetry.AlarmCleared, id, rule, "feeder-1")) }

func plain(b *mosquitto.Broker) mqttconn.Config {
	return mqttconn.Config{Broker: "tcp://" + b.Address, ClientID: "gw"}
}

// kept waits until the broker keeps these, by the last part of their topics but one,
// and the status.
func (s *site) kept(want map[string]string) {
	s.t.Helper()
	var got map[string]string
	await.True(s.t, fmt.Sprintf("%v is kept", want), func() bool {
		got = map[string]string{}
		for topic, payload := range s.broker.Kept("busbar/gw") {
			var e telemetry.Event
			if err := json.Unmarshal([]byte(payload), &e); err == nil {
				payload = string(e.Kind) + " " + e.Alarm.ID
			}
			got[strings.TrimPrefix(topic, "busbar/gw/")] = payload
		}
		return maps.Equal(got, want)
	})
}

// said are the alarms that a subscriber has got, in order.
func said(w *mosquitto.Watcher) (list []string) {
	for _, m := range w.Messages() {
		var e telemetry.Event
		if json.Unmarshal([]byte(m.Payload), &e) == nil && e.Alarm != nil {
			list = append(list, string(e.Kind)+" "+e.Alarm.ID)
		}
	}
	return list
}

// Who connects later sees what is active; who is there sees everything in order, also
// what happened while the broker was away and had forgotten what it kept.
func TestAlarmsReachTheBroker(t *testing.T) {
	s := &site{t: t, broker: mosquitto.New(t, "")}
	s.broker.Start()
	stop := s.start(plain(s.broker))
	w := s.broker.Watch("busbar")
	s.raise("a", "hot")
	s.raise("b", "dip")
	s.clear("b", "dip")
	s.kept(map[string]string{"status": "online", "alarms/hot/feeder-1": "alarm-raised a"})
	want := []string{"alarm-raised a", "alarm-raised b", "alarm-cleared b"}
	if got := said(w); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	s.broker.Kill()
	await.True(t, "the loss is noticed", func() bool { return !s.Stats().Connected })
	s.clear("a", "hot")
	s.raise("c", "hot")
	s.raise("d", "dip")
	s.clear("d", "dip")
	if st := s.Stats(); st.Waiting != 4 || st.Published != 3 || st.Cause == "" {
		t.Errorf("%+v", st)
	}
	s.broker.Start()
	w = s.broker.Watch("busbar")
	s.kept(map[string]string{"status": "online", "alarms/hot/feeder-1": "alarm-raised c"})
	await.True(t, "everything is published", func() bool { return s.Stats().Waiting == 0 })
	all := []string{"alarm-cleared a", "alarm-raised c", "alarm-raised d", "alarm-cleared d"}
	if got := said(w); len(got) > 0 && !slices.Equal(got, all[len(all)-len(got):]) { // it may have subscribed in between
		t.Errorf("got %q, want the end of %q", got, all)
	}
	if st := s.Stats(); !st.Connected || st.Published != 7 || st.Dropped != 0 || st.Blind {
		t.Errorf("%+v", st)
	}
	stop()
	s.kept(map[string]string{"status": "offline", "alarms/hot/feeder-1": "alarm-raised c"})
}

// A broker that keeps what it had over its restart, as of an alarm that has cleared
// meanwhile, or of an earlier process of the gateway, doesn't show it any longer.
func TestTheBrokerShowsNothingThatIsOver(t *testing.T) {
	s := &site{t: t, broker: mosquitto.New(t, "persistence true\npersistence_location "+t.TempDir()+"/")}
	s.broker.Start()
	s.broker.Publish("busbar/gw/alarms/gone/feeder-1", "x", "-r")
	s.broker.Publish("busbar/gw/alarms/dip/feeder-1", strings.Repeat("x", 100_000), "-r")
	s.broker.Publish("busbar/other/alarms/gone/feeder-1", "x", "-r")
	s.Publisher = New(Options{Config: plain(s.broker), Gateway: "gw", Prefix: "busbar", Log: slog.New(slog.DiscardHandler)})
	s.Restore(alarm(telemetry.AlarmRaised, "old", "dip", "feeder-1"))
	stop := s.runs()
	s.kept(map[string]string{"status": "online", "alarms/dip/feeder-1": "alarm-raised old"})
	if kept := s.broker.Kept("busbar/other"); len(kept) != 1 {
		t.Errorf("another gateway's alarms: %v", kept)
	}
	s.broker.Stop()
	await.True(t, "the loss is noticed", func() bool { return !s.Stats().Connected })
	s.clear("old", "dip")
	s.broker.Start()
	s.kept(map[string]string{"status": "online"})
	// The gateway goes, and comes again without the alarm.
	s.raise("new", "dip")
	s.kept(map[string]string{"status": "online", "alarms/dip/feeder-1": "alarm-raised new"})
	stop()
	s.start(plain(s.broker))
	s.kept(map[string]string{"status": "online"})
}

// Whoever reads online can go by what the broker keeps: what is over was emptied before,
// and what is active published.
func TestOnlineIsSaidLast(t *testing.T) {
	s := &site{t: t, broker: mosquitto.New(t, "")}
	s.broker.Start()
	for n := range 3 * together {
		s.broker.Publish(fmt.Sprintf("busbar/gw/alarms/gone/feeder-%d", n), "x", "-r")
	}
	w := s.broker.Watch("busbar/gw")
	before := len(w.Messages())
	s.Publisher = New(Options{Config: plain(s.broker), Gateway: "gw", Prefix: "busbar", Log: slog.New(slog.DiscardHandler)})
	s.Restore(alarm(telemetry.AlarmRaised, "old", "dip", "feeder-1"))
	s.runs()
	at := -1
	await.True(t, "it is online", func() bool {
		at = slices.IndexFunc(w.Messages(), func(m mosquitto.Message) bool { return m.Payload == online })
		return at >= 0
	})
	emptied, shown := 0, 0
	for _, m := range w.Messages()[before:at] {
		switch {
		case strings.HasSuffix(m.Topic, "/status"):
		case m.Payload == "":
			emptied++
		default:
			shown++
		}
	}
	if emptied != 3*together || shown != 1 {
		t.Errorf("before it is online, %d topics are emptied and %d alarms shown", emptied, shown)
	}
}

// A broker that hangs is left, and who hasn't said goodbye is published as gone.
func TestTheBrokerHangs(t *testing.T) {
	s := &site{t: t, broker: mosquitto.New(t, "")}
	s.broker.Start()
	s.start(plain(s.broker))
	s.kept(map[string]string{"status": "online"})
	s.broker.Freeze()
	s.raise("a", "hot")
	await.True(t, "the broker is given up", func() bool { return !s.Stats().Connected })
	if cause := s.Stats().Cause; !strings.Contains(cause, "doesn't answer in time") {
		t.Errorf("%s", cause)
	}
	s.broker.Thaw()
	s.kept(map[string]string{"status": "online", "alarms/hot/feeder-1": "alarm-raised a"})
	conn, err := mqttconn.Dial(t.Context(), mqttconn.Config{Broker: "tcp://" + s.broker.Address, ClientID: "other"}, mqttconn.Options{
		Will: mqttconn.Message{Topic: "will", Payload: []byte("gone"), Retain: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	conn.Abort()
	await.True(t, "the will is published", func() bool { return s.broker.Kept("will")["will"] == "gone" })
}

// By TLS with a login; and each thing that is wrong is said.
func TestTheBrokerByTLS(t *testing.T) {
	authority, err := kafka.OpenAuthority(filepath.Join(t.TempDir(), "ca"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := kafka.OpenAuthority(filepath.Join(t.TempDir(), "other"))
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := authority.Client("broker", pkix.Name{CommonName: "broker"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"password": "secret\n", "wrong": "wrong\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mosquitto.Password(t, filepath.Join(dir, "users"), "north", "secret")
	s := &site{t: t, broker: mosquitto.New(t, fmt.Sprintf("certfile %s\nkeyfile %s\npassword_file %s/users\nallow_anonymous false", cert, key, dir),
		"--cafile", authority.Cert(), "-u", "north", "-P", "secret")}
	s.broker.Start()
	good := mqttconn.Config{
		Broker: "tls://" + s.broker.Address, ClientID: "gw", Username: "north", PasswordFile: configfile.Path(filepath.Join(dir, "password")),
		TLS: &kafkaconn.TLS{CA: configfile.Path(authority.Cert())},
	}
	for want, change := range map[string]func(*mqttconn.Config){
		"unknown authority":          func(c *mqttconn.Config) { c.TLS = &kafkaconn.TLS{CA: configfile.Path(other.Cert())} },
		"authority":                  func(c *mqttconn.Config) { c.TLS = nil },
		"not Authorized":             func(c *mqttconn.Config) { c.PasswordFile = configfile.Path(filepath.Join(dir, "wrong")) },
		"no such file":               func(c *mqttconn.Config) { c.PasswordFile = configfile.Path(filepath.Join(dir, "none")) },
		"that isn't on this machine": func(c *mqttconn.Config) { c.Broker = "tcp://192.0.2.1:1883" },
		"mqtt: tcp://":               func(c *mqttconn.Config) { c.Broker = "tcp://" + s.broker.Address },
	} {
		c := good
		change(&c)
		if _, err := mqttconn.Dial(t.Context(), c, mqttconn.Options{Will: mqttconn.Message{Topic: "x"}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, expected %s", err, want)
		}
	}
	stop := s.start(good)
	s.raise("a", "hot")
	s.kept(map[string]string{"status": "online", "alarms/hot/feeder-1": "alarm-raised a"})
	stop()
}
