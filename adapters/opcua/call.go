package opcua

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/opcuaconn"
	"github.com/busbar/busbar/telemetry"
)

// Call is how a point is operated by methods instead of being written: by one with the value
// as its only argument, or by one each for true and false, without any. A method that isn't
// there is the zero Node.
type Call struct {
	Object          Node // whose methods they are
	Method, On, Off Node
}

// method is the one that a value is given by.
func (c Call) method(v telemetry.Value) (Node, error) {
	if c.Method != (Node{}) {
		return c.Method, nil
	}
	number, ok := v.Float()
	switch {
	case !ok || number != 0 && number != 1:
		return Node{}, fmt.Errorf("%v, expected 0 or 1", v)
	case number == 1 && c.On != (Node{}):
		return c.On, nil
	case number == 0 && c.Off != (Node{}):
		return c.Off, nil
	}
	return Node{}, fmt.Errorf("there is no method for %v", v)
}

// called finds the method that gives a value, and what it takes for its argument: a value
// of a type like that; nil if it takes none. now is what the point's own node shows.
func (o *operation) called(ctx context.Context, c Call, v telemetry.Value, now any, names []string) (like any, err error) {
	method, err := c.method(v)
	if err != nil {
		return nil, err
	}
	object, err := c.Object.on(names)
	if err != nil {
		return nil, err
	}
	o.call = &ua.CallMethodRequest{ObjectID: object}
	if o.call.MethodID, err = method.on(names); err != nil {
		return nil, err
	}
	executable, err := o.attributes(ctx, []*ua.NodeID{o.call.MethodID}, ua.AttributeIDUserExecutable)
	if err != nil {
		return nil, err
	}
	if may, says := executable[0].(bool); says && !may {
		return nil, errors.New("the server says that its method can't be called")
	}
	arguments, err := o.arguments(ctx, o.call.MethodID)
	switch {
	case err != nil:
		return nil, err
	case c.Method == (Node{}) && len(arguments) > 0:
		return nil, fmt.Errorf("its method %s takes %d arguments, expected none", method, len(arguments))
	case c.Method == (Node{}):
		return nil, nil
	case len(arguments) != 1 || arguments[0].ValueRank >= 0:
		return nil, fmt.Errorf("its method %s takes %d arguments, expected one that is no array", method, len(arguments))
	}
	builtin, _, err := describer{o.link, map[string]*structure{}}.kind(ctx, arguments[0].DataType, 0)
	if err != nil {
		return nil, err
	}
	if builtin == ua.TypeIDVariant { // any number
		return now, nil
	}
	if like = zeros[builtin]; like == nil {
		return nil, fmt.Errorf("its method %s takes something of type %s, expected a number or a bool", method, arguments[0].DataType)
	}
	return like, nil
}

// zeros are values of the types that an argument may have.
var zeros = map[ua.TypeID]any{
	ua.TypeIDBoolean: false, ua.TypeIDSByte: int8(0), ua.TypeIDByte: uint8(0), ua.TypeIDInt16: int16(0), ua.TypeIDUint16: uint16(0), ua.TypeIDInt32: int32(0),
	ua.TypeIDUint32: uint32(0), ua.TypeIDInt64: int64(0), ua.TypeIDUint64: uint64(0), ua.TypeIDFloat: float32(0), ua.TypeIDDouble: float64(0),
}

// arguments are those that a method takes, by its InputArguments (OPC 10000-3, 5.7).
func (o *operation) arguments(ctx context.Context, method *ua.NodeID) (list []*ua.Argument, err error) {
	found, err := o.browse(ctx, []*ua.NodeID{method}, ua.BrowseDirectionForward, id.HasProperty, ua.NodeClassVariable)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(found[0], func(r *ua.ReferenceDescription) bool {
		return r != nil && r.NodeID != nil && r.BrowseName != nil && r.BrowseName.Name == "InputArguments"
	})
	if at < 0 {
		return nil, nil
	}
	values, err := o.attributes(ctx, []*ua.NodeID{ua.NewNodeIDFromExpandedNodeID(found[0][at].NodeID)}, ua.AttributeIDValue)
	if err != nil {
		return nil, err
	}
	objects, _ := values[0].([]*ua.ExtensionObject)
	for _, e := range objects {
		if e == nil {
			return nil, errors.New("the server doesn't say what its method takes")
		}
		a, is := e.Value.(*ua.Argument)
		if !is || a.DataType == nil {
			return nil, errors.New("the server doesn't say what its method takes")
		}
		list = append(list, a)
	}
	return list, nil
}

// callMayBeDone are what a server answers also if its method has done something.
var callMayBeDone = append([]error{ua.StatusBadInternalError, ua.StatusBadRequestInterrupted}, mayBeDone...)

// invoke calls the method. sure says that nothing was executed if there is an error.
func (o *operation) invoke(ctx context.Context) (sure bool, err error) {
	if o.variant != nil {
		o.call.InputArguments = []*ua.Variant{o.variant}
	}
	res, err := request[*ua.CallResponse](ctx, o.link, &ua.CallRequest{MethodsToCall: []*ua.CallMethodRequest{o.call}})
	var status ua.StatusCode
	switch {
	case errors.As(err, &status) && status != 0 && o.Cause() == nil:
		return !isAny(err, callMayBeDone), err // the server has answered
	case err != nil:
		return false, err
	case len(res.Results) != 1 || res.Results[0] == nil:
		return false, errAnswer(len(res.Results), 1)
	}
	r := res.Results[0]
	if r.StatusCode>>30 != 2 {
		return true, nil
	}
	err = errors.New("the server refuses it: " + opcuaconn.Status(r.StatusCode))
	if len(r.InputArgumentResults) == 1 && r.InputArgumentResults[0]>>30 == 2 {
		err = fmt.Errorf("%w, of its argument: %s", err, opcuaconn.Status(r.InputArgumentResults[0]))
	}
	return !isAny(r.StatusCode, callMayBeDone), err
}
