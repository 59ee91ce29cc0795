package opcua

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/telemetry"
)

func TestQuality(t *testing.T) {
	for status, want := range map[ua.StatusCode]string{
		ua.StatusOK:                                "good",
		ua.StatusGoodLocalOverride:                 "good (substituted)",
		ua.StatusGoodClamped:                       "good (out of range)",
		ua.StatusUncertain:                         "uncertain",
		ua.StatusUncertainLastUsableValue:          "uncertain (stale)",
		ua.StatusUncertainEngineeringUnitsExceeded: "uncertain (out of range)",
		ua.StatusBadSensorFailure:                  "bad (sensor failure)",
		ua.StatusBadNodeIDUnknown:                  "bad (not implemented)",
		ua.StatusBadNoCommunication:                "bad (not connected)",
		ua.StatusBadOutOfService:                   "bad (out of service)",
		ua.StatusBadUserAccessDenied:               "bad (refused by device)",
		ua.StatusBadSensorFailure | 0x0480:         "bad (sensor failure, oscillatory)",
		0x0480:                                     "good (oscillatory)",
		0xC0000000:                                 "bad (refused by device)",
	} {
		if got := quality(status).String(); got != want {
			t.Errorf("%#x: %s, expected %s", uint32(status), got, want)
		}
	}
}

func TestSamples(t *testing.T) {
	received := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	source := received.Add(-time.Second)
	l := &library{}
	value := func(v any) *ua.DataValue { return &ua.DataValue{Value: ua.MustVariant(v), SourceTimestamp: source} }
	for name, c := range map[string]struct {
		v    *ua.DataValue
		s    sampler
		want telemetry.Value
		q    string
		at   time.Time // zero: source
	}{
		"exact":      {v: value(uint64(math.MaxUint64)), want: telemetry.UintValue(math.MaxUint64), q: "good"},
		"negative":   {v: value(int64(math.MinInt64)), want: telemetry.IntValue(math.MinInt64), q: "good"},
		"scaled":     {v: value(int16(5)), s: sampler{scale: 0.5, offset: 1}, want: telemetry.FloatValue(3.5), q: "good"},
		"float":      {v: value(float32(1.5)), want: telemetry.FloatValue(1.5), q: "good"},
		"no number":  {v: value(math.NaN()), q: "bad (not a number)"},
		"text":       {v: value("on"), want: telemetry.TextValue("on"), q: "good"},
		"bool":       {v: value(true), s: sampler{bool: true}, want: telemetry.BoolValue(true), q: "good"},
		"no bool":    {v: value(int32(1)), s: sampler{bool: true}, q: "bad (malformed answer)"},
		"text × 2":   {v: value("on"), s: sampler{scale: 2}, q: "bad (malformed answer)"},
		"time":       {v: value(source), want: telemetry.TextValue("2026-03-04T05:06:06Z"), q: "good"},
		"localized":  {v: value(ua.NewLocalizedText("warm")), want: telemetry.TextValue("warm"), q: "good"},
		"element":    {v: value([]int32{1, 2, 3}), s: sampler{steps: []step{{index: 1}}}, want: telemetry.IntValue(2), q: "good"},
		"bytes":      {v: value(ua.ByteArray{1, 2}), s: sampler{steps: []step{{index: 1}}}, want: telemetry.UintValue(2), q: "good"},
		"beyond":     {v: value([]int32{1}), s: sampler{steps: []step{{index: 1}}}, q: "bad (not implemented)"},
		"whole":      {v: value([]int32{1}), q: "bad (malformed answer)"},
		"nothing":    {v: &ua.DataValue{SourceTimestamp: source, Value: &ua.Variant{}}, q: "bad (not implemented)"},
		"uncertain":  {v: &ua.DataValue{Value: ua.MustVariant(1.0), Status: ua.StatusUncertain, SourceTimestamp: source}, want: telemetry.FloatValue(1), q: "uncertain"},
		"bad":        {v: &ua.DataValue{Value: ua.MustVariant(1.0), Status: ua.StatusBadSensorFailure, ServerTimestamp: source}, q: "bad (sensor failure)"},
		"year 1":     {v: &ua.DataValue{Status: ua.StatusBad}, q: "bad (refused by device)", at: received},
		"the future": {v: &ua.DataValue{Value: ua.MustVariant(1.0), SourceTimestamp: received.Add(time.Hour)}, want: telemetry.FloatValue(1), q: "good", at: received},
		"two clocks": {v: &ua.DataValue{Value: ua.MustVariant(1.0), SourceTimestamp: received.Add(time.Hour), ServerTimestamp: source}, want: telemetry.FloatValue(1), q: "good"},
	} {
		if c.s.scale == 0 {
			c.s.scale = 1
		}
		at, clock := source, telemetry.DeviceTime
		if !c.at.IsZero() {
			at, clock = c.at, telemetry.GatewayTime
		}
		got, _ := l.sample(&c.s, c.v, received)
		if got.Value != c.want || got.Quality.WithTime(telemetry.GatewayTime).String() != c.q || got.Time.Time() != at || got.Quality.TimeQuality() != clock {
			t.Errorf("%s: %v %v at %v, expected %v %s at %v", name, got.Value, got.Quality, got.Time.Time(), c.want, c.q, at)
		}
	}
}

// winding is a structure as a server describes it: {Name string, Temps []float64,
// Hot? bool}.
var winding = &structure{kind: ua.StructureTypeStructureWithOptionalFields, fields: []field{
	{name: "Name", builtin: ua.TypeIDString}, {name: "Temps", builtin: ua.TypeIDDouble, array: true}, {name: "Hot", builtin: ua.TypeIDBoolean, optional: true},
}}

// loose is one that holds what may be anything.
var loose = &structure{kind: ua.StructureTypeUnion, fields: []field{
	{name: "Of", of: winding, array: true}, {name: "Text", builtin: ua.TypeIDLocalizedText, array: true}, {name: "Node", builtin: ua.TypeIDExpandedNodeID},
}}

func TestStructures(t *testing.T) {
	encoding := ua.NewNumericNodeID(7, 4711)
	body := []byte{1, 0, 0, 0, 2, 0, 0, 0, 'H', 'V', 1, 0, 0, 0}
	body = binary.LittleEndian.AppendUint64(body, math.Float64bits(81.5))
	body = append(body, 1)
	message, err := ua.MustVariant(&ua.ExtensionObject{
		TypeID: &ua.ExpandedNodeID{NodeID: encoding}, EncodingMask: ua.ExtensionObjectBinary, Value: &encoded{body},
	}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	l := &library{}
	decode := func() *ua.Variant {
		v := &ua.Variant{}
		if _, err := v.Decode(message); err != nil {
			t.Fatal(err)
		}
		return v
	}
	if _, err := l.leaves(decode()); err != errUnknownStructure || !l.wanting() {
		t.Fatalf("%v", err)
	}
	for _, encoding := range l.takeWanted() {
		l.keep(encoding, winding)
	}
	parts, err := l.leaves(decode())
	want := []leaf{{"Name", telemetry.TextValue("HV")}, {"Temps[0]", telemetry.FloatValue(81.5)}, {"Hot", telemetry.BoolValue(true)}}
	if err != nil || len(parts) != len(want) {
		t.Fatalf("%v, %v", parts, err)
	}
	for i := range want {
		if parts[i] != want[i] {
			t.Errorf("%+v, expected %+v", parts[i], want[i])
		}
	}
	once := decode()
	if _, err := l.leaves(once); err != nil {
		t.Error(err)
	}
	l.keep(encoding, nil)
	if again, err := l.leaves(once); err != nil || len(again) != len(want) {
		t.Errorf("a value is decoded for each of its signals: %v, %v", again, err)
	}
	if _, err := l.leaves(decode()); err != errUnknownStructure || l.wanting() {
		t.Errorf("a structure that isn't described is asked for again: %v", err)
	}
}

// A structure of OPC UA's own that says that it has a body, and has none, is a value that
// can't be taken, once more too.
func TestAnEmptyStructureOfOPCUA(t *testing.T) {
	l := &library{}
	for range 2 {
		v := &ua.DataValue{Value: ua.MustVariant(&ua.ExtensionObject{
			TypeID: ua.NewFourByteExpandedNodeID(0, id.EUInformation_Encoding_DefaultBinary), EncodingMask: ua.ExtensionObjectBinary,
		})}
		s, err := l.sample(&sampler{scale: 1}, v, time.Now())
		if s.Quality.Reason() != telemetry.Malformed || err == nil || l.wanting() {
			t.Errorf("%+v, %v", s, err)
		}
	}
	if take(ua.NewNumericNodeID(0, id.EUInformation_Encoding_DefaultBinary)) {
		t.Error("a type that gopcua knows is taken")
	}
}

// A member that may be any structure isn't read: what is in it could be nested so deep that
// the stack doesn't hold it.
func TestAMemberThatMayBeAnyStructure(t *testing.T) {
	s := &structure{fields: []field{{name: "Any", builtin: ua.TypeIDExtensionObject}}}
	if o, err := s.value([]byte{0, 0, 0}); err == nil {
		t.Errorf("%v", o)
	}
}

// Whatever a server sends as a value or a structure, nothing panics and nothing grows
// beyond bounds.
func FuzzValue(f *testing.F) {
	for _, v := range []any{1.5, []int32{1, 2}, "text", [][]float64{{1}, {2}}, time.Now(), ua.NewLocalizedText("a"), ua.ByteArray{1}, []*ua.Variant{ua.MustVariant(int8(1))}} {
		b, err := ua.MustVariant(v).Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l := &library{}
		for _, s := range []*structure{winding, loose} {
			if o, err := s.value(b); err == nil {
				_, _ = l.leaves(o)
			}
		}
		v := &ua.Variant{}
		if len(b) == 0 || b[0]&ua.VariantArrayDimensions != 0 || ua.TypeID(b[0]&0x3f) >= ua.TypeIDExtensionObject || !decodes(v, b) {
			return // what gopcua's decoder doesn't bound
		}
		parts, err := l.leaves(v)
		if err != nil {
			return
		}
		if len(parts) > mostElements {
			t.Fatalf("%d parts", len(parts))
		}
		for _, p := range parts {
			steps, err := p.element.steps()
			if err != nil {
				continue // a member whose name can't be written
			}
			got, err := l.pick(v, steps)
			if err != nil {
				t.Fatalf("%s: %v", p.element, err)
			}
			if value, ok := scalar(got); !ok || value != p.value {
				t.Fatalf("%s: %v, expected %v", p.element, value, p.value)
			}
		}
	})
}

// decodes reads a value as opcuaconn does, which catches the panics of the decoder.
func decodes(v *ua.Variant, b []byte) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	_, err := v.Decode(b)
	return err == nil
}

func TestUnits(t *testing.T) {
	code := func(s string) (id int32) {
		for _, c := range []byte(s) {
			id = id<<8 | int32(c)
		}
		return id
	}
	for want, eu := range map[string]*ua.EUInformation{
		"Cel":  {NamespaceURI: commonCodes, UnitID: code("CEL")},
		"kW.h": {NamespaceURI: commonCodes, UnitID: code("KWH"), DisplayName: ua.NewLocalizedText("kWh")},
		"%":    {NamespaceURI: commonCodes, UnitID: code("P1")},
		"m3/h": {DisplayName: ua.NewLocalizedText("m³/h")},
		"bar":  {NamespaceURI: "urn:other", UnitID: code("CEL"), DisplayName: ua.NewLocalizedText("bar")},
		"":     {DisplayName: ua.NewLocalizedText("per cent of it")},
	} {
		if got := unitOf(eu); got != want {
			t.Errorf("%+v: %q, expected %q", eu, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{"TopOil": "TopOil", "Top Oil": "Top_Oil", "1st": "n1st", "": "n", "Öl": "n_l", "a.b": "a_b"} {
		if got := word(name); got != want {
			t.Errorf("%q: %q, expected %q", name, got, want)
		}
	}
	if got := signalName("T1.Windings", "[2].Hot spot"); got != "T1.Windings_2.Hot_spot" {
		t.Error(got)
	}
	w := &watch{}
	long := "Plant.Area.Transformers.Winding.Temperatures.Measured.HighVoltageSide.A"
	a, b := w.unused(long, plantNode("a").String()), w.unused(long, plantNode("b").String())
	if a == b || len(a) > longestName || len(b) > longestName {
		t.Errorf("%q, %q", a, b)
	}
}
