package opcuaconn

import (
	"testing"

	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/test/opcuapeer"
)

func TestReads(t *testing.T) {
	peer := opcuapeer.Start(t, opcuapeer.Asyncua, opcuapeer.Settings{Shift: 3, Host: "plc-7.invalid"})
	c, err := Dial(t.Context(), Config{Endpoint: peer.Endpoint(), Security: Security{Policy: PolicyNone}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	t.Log(c.Namespaces, c.Limits, c.SessionTimeout)
	for _, n := range []string{"TopOil", "Bad", "Harmonics", "Range", "Counter", "Energy"} {
		r, err := c.Read(t.Context(), &ua.ReadRequest{NodesToRead: []*ua.ReadValueID{{NodeID: ua.NewStringNodeID(5, "T1."+n)}}})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v %v", r.Results[0], r.Results[0].Value)
	}
}
