package opcuaconn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"
)

var goodHeader = &ua.ResponseHeader{Timestamp: time.Unix(0, 0), ServiceDiagnostics: &ua.DiagnosticInfo{}, AdditionalHeader: ua.NewExtensionObject(nil)}

// encoded is a message.
func encoded(t testing.TB, response ua.Response) []byte {
	t.Helper()
	id, err := ua.NewFourByteExpandedNodeID(0, ua.ServiceTypeID(response)).Encode()
	if err != nil {
		t.Fatal(err)
	}
	body, err := ua.Encode(response)
	if err != nil {
		t.Fatal(err)
	}
	return append(id, body...)
}

// values are answers to a read.
func values(all ...any) *ua.ReadResponse {
	r := &ua.ReadResponse{ResponseHeader: goodHeader}
	for _, v := range all {
		r.Results = append(r.Results, &ua.DataValue{EncodingMask: 0x3F, Value: ua.MustVariant(v), Status: ua.StatusUncertain, SourceTimestamp: time.Unix(1, 0), ServerTimestamp: time.Unix(2, 0)})
	}
	return r
}

func messages() []ua.Response {
	text, guid := ua.NewLocalizedTextWithLocale("oil", "en"), ua.NewGUID("72962B91-FA75-4AE6-8D28-B404DC7DAF63")
	deep := &ua.DiagnosticInfo{EncodingMask: 0x7F, AdditionalInfo: "x", InnerDiagnosticInfo: &ua.DiagnosticInfo{}}
	header := *goodHeader
	header.StringTable, header.ServiceDiagnostics = []string{"a", ""}, deep
	return []ua.Response{
		&ua.ServiceFault{ResponseHeader: &header},
		values(true, int8(1), byte(2), int16(3), uint16(4), int32(5), uint32(6), int64(7), uint64(8), float32(9), 10.0, "eleven", time.Unix(12, 0), guid, []byte{15},
			ua.XMLElement("<x/>"), ua.NewStringNodeID(2, "s"), ua.NewExpandedNodeID(ua.NewNumericNodeID(9, 1<<20), "urn:x", 7), ua.StatusBad, &ua.QualifiedName{Name: "q"}, text,
			ua.NewExtensionObject(&ua.Range{Low: 1, High: 2}), &ua.DataValue{}, ua.MustVariant(1.0), deep),
		values([]float64{1, 2}, []string{"a", ""}, [][]int32{{1, 2}, {3, 4}}, []*ua.ExtensionObject{ua.NewExtensionObject(&ua.Argument{Name: "a", DataType: guidNode(guid), Description: text, ArrayDimensions: []uint32{1}})},
			[]*ua.Variant{ua.MustVariant("x")}, []*ua.NodeID{ua.NewByteStringNodeID(3, []byte{1}), ua.NewTwoByteNodeID(4), ua.NewFourByteNodeID(5, 6)}),
		&ua.BrowseResponse{ResponseHeader: goodHeader, Results: []*ua.BrowseResult{{ContinuationPoint: []byte{1}, References: []*ua.ReferenceDescription{{
			ReferenceTypeID: ua.NewTwoByteNodeID(1), NodeID: ua.NewTwoByteExpandedNodeID(2), BrowseName: &ua.QualifiedName{Name: "b"}, DisplayName: text, TypeDefinition: ua.NewTwoByteExpandedNodeID(3)}}}}},
		&ua.PublishResponse{ResponseHeader: goodHeader, AvailableSequenceNumbers: []uint32{1, 2}, NotificationMessage: &ua.NotificationMessage{NotificationData: []*ua.ExtensionObject{
			ua.NewExtensionObject(&ua.DataChangeNotification{MonitoredItems: []*ua.MonitoredItemNotification{{ClientHandle: 1, Value: values("v").Results[0]}}}),
			ua.NewExtensionObject(&ua.EventNotificationList{Events: []*ua.EventFieldList{{ClientHandle: 1, EventFields: []*ua.Variant{ua.MustVariant("e")}}}})}}},
	}
}

func guidNode(g *ua.GUID) *ua.NodeID { return ua.NewGUIDNodeID(1, g.String()) }

// Everything that a server may say is measured as long as it is, and nothing that is cut
// off is.
func TestMeasure(t *testing.T) {
	for _, response := range messages() {
		body := encoded(t, response)
		got, err := decode(body)
		if err != nil {
			t.Errorf("%T: %v", response, err)
			continue
		}
		if again := encoded(t, got); !bytes.Equal(again, body) {
			t.Errorf("%T: it is decoded as something else", response)
		}
		for i := range body {
			if err := bounded(body[:i]); !errors.Is(err, errBounds) {
				t.Errorf("%T: %d bytes of %d: %v", response, i, len(body), err)
			}
		}
	}
}

// What says that it has much more than it has is refused before there is room made for it.
func TestMessagesThatGrow(t *testing.T) {
	one := encoded(t, values(uint32(0xDEADBEEF)))
	at := bytes.Index(one, []byte{7, 0xEF, 0xBE, 0xAD, 0xDE}) // the variant
	with := func(variant []byte) []byte { return append(bytes.Clone(one[:at]), variant...) }
	count := func(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
	dimensions := append([]byte{0xC6}, append(count(0), count(2)...)...)
	for what, body := range map[string][]byte{
		"arrays within arrays":          with(bytes.Repeat([]byte{0x98, 0xFF, 0xFF, 0, 0}, 1000)),
		"variants within variants":      with(bytes.Repeat([]byte{24}, 1<<20)),
		"values within variants":        with(bytes.Repeat([]byte{23, 1}, 1<<20)),
		"diagnostics within":            with(append([]byte{25}, bytes.Repeat([]byte{0x40}, 1<<20)...)),
		"an array of less than none":    with(append([]byte{0x86}, count(0x80000000)...)),
		"a long text":                   with(append([]byte{12}, count(0x7FFFFFFF)...)),
		"dimensions without end":        with(append([]byte{0xC6}, append(count(0), count(0x7FFFFFFF)...)...)),
		"dimensions that overflow":      with(append(dimensions, append(count(1<<16), count(1<<16)...)...)),
		"many values":                   with(append([]byte{0x98}, append(count(0xFFFF), bytes.Repeat([]byte{0x98, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0xFFFF)...)...)),
		"an array of a message's parts": append(encoded(t, &ua.ReadResponse{ResponseHeader: goodHeader})[:4+24], count(0x7FFFFFFF)...),
	} {
		if _, err := decode(body); !errors.Is(err, errBounds) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// FuzzDecode: whatever a message holds, it is decoded or refused.
func FuzzDecode(f *testing.F) {
	for _, response := range messages() {
		f.Add(encoded(f, response))
	}
	f.Add([]byte(strings.Repeat("\x98\xff\xff\x00\x00", 10)))
	f.Fuzz(func(t *testing.T, body []byte) {
		if r, err := decode(body); (r == nil) == (err == nil) {
			t.Errorf("%v, %v", r, err)
		}
	})
}

// BenchmarkDecode is a notification of 1,000 values; measured alone, and with the decoding.
func BenchmarkDecode(b *testing.B) {
	n := &ua.DataChangeNotification{}
	for i := range 1000 {
		n.MonitoredItems = append(n.MonitoredItems, &ua.MonitoredItemNotification{ClientHandle: uint32(i), Value: values(float64(i)).Results[0]})
	}
	body := encoded(b, &ua.PublishResponse{ResponseHeader: goodHeader, NotificationMessage: &ua.NotificationMessage{NotificationData: []*ua.ExtensionObject{ua.NewExtensionObject(n)}}})
	b.Run("measure", func(b *testing.B) {
		for b.Loop() {
			bounded(body)
		}
	})
	b.Run("whole", func(b *testing.B) {
		for b.Loop() {
			decode(body)
		}
	})
}
