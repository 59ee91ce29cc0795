package opcuaconn

import (
	"fmt"
	"testing"

	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/test/opcuapeer"
)

func TestReads(t *testing.T) {
	for _, k := range []opcuapeer.Kind{opcuapeer.Asyncua, opcuapeer.Node, opcuapeer.Milo} {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			peer := opcuapeer.Start(t, k, opcuapeer.Settings{Shift: 3, Host: "plc-7.invalid"})
			for _, p := range []Policy{PolicyNone, Basic256Sha256, Aes128Sha256RsaOaep, Aes256Sha256RsaPss} {
				c, err := Dial(t.Context(), Config{Endpoint: peer.Endpoint(), Security: Security{Policy: p}, Trust: []configfile.Path{configfile.Path(peer.Certificate())}}, Options{Keep: t.TempDir()})
				if err != nil {
					t.Error(p, err)
					continue
				}
				t.Log(c.Namespaces, fmt.Sprintf("%+v", c.Limits), c.SessionTimeout)
				for _, n := range []string{"TopOil", "Bad", "Harmonics", "Range", "Counter", "Energy"} {
					r, err := c.Read(t.Context(), &ua.ReadRequest{NodesToRead: []*ua.ReadValueID{{NodeID: ua.NewStringNodeID(5, "T1."+n)}}})
					if err != nil {
						t.Error(err)
						continue
					}
					var v any
					if r.Results[0].Value != nil {
						v = r.Results[0].Value.Value()
					}
					t.Logf("%+v %v", r.Results[0].Status, v)
				}
				c.Close(t.Context())
			}
		})
	}
}
