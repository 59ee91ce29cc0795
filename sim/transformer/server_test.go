package transformer

import (
	"context"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/opcuaconn"
)

// A gateway's connection finds the transformers and reads what they show, and is told
// what changes.
func TestServer(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	s, err := New(Config{Listen: address, Transformers: 2, Speed: 600,
		Load: func(since time.Duration, n int) float64 { return float64(n+1) * 0.4 }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	var c *opcuaconn.Conn
	for limit := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err = opcuaconn.Dial(ctx, opcuaconn.Config{Endpoint: s.URL(), Security: opcuaconn.Security{Policy: opcuaconn.PolicyNone}}, opcuaconn.Options{}); err == nil {
			break
		}
		if time.Now().After(limit) {
			t.Fatal(err)
		}
	}
	defer c.Close(ctx)
	space := slices.Index(c.Namespaces, Namespace)
	if space < 0 {
		t.Fatal(c.Namespaces)
	}
	found, err := c.Browse(ctx, &ua.BrowseRequest{NodesToBrowse: []*ua.BrowseDescription{{NodeID: ua.NewStringNodeID(uint16(space), "T2"), ResultMask: uint32(ua.BrowseResultMaskAll)}}})
	if err != nil || len(found.Results) != 1 || len(found.Results[0].References) < len(variables) {
		t.Errorf("%+v, %v", found, err)
	}
	node := func(name string) *ua.ReadValueID {
		return &ua.ReadValueID{NodeID: ua.NewStringNodeID(uint16(space), name), AttributeID: ua.AttributeIDValue, DataEncoding: &ua.QualifiedName{}}
	}
	created, err := opcuaconn.Request[*ua.CreateSubscriptionResponse](ctx, c, &ua.CreateSubscriptionRequest{
		RequestedPublishingInterval: 100, RequestedLifetimeCount: 1000, RequestedMaxKeepAliveCount: 10, PublishingEnabled: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = opcuaconn.Request[*ua.CreateMonitoredItemsResponse](ctx, c, &ua.CreateMonitoredItemsRequest{SubscriptionID: created.SubscriptionID, TimestampsToReturn: ua.TimestampsToReturnBoth,
		ItemsToCreate: []*ua.MonitoredItemCreateRequest{{ItemToMonitor: node("T2.TopOil"), MonitoringMode: ua.MonitoringModeReporting,
			RequestedParameters: &ua.MonitoringParameters{ClientHandle: 7, QueueSize: 1, Filter: ua.NewExtensionObject(nil)}}}}); err != nil {
		t.Fatal(err)
	}
	var shown []float64
	for len(shown) < 3 {
		p, err := opcuaconn.Request[*ua.PublishResponse](ctx, c, &ua.PublishRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range p.NotificationMessage.NotificationData {
			if d, ok := n.Value.(*ua.DataChangeNotification); ok {
				for _, i := range d.MonitoredItems {
					shown = append(shown, i.Value.Value.Value().(float64))
				}
			}
		}
	}
	if shown[len(shown)-1] <= shown[0] {
		t.Errorf("the oil becomes no warmer: %v", shown)
	}
	for what, want := range map[string]string{"T1.Load": "0.4", "T2.Load": "0.8", "T2.Tap": "11", "T1.Fans": "false"} {
		r, err := c.Read(ctx, &ua.ReadRequest{NodesToRead: []*ua.ReadValueID{node(what)}})
		if err != nil || fmt.Sprint(r.Results[0].Value.Value()) != want || time.Since(r.Results[0].SourceTimestamp) > time.Minute {
			t.Errorf("%s: %v, %v", what, r, err)
		}
	}
}

func TestWhereItCantListen(t *testing.T) {
	for _, address := range []string{"", "4840", ":4840", "127.0.0.1:0", "127.0.0.1:x"} {
		if _, err := New(Config{Listen: address}); err == nil {
			t.Errorf("%q is accepted", address)
		}
	}
}
