package opcua

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/opcuaconn"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/opcuapeer"
)

// everything is all that a peer has below Objects.
var everything = Follow{Node: Node{kind: 'i', value: "85"}, Match: "T1.**"}

// What a server has below a node is read without being written down, members of arrays
// and structures each by itself, and so is what it comes to have, over a restart with
// other indices too.
func TestFollow(t *testing.T) {
	each(t, func(t *testing.T, kind opcuapeer.Kind) {
		p := opcuapeer.Start(t, kind, opcuapeer.Settings{})
		d := plant(t, p)
		d.Follow = []Follow{everything}
		d.FollowEvery = time.Second
		c, _ := begin(t, d)
		for _, name := range []string{"T1.TopOil", "T1.Alarm", "T1.Name", "T1.Energy", "T1.Harmonics_4", "T1.Range.High", "T1.Bad"} {
			c.await(t, name, func() bool { return c.last(c.named(name)).Signal != 0 })
		}
		for name, want := range map[string]string{
			"T1.Alarm": "true good", "T1.Name": "Transformer 1 good", "T1.Energy": "9007199254740993 good", "T1.Harmonics_4": "0.03 good", "T1.Range.High": "140 good",
			"T1.Bad": "– bad (sensor failure)",
		} {
			if s := c.last(c.named(name)); s.Value.String()+" "+s.Quality.String() != want {
				t.Errorf("%s: %v %v, expected %s", name, s.Value, s.Quality, want)
			}
		}
		c.mu.Lock()
		for _, f := range c.found {
			state := f.Name == "T1.Alarm" || f.Name == "T1.Name"
			if (f.Kind == telemetry.State) != state || !strings.HasPrefix(f.Encoding, "opcua nsu="+opcuapeer.Namespace+";s=T1.") {
				t.Errorf("%+v", f)
			}
		}
		c.mu.Unlock()
		grow(t, d)
		c.await(t, "what has grown", func() bool { return good(c.last(c.named("T1.Grown0"))) })
		p.Restart(opcuapeer.Settings{Shift: 2})
		c.await(t, "that it is gone", func() bool { return c.last(c.named("T1.Grown0")).Quality.Reason() == telemetry.NotImplemented })
		grow(t, d)
		c.await(t, "what has grown again", func() bool { return good(c.last(c.named("T1.Grown0"))) })
		c.await(t, "what was there", func() bool { return good(c.last(c.named("T1.TopOil"))) })
		c.mu.Lock()
		defer c.mu.Unlock()
		names := map[string]bool{}
		for _, f := range c.found {
			if names[f.Name] {
				t.Errorf("%s is found twice", f.Name)
			}
			names[f.Name] = true
		}
	})
}

// grow has a server come to have another variable.
func grow(t *testing.T, d Device) {
	t.Helper()
	l, err := dial(context.Background(), d, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(context.Background())
	object, method := onPlant(t, l, "T1"), onPlant(t, l, "T1.Grow")
	res, err := opcuaconn.Request[*ua.CallResponse](t.Context(), l.Conn, &ua.CallRequest{MethodsToCall: []*ua.CallMethodRequest{{ObjectID: object, MethodID: method}}})
	if err != nil || res.Results[0].StatusCode != ua.StatusOK {
		t.Fatalf("%+v, %v", res, err)
	}
}

func onPlant(t *testing.T, l *link, name string) *ua.NodeID {
	t.Helper()
	id, err := Node{uri: opcuapeer.Namespace, kind: 's', value: name}.on(l.Namespaces)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
