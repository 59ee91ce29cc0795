package sparkplug

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/busbar/busbar/adapters/sparkplug/topic"
	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/test/mqttrecord"
)

// recorded is what a host application sends from its connection to its end; in between,
// somebody says that it is away.
type recorded struct {
	began, ended time.Time
	connect      *packets.ConnectPacket
	will         topic.State
	subscribed   []string
	published    []*packets.PublishPacket
	states       []topic.State // that were published
	order        []string
}

func record(t *testing.T) (r recorded) {
	b := mqttrecord.Start(t)
	s := &site{t: t, current: map[string]string{}}
	d := Device{ID: "plant", HostID: "busbar", ReorderTimeout: time.Second, Live: live, Broker: mqttconn.Config{Broker: "tcp://" + b.Address, ClientID: "gw"}}
	r.began = time.Now()
	stop := s.run(d)
	states := func(list []packets.ControlPacket) (n int) {
		for _, p := range list {
			if m, is := p.(*packets.PublishPacket); is && m.TopicName == "spBv1.0/STATE/busbar" {
				n++
			}
		}
		return n
	}
	b.Await("it says that it is there", func(list []packets.ControlPacket) bool { return states(list) == 1 })
	b.Send("spBv1.0/STATE/busbar", topic.State{Timestamp: time.Now().UnixMilli()}.Payload(), false)
	b.Await("it says so again", func(list []packets.ControlPacket) bool { return states(list) == 2 })
	stop()
	r.ended = time.Now()
	list := b.Await("it says goodbye", func(list []packets.ControlPacket) bool {
		_, ended := list[len(list)-1].(*packets.DisconnectPacket)
		return ended
	})
	for _, p := range list {
		switch p := p.(type) {
		case *packets.ConnectPacket:
			r.connect = p
			r.order = append(r.order, "connect")
		case *packets.SubscribePacket:
			r.subscribed = append(r.subscribed, p.Topics...)
			r.order = append(r.order, "subscribe")
		case *packets.PublishPacket:
			r.published = append(r.published, p)
			state, err := topic.ParseState(p.Payload)
			if err != nil {
				t.Error(err)
			}
			r.states = append(r.states, state)
			r.order = append(r.order, "publish")
		case *packets.DisconnectPacket:
			r.order = append(r.order, "disconnect")
		}
	}
	var err error
	if r.will, err = topic.ParseState(r.connect.WillMessage); err != nil {
		t.Error(err)
	}
	return r
}

// within reports whether a state's time is the real one.
func (r recorded) within(s topic.State) bool {
	return s.Timestamp >= r.began.UnixMilli() && s.Timestamp <= r.ended.UnixMilli()+1
}

// Who is stopped while the broker owes an acknowledgement says goodbye all the same.
func TestGoodbyeBehindWhatIsUnderWay(t *testing.T) {
	b := mqttrecord.Start(t)
	a := New([]Device{{ID: "plant", HostID: "busbar", Live: live, Broker: mqttconn.Config{Broker: "tcp://" + b.Address, ClientID: "gw"}}}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	b.Hold()
	go func() { a.Run(ctx, &site{t: t, current: map[string]string{}}); close(ended) }()
	b.Await("it says that it is there", func(list []packets.ControlPacket) bool { return len(list) == 3 })
	cancel()
	time.Sleep(50 * time.Millisecond) // for who would break it off
	b.Release()
	<-ended
	list := b.Await("it says goodbye", func(list []packets.ControlPacket) bool { return len(list) == 5 })
	state, err := topic.ParseState(list[3].(*packets.PublishPacket).Payload)
	if _, ended := list[4].(*packets.DisconnectPacket); err != nil || state.Online || !ended {
		t.Errorf("%v", list)
	}
}

// The assertions about a host application's connection, by their ids (those of the TCK's
// SessionEstablishment and SessionTermination).
func TestAssertionsOfTheConnection(t *testing.T) {
	r := record(t)
	birth := func(r recorded) *packets.PublishPacket { return r.published[0] }
	death := func(r recorded) *packets.PublishPacket { return r.published[len(r.published)-1] }
	online := func(r recorded) topic.State { return r.states[0] }
	offline := func(r recorded) topic.State { return r.states[len(r.states)-1] }
	const own = "spBv1.0/STATE/busbar"
	for id, holds := range map[string]bool{
		"tck-id-message-flow-phid-sparkplug-clean-session-311":                r.connect.CleanSession,
		"tck-id-operational-behavior-host-application-connect-will":           r.connect.WillFlag,
		"tck-id-payloads-state-will-message":                                  r.connect.WillFlag && r.connect.WillTopic == own,
		"tck-id-host-topic-phid-death-required":                               r.connect.WillFlag,
		"tck-id-host-topic-phid-death-topic":                                  r.connect.WillTopic == own,
		"tck-id-operational-behavior-host-application-connect-will-topic":     r.connect.WillTopic == own,
		"tck-id-operational-behavior-host-application-connect-will-payload":   !r.will.Online && r.within(r.will),
		"tck-id-payloads-state-will-message-payload":                          !r.will.Online && r.within(r.will),
		"tck-id-host-topic-phid-death-payload":                                !r.will.Online && r.within(r.will),
		"tck-id-host-topic-phid-death-payload-connect":                        r.within(r.will),
		"tck-id-host-topic-phid-death-qos":                                    r.connect.WillQos == 1,
		"tck-id-operational-behavior-host-application-connect-will-qos":       r.connect.WillQos == 1,
		"tck-id-payloads-state-will-message-qos":                              r.connect.WillQos == 1,
		"tck-id-host-topic-phid-death-retain":                                 r.connect.WillRetain,
		"tck-id-operational-behavior-host-application-connect-will-retained":  r.connect.WillRetain,
		"tck-id-payloads-state-will-message-retain":                           r.connect.WillRetain,
		"tck-id-payloads-state-subscribe":                                     slices.Contains(r.subscribed, own),
		"tck-id-host-topic-phid-birth-sub-required":                           slices.Contains(r.subscribed, own) && slices.Contains(r.subscribed, "spBv1.0/#"),
		"tck-id-message-flow-phid-sparkplug-subscription":                     r.order[1] == "subscribe" && r.order[2] == "publish",
		"tck-id-message-flow-phid-sparkplug-state-publish":                    r.order[2] == "publish" && online(r).Online,
		"tck-id-principles-birth-certificates-order":                          birth(r).TopicName == own && online(r).Online,
		"tck-id-host-topic-phid-birth-message":                                birth(r).TopicName == own && online(r).Online,
		"tck-id-host-topic-phid-birth-required":                               birth(r).TopicName == own && online(r).Online,
		"tck-id-host-topic-phid-birth-topic":                                  birth(r).TopicName == own,
		"tck-id-operational-behavior-host-application-connect-birth":          birth(r).TopicName == own,
		"tck-id-operational-behavior-host-application-connect-birth-topic":    birth(r).TopicName == own,
		"tck-id-host-topic-phid-birth-qos":                                    birth(r).Qos == 1,
		"tck-id-operational-behavior-host-application-connect-birth-qos":      birth(r).Qos == 1,
		"tck-id-host-topic-phid-birth-retain":                                 birth(r).Retain,
		"tck-id-operational-behavior-host-application-connect-birth-retained": birth(r).Retain,
		"tck-id-payloads-state-birth":                                         birth(r).TopicName == own && birth(r).Qos == 1 && birth(r).Retain,
		"tck-id-host-topic-phid-birth-payload":                                online(r).Online && r.within(online(r)),
		"tck-id-host-topic-phid-birth-payload-timestamp":                      online(r).Timestamp == r.will.Timestamp,
		"tck-id-message-flow-phid-sparkplug-state-publish-payload":            online(r) == topic.State{Online: true, Timestamp: r.will.Timestamp},
		"tck-id-message-flow-phid-sparkplug-state-publish-payload-timestamp":  online(r).Timestamp == r.will.Timestamp,
		"tck-id-operational-behavior-host-application-connect-birth-payload":  online(r) == topic.State{Online: true, Timestamp: r.will.Timestamp},
		"tck-id-payloads-state-birth-payload":                                 online(r) == topic.State{Online: true, Timestamp: r.will.Timestamp},
		"tck-id-message-flow-hid-sparkplug-state-message-delivered":           len(r.states) == 3 && r.states[1] == online(r) && r.published[1].Retain && r.published[1].Qos == 1,
		"tck-id-components-ph-state":                                          online(r).Online && !offline(r).Online,
		"tck-id-intro-sparkplug-host-state":                                   online(r).Online && !offline(r).Online,
		"tck-id-conformance-primary-host":                                     online(r).Online,
		"tck-id-operational-behavior-host-application-termination":            !offline(r).Online,
		"tck-id-operational-behavior-host-application-death-topic":            death(r).TopicName == own,
		"tck-id-operational-behavior-host-application-death-payload":          !offline(r).Online && r.within(offline(r)),
		"tck-id-operational-behavior-host-application-death-qos":              death(r).Qos == 1,
		"tck-id-operational-behavior-host-application-death-retained":         death(r).Retain,
		"tck-id-host-topic-phid-death-payload-disconnect-clean":               offline(r).Timestamp > r.will.Timestamp && r.within(offline(r)) && r.order[len(r.order)-1] == "disconnect",
		"tck-id-operational-behavior-host-application-disconnect-intentional": slices.Equal(r.order[len(r.order)-2:], []string{"publish", "disconnect"}),
	} {
		if !holds {
			t.Errorf("%s: %+v", id, r)
		}
	}
}

// Where groups are given, nothing else is subscribed to.
func TestOnlyTheGroups(t *testing.T) {
	d := Device{HostID: "h", Groups: []string{"a", "b c"}}
	var got []string
	for _, f := range d.filters() {
		got = append(got, f.Topic)
	}
	if !slices.Equal(got, []string{"spBv1.0/STATE/h", "spBv1.0/a/#", "spBv1.0/b c/#"}) {
		t.Errorf("%q", got)
	}
}

// The clock was set back: a state that is older than the one that the broker has kept
// would be believed by nobody.
func TestTheClockIsBehind(t *testing.T) {
	b := mqttrecord.Start(t)
	s := &site{t: t, current: map[string]string{}}
	s.run(Device{ID: "plant", HostID: "busbar", ReorderTimeout: time.Second, Live: live, Broker: mqttconn.Config{Broker: "tcp://" + b.Address, ClientID: "gw"}})
	states := func(list []packets.ControlPacket) (all []topic.State) {
		for _, p := range list {
			if m, is := p.(*packets.PublishPacket); is {
				if state, err := topic.ParseState(m.Payload); err == nil {
					all = append(all, state)
				}
			}
		}
		return all
	}
	b.Await("it says that it is there", func(list []packets.ControlPacket) bool { return len(states(list)) == 1 })
	later := time.Now().Add(time.Hour).UnixMilli()
	b.Send("spBv1.0/STATE/busbar", topic.State{Timestamp: later}.Payload(), true)
	list := b.Await("it says so later than that", func(list []packets.ControlPacket) bool { return len(states(list)) == 2 })
	if got := states(list)[1]; !got.Online || got.Timestamp <= later {
		t.Errorf("%+v", got)
	}
}
