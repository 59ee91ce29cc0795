package opcua

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/opcuaconn"
	"github.com/busbar/busbar/telemetry"
)

// fake is a server that answers as a test wants it to, which a real one can't be brought
// to. It shows no more than that such an answer is taken as it should be.
type fake struct {
	t        *testing.T
	endpoint string
	started  time.Time

	mu       sync.Mutex
	changed  chan struct{} // closed and made anew with each request
	seen     []ua.Request
	conns    []*fakeConn
	waiting  []waiting         // publish requests
	handles  map[string]uint32 // client handles by node id, of the items made last
	last     uint32            // id of a subscription
	answered func(ua.Request) ua.Response
}

type fakeConn struct {
	net.Conn
	mu       sync.Mutex
	sequence uint32
}

type waiting struct {
	on *fakeConn
	id uint32
}

// silence is the answer of a server that gives none.
var silence = &ua.ServiceFault{}

func fault(status ua.StatusCode) ua.Response {
	return &ua.ServiceFault{ResponseHeader: header(status)}
}

func header(status ua.StatusCode) *ua.ResponseHeader {
	return &ua.ResponseHeader{Timestamp: time.Now(), ServiceResult: status, ServiceDiagnostics: &ua.DiagnosticInfo{}, AdditionalHeader: ua.NewExtensionObject(nil)}
}

// newFake starts one. Its answers are those of answer, unless it returns nil.
func newFake(t *testing.T, answer func(f *fake, r ua.Request) ua.Response) *fake {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{
		t: t, endpoint: "opc.tcp://" + listener.Addr().String(), started: time.Now().Truncate(time.Second), changed: make(chan struct{}),
		handles: map[string]uint32{},
	}
	f.answered = func(r ua.Request) ua.Response { return answer(f, r) }
	var serving sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		f.breakOff()
		serving.Wait()
	})
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			c := &fakeConn{Conn: conn}
			f.mu.Lock()
			f.conns = append(f.conns, c)
			f.mu.Unlock()
			serving.Go(func() { f.serve(c) })
		}
	})
	return f
}

// device is one that reads the fake, with a signal for each node i=10000 and on.
func (f *fake) device(signals int) Device {
	d := Device{
		ID: "plant", Server: opcuaconn.Config{Endpoint: f.endpoint, Security: opcuaconn.Security{Policy: opcuaconn.PolicyNone}}, Keep: f.t.TempDir(),
		PublishEvery: time.Second, SampleEvery: time.Second, KeepAlive: time.Second, Queue: 10, History: true, Timeout: 10 * time.Second, Live: live, FollowEvery: time.Hour,
	}
	for i := range signals {
		d.Points = append(d.Points, Point{Name: fakeNode(i).String(), Node: fakeNode(i), Scale: 1, Signal: telemetry.SignalID(i + 1)})
	}
	return d
}

// breakOff breaks all connections off.
func (f *fake) breakOff() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		c.Close()
	}
	f.conns, f.waiting = nil, nil
}

func (f *fake) serve(c *fakeConn) {
	defer c.Close()
	var handling sync.WaitGroup
	defer handling.Wait()
	var whole []byte
	for {
		head := make([]byte, 8)
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		rest := make([]byte, binary.LittleEndian.Uint32(head[4:])-8)
		if _, err := io.ReadFull(c, rest); err != nil {
			return
		}
		switch string(head[:3]) {
		case "HEL":
			c.write("ACKF", rest[:20])
		case "OPN":
			b := ua.NewBuffer(rest[4:])
			b.ReadString()
			b.ReadBytes()
			b.ReadBytes()
			b.ReadUint32()
			c.answer("OPN", b.ReadUint32(), &ua.OpenSecureChannelResponse{SecurityToken: &ua.ChannelSecurityToken{ChannelID: 7, TokenID: 1, RevisedLifetime: 3_600_000}})
		case "MSG":
			whole = append(whole, rest[16:]...)
			if head[3] != 'F' {
				continue
			}
			_, v, err := ua.DecodeService(whole)
			whole = nil
			if err != nil {
				f.t.Errorf("the fake can't read a request: %v", err)
				return
			}
			request := binary.LittleEndian.Uint32(rest[12:])
			if _, is := v.(*ua.CallRequest); is { // a test may have it wait
				handling.Go(func() { f.take(c, request, v.(ua.Request)) })
			} else {
				f.take(c, request, v.(ua.Request))
			}
		default:
			return
		}
	}
}

func (c *fakeConn) write(kind string, body []byte) {
	out := binary.LittleEndian.AppendUint32([]byte(kind), uint32(8+len(body)))
	c.Write(append(out, body...))
}

// answer sends a response in as many chunks as it needs.
func (c *fakeConn) answer(kind string, request uint32, r ua.Response) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Header() == nil {
		r.SetHeader(header(ua.StatusOK))
	}
	body, err := ua.NewFourByteExpandedNodeID(0, ua.ServiceTypeID(r)).Encode()
	if err != nil {
		panic(err)
	}
	rest, err := ua.Encode(r)
	if err != nil {
		panic(err)
	}
	for body = append(body, rest...); len(body) > 0; {
		part := body[:min(len(body), 60_000)]
		body = body[len(part):]
		final := "F"
		if len(body) > 0 {
			final = "C"
		}
		out := binary.LittleEndian.AppendUint32(nil, 7)
		if kind == "OPN" {
			policy := opcuaconn.PolicyNone.URI()
			out = append(binary.LittleEndian.AppendUint32(out, uint32(len(policy))), policy...)
			out = append(out, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
		} else {
			out = binary.LittleEndian.AppendUint32(out, 1)
		}
		c.sequence++
		out = binary.LittleEndian.AppendUint32(out, c.sequence)
		out = binary.LittleEndian.AppendUint32(out, request)
		c.write(kind+final, append(out, part...))
	}
}

func (f *fake) take(c *fakeConn, request uint32, r ua.Request) {
	f.mu.Lock()
	f.seen = append(f.seen, r)
	close(f.changed)
	f.changed = make(chan struct{})
	f.mu.Unlock()
	res := f.answered(r)
	if res == nil {
		res = f.usual(c, request, r)
	}
	if res != silence {
		c.answer("MSG", request, res)
	}
}

// usual is the answer of a server that has what it is asked for.
func (f *fake) usual(c *fakeConn, request uint32, r ua.Request) ua.Response {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r := r.(type) {
	case *ua.GetEndpointsRequest:
		return &ua.GetEndpointsResponse{Endpoints: []*ua.EndpointDescription{{
			EndpointURL: f.endpoint, Server: &ua.ApplicationDescription{ApplicationName: ua.NewLocalizedText("fake")}, SecurityMode: ua.MessageSecurityModeNone,
			SecurityPolicyURI: opcuaconn.PolicyNone.URI(), UserIdentityTokens: []*ua.UserTokenPolicy{{PolicyID: "nobody"}},
		}}}
	case *ua.CreateSessionRequest:
		return &ua.CreateSessionResponse{
			SessionID: ua.NewTwoByteNodeID(1), AuthenticationToken: ua.NewTwoByteNodeID(2), RevisedSessionTimeout: r.RequestedSessionTimeout, ServerSignature: &ua.SignatureData{},
		}
	case *ua.ActivateSessionRequest:
		return &ua.ActivateSessionResponse{}
	case *ua.CloseSessionRequest:
		return &ua.CloseSessionResponse{}
	case *ua.ReadRequest:
		res := &ua.ReadResponse{}
		for _, n := range r.NodesToRead {
			v := &ua.DataValue{EncodingMask: ua.DataValueStatusCode, Status: ua.StatusBadNodeIDUnknown}
			if value := f.value(n); value != nil {
				v = &ua.DataValue{EncodingMask: ua.DataValueValue, Value: ua.MustVariant(value)}
			}
			res.Results = append(res.Results, v)
		}
		return res
	case *ua.CreateSubscriptionRequest:
		f.last++
		return &ua.CreateSubscriptionResponse{SubscriptionID: f.last, RevisedPublishingInterval: 1000, RevisedMaxKeepAliveCount: 1_000_000, RevisedLifetimeCount: 3_000_000}
	case *ua.CreateMonitoredItemsRequest:
		res := &ua.CreateMonitoredItemsResponse{}
		for _, i := range r.ItemsToCreate {
			f.handles[i.ItemToMonitor.NodeID.String()] = i.RequestedParameters.ClientHandle
			res.Results = append(res.Results, &ua.MonitoredItemCreateResult{FilterResult: ua.NewExtensionObject(nil)})
		}
		return res
	case *ua.DeleteSubscriptionsRequest:
		f.waiting = nil
		return &ua.DeleteSubscriptionsResponse{Results: make([]ua.StatusCode, len(r.SubscriptionIDs))}
	case *ua.TransferSubscriptionsRequest:
		res := &ua.TransferSubscriptionsResponse{}
		for range r.SubscriptionIDs {
			res.Results = append(res.Results, &ua.TransferResult{})
		}
		return res
	case *ua.BrowseRequest:
		res := &ua.BrowseResponse{}
		for range r.NodesToBrowse {
			res.Results = append(res.Results, &ua.BrowseResult{})
		}
		return res
	case *ua.PublishRequest:
		if slices.Contains(f.conns, c) {
			f.waiting = append(f.waiting, waiting{c, request})
		}
		return silence
	case *ua.RepublishRequest:
		return fault(ua.StatusBadMessageNotAvailable)
	}
	return fault(ua.StatusBadServiceUnsupported)
}

func (f *fake) value(n *ua.ReadValueID) any {
	switch n.AttributeID {
	case ua.AttributeIDUserAccessLevel:
		return uint8(accessRead | accessWrite | accessHistory)
	case ua.AttributeIDDataType:
		return ua.NewNumericNodeID(0, id.Double)
	case ua.AttributeIDValueRank:
		return int32(-1)
	}
	switch n.NodeID.IntID() {
	case id.Server_NamespaceArray:
		return []string{coreURI}
	case id.Server_ServerStatus_CurrentTime:
		return time.Now()
	case id.Server_ServerStatus_StartTime:
		return f.started
	case id.Server_ServerStatus_State:
		return int32(0)
	}
	if n.NodeID.IntID() >= firstFakeNode && n.AttributeID == ua.AttributeIDValue {
		return 1.5
	}
	return nil
}

// await waits until the requests that have come are as they should be.
func (f *fake) await(what string, is func() bool) {
	f.t.Helper()
	limit := time.After(20 * time.Second)
	for {
		f.mu.Lock()
		ok, changed := is(), f.changed
		f.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-limit:
			f.t.Fatalf("not in time: %s", what)
		}
	}
}

// requests are those of a kind that have come. f.mu is held.
func requests[R ua.Request](f *fake) (list []R) {
	for _, r := range f.seen {
		if r, is := r.(R); is {
			list = append(list, r)
		}
	}
	return list
}

func count[R ua.Request](f *fake) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(requests[R](f))
}

// tell answers a publish request, which it waits for. As of any server, what it tells is
// of a subscription's items: their requests have come first.
func (f *fake) tell(subscription uint32, sequence uint32, data ...any) {
	f.t.Helper()
	if len(data) > 0 {
		f.await("the subscription's items", func() bool {
			return slices.ContainsFunc(requests[*ua.CreateMonitoredItemsRequest](f), func(r *ua.CreateMonitoredItemsRequest) bool { return r.SubscriptionID == subscription })
		})
	}
	f.publish(&ua.PublishResponse{SubscriptionID: subscription, NotificationMessage: notification(sequence, data...)})
}

func (f *fake) publish(r ua.Response) {
	f.t.Helper()
	var to waiting
	f.await("a publish request", func() bool {
		if len(f.waiting) == 0 {
			return false
		}
		to = f.waiting[0]
		f.waiting = slices.Delete(f.waiting, 0, 1)
		return true
	})
	to.on.answer("MSG", to.id, r)
}

func notification(sequence uint32, data ...any) *ua.NotificationMessage {
	m := &ua.NotificationMessage{SequenceNumber: sequence, PublishTime: time.Now()}
	for _, d := range data {
		m.NotificationData = append(m.NotificationData, ua.NewExtensionObject(d))
	}
	return m
}

// values are those of fakeNode 0, one after another.
func (f *fake) values(at time.Time, values ...float64) *ua.DataChangeNotification {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := &ua.DataChangeNotification{}
	for i, v := range values {
		n.MonitoredItems = append(n.MonitoredItems, &ua.MonitoredItemNotification{ClientHandle: f.handles["i=10000"], Value: stamped(v, at.Add(time.Duration(i)*time.Second))})
	}
	return n
}

func stamped(v any, at time.Time) *ua.DataValue {
	return &ua.DataValue{EncodingMask: ua.DataValueValue | ua.DataValueSourceTimestamp, Value: ua.MustVariant(v), SourceTimestamp: at}
}

const firstFakeNode = 10_000

func fakeNode(n int) Node {
	node, err := ParseNode("i=" + strconv.Itoa(firstFakeNode+n))
	if err != nil {
		panic(err)
	}
	return node
}

// floats are the good numbers that were delivered of a signal.
func floats(c *collector, signal int) (now, past []float64) {
	a, b := c.of(telemetry.SignalID(signal))
	return numbers(a), numbers(b)
}

func numbers(samples []telemetry.Sample) (list []float64) {
	for _, s := range samples {
		if v, is := s.Value.Float(); is && good(s) {
			list = append(list, v)
		}
	}
	return list
}

// modelChange is that the address space has changed.
func modelChange() *ua.EventNotificationList {
	return &ua.EventNotificationList{Events: []*ua.EventFieldList{{ClientHandle: modelHandle}}}
}
