package opcua

import (
	"strings"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

// eventField is one that events are asked for (OPC 10000-5, 6.4.2; OPC 10000-9, 5.5.2 and 5.8.2).
type eventField uint8

const (
	typeField eventField = iota
	idField
	sourceField
	sourceNameField
	timeField
	messageField
	severityField
	conditionField // here and below: of conditions
	conditionNameField
	branchField
	retainField
	enabledField
	activeField
	activeSinceField
	qualityField
	lastField = qualityField
)

// allFields are those that a server is asked for first.
func allFields() (list []eventField) {
	for f := range lastField + 1 {
		list = append(list, f)
	}
	return list
}

// operand is how a server is asked for a field.
func (f eventField) operand() *ua.SimpleAttributeOperand {
	of := func(kind uint32, path ...string) *ua.SimpleAttributeOperand {
		o := &ua.SimpleAttributeOperand{TypeDefinitionID: ua.NewNumericNodeID(0, kind), BrowsePath: []*ua.QualifiedName{}, AttributeID: ua.AttributeIDValue}
		for _, name := range path {
			o.BrowsePath = append(o.BrowsePath, &ua.QualifiedName{Name: name})
		}
		return o
	}
	switch f {
	case typeField:
		return of(id.BaseEventType, "EventType")
	case idField:
		return of(id.BaseEventType, "EventId")
	case sourceField:
		return of(id.BaseEventType, "SourceNode")
	case sourceNameField:
		return of(id.BaseEventType, "SourceName")
	case timeField:
		return of(id.BaseEventType, "Time")
	case messageField:
		return of(id.BaseEventType, "Message")
	case severityField:
		return of(id.BaseEventType, "Severity")
	case conditionField: // which is the node's own id
		o := of(id.ConditionType)
		o.AttributeID = ua.AttributeIDNodeID
		return o
	case conditionNameField:
		return of(id.ConditionType, "ConditionName")
	case branchField:
		return of(id.ConditionType, "BranchId")
	case retainField:
		return of(id.ConditionType, "Retain")
	case enabledField:
		return of(id.ConditionType, "EnabledState", "Id")
	case activeField:
		return of(id.AlarmConditionType, "ActiveState", "Id")
	case activeSinceField:
		return of(id.AlarmConditionType, "ActiveState", "TransitionTime")
	}
	return of(id.ConditionType, "Quality")
}

// eventFilter asks for fields of the events from a severity on. Conditions are told
// whatever theirs is, which may fall when they clear; so is what concerns the telling itself.
func eventFilter(fields []eventField, from uint16) *ua.EventFilter {
	f := &ua.EventFilter{WhereClause: &ua.ContentFilter{}}
	for _, field := range fields {
		f.SelectClauses = append(f.SelectClauses, field.operand())
	}
	if from <= 1 {
		return f
	}
	element := func(operator ua.FilterOperator, operands ...any) {
		e := &ua.ContentFilterElement{FilterOperator: operator}
		for _, o := range operands {
			e.FilterOperands = append(e.FilterOperands, ua.NewExtensionObject(o))
		}
		f.WhereClause.Elements = append(f.WhereClause.Elements, e)
	}
	literal := func(v any) *ua.LiteralOperand { return &ua.LiteralOperand{Value: ua.MustVariant(v)} }
	element(ua.FilterOperatorOr, &ua.ElementOperand{Index: 1}, &ua.ElementOperand{Index: 2})
	element(ua.FilterOperatorGreaterThanOrEqual, severityField.operand(), literal(from))
	element(ua.FilterOperatorOr, &ua.ElementOperand{Index: 3}, &ua.ElementOperand{Index: 4})
	element(ua.FilterOperatorOfType, literal(ua.NewNumericNodeID(0, id.ConditionType)))
	element(ua.FilterOperatorOfType, literal(ua.NewNumericNodeID(0, id.SystemEventType)))
	return f
}

// event is what a server tells of one. What it doesn't tell is zero.
type event struct {
	kind       uint32 // its type, if that is one of OPC UA's own
	id         string
	source     *ua.NodeID
	sourceName string
	time       time.Time
	message    string
	severity   uint16

	condition     *ua.NodeID
	conditionName string
	branch        bool  // it is of an earlier state of the condition, which waits for somebody
	retain        *bool // these three: nil if it isn't told
	enabled       *bool
	active        *bool
	activeSince   time.Time
	quality       ua.StatusCode
}

// mostText bounds names and ids that events have, in bytes.
const mostText = 256

// eventOf is the event with the values of fields, whatever these are.
func eventOf(fields []eventField, values []*ua.Variant) event {
	var e event
	for n, f := range fields[:min(len(fields), len(values))] {
		if values[n] == nil {
			continue
		}
		v := values[n].Value()
		switch f {
		case typeField:
			if kind := nodeIn(v); kind != nil && kind.Namespace() == 0 {
				e.kind = kind.IntID()
			}
		case idField:
			b, _ := v.([]byte)
			e.id = string(b[:min(len(b), mostText)])
		case sourceField:
			e.source = nodeIn(v)
		case sourceNameField:
			e.sourceName = textIn(v)
		case timeField:
			e.time, _ = v.(time.Time)
		case messageField:
			e.message = textIn(v)
		case severityField:
			e.severity, _ = v.(uint16)
		case conditionField:
			e.condition = nodeIn(v)
		case conditionNameField:
			e.conditionName = textIn(v)
		case branchField:
			e.branch = nodeIn(v) != nil
		case retainField:
			e.retain = boolIn(v)
		case enabledField:
			e.enabled = boolIn(v)
		case activeField:
			e.active = boolIn(v)
		case activeSinceField:
			e.activeSince, _ = v.(time.Time)
		case qualityField:
			e.quality, _ = v.(ua.StatusCode)
		}
	}
	return e
}

// nodeIn is the node that a value is; nil if it is none.
func nodeIn(v any) *ua.NodeID {
	if expanded, is := v.(*ua.ExpandedNodeID); is && expanded != nil {
		v = expanded.NodeID
	}
	n, _ := v.(*ua.NodeID)
	if n == nil || n.Namespace() == 0 && n.IntID() == 0 && n.StringID() == "" {
		return nil
	}
	return n
}

func textIn(v any) string {
	var text string
	switch v := v.(type) {
	case string:
		text = v
	case *ua.LocalizedText:
		if v != nil {
			text = v.Text
		}
	}
	return strings.ToValidUTF8(text[:min(len(text), mostText)], "")
}

func boolIn(v any) *bool {
	if b, is := v.(bool); is {
		return &b
	}
	return nil
}

// state is whether the event's condition is active and since when, by a status that isn't
// bad; a disabled one is out of service.
func (e event) state() (active bool, status ua.StatusCode, since time.Time) {
	switch {
	case e.enabled != nil && !*e.enabled:
		return false, ua.StatusBadOutOfService, e.time
	case e.active != nil && e.activeSince.Year() >= oldest:
		return *e.active, e.quality & codeMask, e.activeSince
	case e.active != nil:
		return *e.active, e.quality & codeMask, e.time
	case e.retain != nil: // it is no alarm, and matters or doesn't
		return *e.retain, e.quality & codeMask, e.time
	}
	return false, ua.StatusBadNoData, e.time
}

// names are what the event comes from and, if it is of a condition, which one: the words of
// its signal's name.
func (e event) names() []string {
	name := "Event"
	if e.ofCondition() {
		name = word(e.conditionName)
	}
	source := e.sourceName
	if index, rest, is := strings.Cut(source, ":"); is && rest != "" { // node-opcua's begin with that of a namespace
		if _, err := decimal(index, 16); err == nil {
			source = rest
		}
	}
	if source == "" {
		return []string{name}
	}
	return []string{word(source), name}
}

func (e event) ofCondition() bool { return e.condition != nil || e.conditionName != "" }
