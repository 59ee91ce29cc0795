package opcua

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

// told is what a fake tells of an event.
type told map[eventField]any

func (f *fake) events(list ...told) *ua.EventNotificationList {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := &ua.EventNotificationList{}
	for _, e := range list {
		fields := &ua.EventFieldList{ClientHandle: f.handles["i=2253"]}
		for _, field := range allFields() {
			fields.EventFields = append(fields.EventFields, ua.MustVariant(e[field]))
		}
		n.Events = append(n.Events, fields)
	}
	return n
}

func ofType(kind uint32) told { return told{typeField: ua.NewNumericNodeID(0, kind)} }

// alarmed is that a condition is active or not.
func alarmed(condition int, active bool, more ...told) told {
	e := told{
		typeField: ua.NewNumericNodeID(0, id.AlarmConditionType), sourceField: ua.NewNumericNodeID(0, 5), sourceNameField: "T1", severityField: uint16(500),
		conditionField: ua.NewNumericNodeID(0, uint32(condition)), conditionNameField: fmt.Sprintf("Hot%d", condition), retainField: active,
		enabledField: true, activeField: active, timeField: time.Now(), qualityField: ua.StatusOK,
	}
	for _, m := range more {
		for field, v := range m {
			e[field] = v
		}
	}
	return e
}

// refreshes is a server's answer that it tells all conditions anew.
func refreshes(_ *fake, r ua.Request) ua.Response {
	if c, is := r.(*ua.CallRequest); is && c.MethodsToCall[0].MethodID.IntID() == id.ConditionType_ConditionRefresh {
		return &ua.CallResponse{Results: []*ua.CallMethodResult{{}}}
	}
	return nil
}

// refreshed is how often a fake was asked for that. f.mu is held.
func refreshed(f *fake) (n int) {
	for _, r := range requests[*ua.CallRequest](f) {
		if r.MethodsToCall[0].MethodID.IntID() == id.ConditionType_ConditionRefresh {
			n++
		}
	}
	return n
}

func alarmDevice(f *fake) Device {
	d := f.device(0)
	d.KeepAlive = 4 * time.Second
	d.Alarms = []Alarms{{Node: serverObject, Severity: 300, Match: "T1.*"}}
	return d
}

func (c *collector) shows(name, want string) func() bool {
	return func() bool {
		s := c.last(c.named(name))
		return s.Signal != 0 && fmt.Sprint(s.Value, " ", s.Quality) == want
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	f := newFake(t, refreshes)
	c, _ := begin(t, alarmDevice(f))
	f.await("that all are asked for", func() bool { return refreshed(f) == 1 })
	start, end := ofType(id.RefreshStartEventType), ofType(id.RefreshEndEventType)
	since := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	f.tell(1, 1, f.events(start, alarmed(1, true, told{activeSinceField: since}), alarmed(2, false), end))
	c.await(t, "the first", c.shows("T1.Hot1", "true good"))
	c.await(t, "the second", c.shows("T1.Hot2", "false good"))
	if s := c.last(c.named("T1.Hot1")); !s.Time.Time().Equal(since) || s.Quality.TimeQuality() != telemetry.DeviceTime {
		t.Errorf("%v", s.Time.Time())
	}
	f.tell(1, 2, f.events(
		alarmed(1, true, told{messageField: ua.NewLocalizedText("acknowledged")}),
		alarmed(1, false, told{branchField: ua.NewNumericNodeID(0, 9)}),
		alarmed(2, true, told{severityField: uint16(100), qualityField: ua.StatusUncertainSensorNotAccurate}),
		alarmed(3, true, told{severityField: uint16(100)}),
		alarmed(4, true, told{sourceNameField: "T2"}),
		alarmed(5, true, told{enabledField: false}),
		alarmed(6, true, told{activeField: nil}),
		alarmed(7, true, told{qualityField: ua.StatusBadSensorFailure}),
		alarmed(8, true, told{conditionField: nil}),
		alarmed(9, true, told{conditionNameField: "Hot1"}),
	))
	for name, want := range map[string]string{
		"T1.Hot2": "true uncertain", "T1.Hot5": "– bad (out of service)", "T1.Hot6": "true good", "T1.Hot7": "– bad (sensor failure)", "T1.Hot8": "true good",
	} {
		c.await(t, name, c.shows(name, want))
	}
	if now, _ := c.of(c.named("T1.Hot1")); len(now) != 1 {
		t.Errorf("%v", now)
	}
	c.mu.Lock()
	for _, found := range c.found {
		if strings.HasSuffix(found.Name, "Hot3") || strings.HasPrefix(found.Name, "T2") || found.Kind != telemetry.State || found.Follow >= 0 {
			t.Errorf("%+v", found)
		}
	}
	if len(c.found) != 7 {
		t.Errorf("%+v", c.found)
	}
	c.mu.Unlock()

	// The server has lost events, and tells all anew.
	f.tell(1, 3, f.events(ofType(id.EventQueueOverflowEventType)))
	f.await("that all are asked for again", func() bool { return refreshed(f) == 2 })
	f.tell(1, 4, f.events(start, alarmed(2, true), end))
	for name, want := range map[string]string{"T1.Hot1": "false good", "T1.Hot2": "true good", "T1.Hot5": "– bad (out of service)", "T1.Hot6": "false good"} {
		c.await(t, name, c.shows(name, want))
	}

	// A message is lost for good.
	f.tell(1, 6, f.events(alarmed(1, true)))
	f.await("that all are asked for because of that", func() bool { return refreshed(f) == 3 })
	c.await(t, "what came behind it", c.shows("T1.Hot1", "true good"))
}

// A server that can't tell all conditions anew leaves them as they were told.
func TestConditionsWithoutRefresh(t *testing.T) {
	t.Parallel()
	f := newFake(t, quiet)
	c, _ := begin(t, alarmDevice(f))
	f.await("that all are asked for", func() bool { return refreshed(f) == 1 })
	f.tell(1, 1, f.events(alarmed(1, true)))
	c.await(t, "it", c.shows("T1.Hot1", "true good"))
	f.breakOff()
	c.await(t, "that it isn't known", c.shows("T1.Hot1", "– bad (not connected, stale)"))
	c.await(t, "what was told last", c.shows("T1.Hot1", "true uncertain (stale)"))
	f.await("that the subscription is handed over", func() bool { return len(requests[*ua.TransferSubscriptionsRequest](f)) == 1 })
	f.tell(1, 2, f.events(alarmed(1, false)))
	c.await(t, "what is told then", c.shows("T1.Hot1", "false good"))
	if n := count[*ua.CreateMonitoredItemsRequest](f); n != 1 {
		t.Errorf("it is monitored %d times", n)
	}
}

// A server that refuses fields or the comparison is asked for what is left.
func TestEventsOfFewFields(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string]func(*ua.EventFilter) []ua.StatusCode{ // nil: nothing
		"the comparison": func(e *ua.EventFilter) []ua.StatusCode {
			if len(e.WhereClause.Elements) > 0 {
				return []ua.StatusCode{}
			}
			return nil
		},
		"some fields": func(e *ua.EventFilter) (list []ua.StatusCode) {
			some := false
			for _, s := range e.SelectClauses {
				status := ua.StatusOK
				if s.TypeDefinitionID.IntID() == id.AlarmConditionType {
					some, status = true, ua.StatusBadNodeIDUnknown
				}
				list = append(list, status)
			}
			if !some {
				return nil
			}
			return list
		},
		"all of conditions, without saying so": func(e *ua.EventFilter) []ua.StatusCode {
			if len(e.SelectClauses) > int(severityField)+1 {
				return []ua.StatusCode{}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func(f *fake, r ua.Request) ua.Response {
				create, is := r.(*ua.CreateMonitoredItemsRequest)
				if !is {
					return nil
				}
				list := refused(create.ItemsToCreate[0].RequestedParameters.Filter.Value.(*ua.EventFilter))
				if list == nil {
					return nil
				}
				return &ua.CreateMonitoredItemsResponse{Results: []*ua.MonitoredItemCreateResult{{
					StatusCode: ua.StatusBadEventFilterInvalid, FilterResult: ua.NewExtensionObject(&ua.EventFilterResult{SelectClauseResults: list, WhereClauseResult: &ua.ContentFilterResult{}}),
				}}}
			})
			c, _ := begin(t, alarmDevice(f))
			f.await("a filter that it takes", func() bool { return refreshed(f) == 1 })
			f.mu.Lock()
			creates := requests[*ua.CreateMonitoredItemsRequest](f)
			filter := creates[len(creates)-1].ItemsToCreate[0].RequestedParameters.Filter.Value.(*ua.EventFilter)
			told := &ua.EventFieldList{ClientHandle: f.handles["i=2253"]}
			for _, o := range filter.SelectClauses {
				var v any
				if len(o.BrowsePath) > 0 {
					v = map[string]any{"SourceName": "T1", "Message": ua.NewLocalizedText("hot"), "ConditionName": "Hot", "SourceNode": ua.NewNumericNodeID(0, 5), "Retain": true}[o.BrowsePath[0].Name]
				}
				told.EventFields = append(told.EventFields, ua.MustVariant(v))
			}
			f.mu.Unlock()
			f.tell(1, 1, &ua.EventNotificationList{Events: []*ua.EventFieldList{told}})
			if len(filter.SelectClauses) > int(severityField)+1 {
				c.await(t, "the condition", c.shows("T1.Hot", "true good"))
			} else {
				c.await(t, "the event", c.shows("T1.Event", "hot good"))
			}
		})
	}
}

// Each event that is no condition's is a text, once.
func TestEventTexts(t *testing.T) {
	t.Parallel()
	f := newFake(t, refreshes)
	c, _ := begin(t, alarmDevice(f))
	f.await("that all are asked for", func() bool { return refreshed(f) == 1 })
	text := func(id, text string, severity uint16) told {
		return told{idField: []byte(id), sourceField: ua.NewNumericNodeID(0, 5), sourceNameField: "2:T1", messageField: ua.NewLocalizedText(text), severityField: severity, timeField: time.Now()}
	}
	changed := text("0", "changed", 900)
	changed[typeField] = ua.NewNumericNodeID(0, id.GeneralModelChangeEventType)
	f.tell(1, 1, f.events(changed, text("1", "low", 299), text("2", "hot", 300), text("2", "hot", 300), text("3", "hot", 500), text("4", strings.Repeat("ä", 200), 500)))
	c.await(t, "the last", func() bool { now, _ := c.of(c.named("T1.Event")); return len(now) == 3 })
	now, _ := c.of(c.named("T1.Event"))
	if now[0].Value != telemetry.TextValue("hot") || now[1].Value != telemetry.TextValue("hot") || now[2].Value != telemetry.TextValue(strings.Repeat("ä", 128)) {
		t.Errorf("%v", now)
	}
	f.breakOff()
	c.await(t, "that the line is cut", func() bool { return c.last(live).Value == telemetry.BoolValue(false) })
	if now, _ := c.of(c.named("T1.Event")); len(now) != 3 {
		t.Errorf("what was said isn't so any more: %v", now)
	}
}

// What a server tells is bounded.
func TestTooManyConditions(t *testing.T) {
	t.Parallel()
	f := newFake(t, refreshes)
	c, _ := begin(t, alarmDevice(f))
	f.await("that all are asked for", func() bool { return refreshed(f) == 1 })
	const portion = 2000
	for from := range uint32(mostConditions/portion + 1) {
		var list []told
		for n := range portion {
			list = append(list, alarmed(int(from)*portion+n+1, true))
		}
		f.tell(1, from+1, f.events(list...))
	}
	c.await(t, "the last", c.shows(fmt.Sprintf("T1.Hot%d", mostConditions), "true good"))
	f.tell(1, mostConditions/portion+2, f.events(alarmed(1, false)))
	c.await(t, "that the first goes on", c.shows("T1.Hot1", "false good"))
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.found) != mostConditions {
		t.Errorf("%d", len(c.found))
	}
}

// Whatever a server sends as fields of an event, nothing panics, and what is kept of it is
// bounded.
func FuzzEvent(f *testing.F) {
	for _, e := range []told{alarmed(1, true), ofType(id.RefreshStartEventType), {}, {messageField: "a", sourceField: ua.NewTwoByteNodeID(0)}} {
		var b []byte
		for _, field := range allFields() {
			part, err := ua.MustVariant(e[field]).Encode()
			if err != nil {
				f.Fatal(err)
			}
			b = append(b, part...)
		}
		f.Add(uint8(0), b)
	}
	f.Fuzz(func(t *testing.T, first uint8, b []byte) {
		fields := allFields()[min(int(first), int(lastField)):]
		var values []*ua.Variant
		for len(b) > 0 && len(values) <= len(fields) {
			if b[0]&(ua.VariantArrayDimensions|ua.VariantArrayValues) != 0 || ua.TypeID(b[0]&0x3f) >= ua.TypeIDExtensionObject {
				return // what gopcua's decoder doesn't bound
			}
			v := &ua.Variant{}
			n, err := v.Decode(b)
			if err != nil || n <= 0 {
				return
			}
			values, b = append(values, v), b[n:]
		}
		e := eventOf(fields, values)
		e.state()
		for _, text := range append(e.names(), e.id, e.message) {
			if len(text) > mostText+1 {
				t.Fatalf("%d bytes", len(text))
			}
		}
		w := newWatch(Device{}, nil)
		for _, id := range []*ua.NodeID{e.source, e.condition} {
			if id != nil {
				if name := w.announced(strings.Join(e.names(), "."), nodeOf(id, nil), "", 1).name; len(name) > longestName {
					t.Fatalf("%q", name)
				}
			}
		}
	})
}

// before are what a fake told before the gateway started.
func (c *collector) before(t *testing.T) []adapters.Found {
	t.Helper()
	before := []adapters.Found{
		{Name: "T1.Hot1", Follow: adapters.NoFollow, Kind: telemetry.State, Encoding: "opcua condition i=1"},
		{Name: "T1.Hot2", Follow: adapters.NoFollow, Kind: telemetry.State, Encoding: "opcua condition i=2"},
		{Name: "n12345678.T1.Event", Follow: adapters.NoFollow, Kind: telemetry.State, Encoding: "opcua event i=5"},
		{Name: "V1", Encoding: "opcua i=10001"},
	}
	if _, err := c.Register(t.Context(), "plant", before); err != nil {
		t.Fatal(err)
	}
	return before
}

// What was told before the gateway started is known: what isn't told any more has cleared,
// and everything is called as it was.
func TestConditionsOfBefore(t *testing.T) {
	t.Parallel()
	f := newFake(t, refreshes)
	c := newCollector()
	before := c.before(t)
	beginWith(t, alarmDevice(f), c)
	f.await("that all are asked for", func() bool { return refreshed(f) == 1 })
	event := told{sourceField: ua.NewNumericNodeID(0, 5), sourceNameField: "T1", messageField: ua.NewLocalizedText("hot"), severityField: uint16(500)}
	f.tell(1, 1, f.events(ofType(id.RefreshStartEventType), alarmed(2, true), ofType(id.RefreshEndEventType), event))
	c.await(t, "what isn't told any more", c.shows("T1.Hot1", "false good"))
	c.await(t, "what is", c.shows("T1.Hot2", "true good"))
	c.await(t, "the event", c.shows("n12345678.T1.Event", "hot good"))
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.found) != len(before) {
		t.Errorf("%+v", c.found)
	}
}

// Of a condition of before the session says that it has no value, unless it is told: while
// there is no connection, and when the server can't tell it anew. What events said stays.
func TestConditionsOfBeforeThatArentTold(t *testing.T) {
	t.Parallel()
	refusals := 1
	f := newFake(t, func(_ *fake, r ua.Request) ua.Response {
		if _, is := r.(*ua.CreateSessionRequest); is && refusals > 0 {
			refusals--
			return fault(ua.StatusBadServerHalted)
		}
		return nil
	})
	c := newCollector()
	c.before(t)
	registered := map[string]bool{}
	c.refuses = func(found []adapters.Found, _ []telemetry.SignalID) error {
		for _, f := range found {
			registered[f.Name] = true
		}
		return nil
	}
	d := alarmDevice(f)
	if d.About().ToldWithin <= 0 {
		t.Error("nobody says anything of what isn't told")
	}
	beginWith(t, d, c)
	for _, name := range []string{"T1.Hot1", "T1.Hot2"} {
		c.await(t, "that it isn't known", c.shows(name, "– bad (not connected, stale)"))
	}
	f.await("that all are asked for", func() bool { return refreshed(f) == 1 })
	f.tell(1, 1, f.events(alarmed(1, true, told{activeSinceField: time.Now().Add(-time.Hour)})))
	c.await(t, "what is told", c.shows("T1.Hot1", "true good"))
	if now, _ := c.of(c.named("T1.Hot1")); len(now) != 2 || now[1].Time < now[0].Time {
		t.Errorf("%v", now)
	}
	if now, _ := c.of(c.named("n12345678.T1.Event")); len(now) > 0 {
		t.Errorf("%v", now)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if registered["T1.Hot2"] || !registered["T1.Hot1"] { // from then on the session says nothing of it
		t.Errorf("%v", registered)
	}
}
