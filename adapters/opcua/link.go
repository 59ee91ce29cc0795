package opcua

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/opcuaconn"
)

// link is a connection, and what is known of the server as long as it lasts.
type link struct {
	*opcuaconn.Conn
	library
	timeout time.Duration
}

// dial connects. log nil: nothing is told.
func dial(ctx context.Context, d Device, log *slog.Logger) (*link, error) {
	conn, err := opcuaconn.Dial(ctx, d.Server, opcuaconn.Options{Dir: d.Dir, Keep: d.Keep, Log: log})
	if err != nil {
		return nil, err
	}
	return &link{Conn: conn, timeout: d.Timeout}, nil
}

// request sends one and waits for its response, as long as the device may take.
func request[R ua.Response](ctx context.Context, l *link, r ua.Request) (R, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	return opcuaconn.Request[R](ctx, l.Conn, r)
}

// mostInRequest is how many nodes are named in one request to a server that states no
// limit of its own. Beyond some thousands, servers break the connection off.
const mostInRequest = 1000

// tooLarge are the answers of a server to a request that names too much for it.
var tooLarge = []error{
	ua.StatusBadTooManyOperations, ua.StatusBadRequestTooLarge, ua.StatusBadResponseTooLarge, ua.StatusBadEncodingLimitsExceeded,
}

// portions has n operations done by requests with as many of them as the server takes,
// and with fewer if it then says that they were too many.
func portions(n int, limit uint32, do func(from, to int) error) error {
	most := mostInRequest
	if limit > 0 {
		most = min(most, int(limit))
	}
	for from := 0; from < n; {
		to := min(from+most, n)
		err := do(from, to)
		if err != nil && to-from > 1 && isAny(err, tooLarge) {
			most = (to - from) / 2
			continue
		}
		if err != nil {
			return err
		}
		from = to
	}
	return nil
}

func isAny(err error, of []error) bool {
	for _, e := range of {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// errAnswer is an answer with more or fewer results than were asked for.
func errAnswer(got, want int) error {
	return fmt.Errorf("the server answers with %d results, expected %d", got, want)
}

// read reads attributes. take is called for each in order.
func (l *link) read(ctx context.Context, nodes []*ua.ReadValueID, take func(i int, v *ua.DataValue)) error {
	return portions(len(nodes), l.Limits.MaxNodesPerRead, func(from, to int) error {
		ctx, cancel := context.WithTimeout(ctx, l.timeout)
		defer cancel()
		res, err := l.Read(ctx, &ua.ReadRequest{TimestampsToReturn: ua.TimestampsToReturnBoth, NodesToRead: nodes[from:to]})
		if err != nil {
			return err
		}
		if len(res.Results) != to-from {
			return errAnswer(len(res.Results), to-from)
		}
		for i, v := range res.Results {
			if v == nil {
				v = &ua.DataValue{Status: ua.StatusBadNoData}
			}
			take(from+i, v)
		}
		return nil
	})
}

// attributes reads one attribute of many nodes; values that can't be read are nil.
func (l *link) attributes(ctx context.Context, nodes []*ua.NodeID, attribute ua.AttributeID) ([]any, error) {
	ids := make([]*ua.ReadValueID, len(nodes))
	for i, n := range nodes {
		ids[i] = &ua.ReadValueID{NodeID: n, AttributeID: attribute}
	}
	values := make([]any, len(nodes))
	err := l.read(ctx, ids, func(i int, v *ua.DataValue) {
		if v.Value != nil && v.Status>>30 == 0 {
			values[i] = v.Value.Value()
		}
	})
	return values, err
}

// now is the server's time, and whether it says that it runs.
func (l *link) now(ctx context.Context) (at time.Time, running bool, err error) {
	ids := []*ua.ReadValueID{
		{NodeID: ua.NewNumericNodeID(0, id.Server_ServerStatus_CurrentTime), AttributeID: ua.AttributeIDValue},
		{NodeID: ua.NewNumericNodeID(0, id.Server_ServerStatus_State), AttributeID: ua.AttributeIDValue},
	}
	running = true
	err = l.read(ctx, ids, func(i int, v *ua.DataValue) {
		if v.Value == nil || v.Status>>30 != 0 {
			return
		}
		switch v := v.Value.Value().(type) {
		case time.Time:
			at = v
		case int32:
			running = ua.ServerState(v) == ua.ServerStateRunning
		}
	})
	return at, running, err
}

// namespaces reads them anew: a server may come to have more of them.
func (l *link) namespaces(ctx context.Context) ([]string, error) {
	values, err := l.attributes(ctx, []*ua.NodeID{ua.NewNumericNodeID(0, id.Server_NamespaceArray)}, ua.AttributeIDValue)
	if err != nil {
		return nil, err
	}
	names, is := values[0].([]string)
	if !is {
		return l.Namespaces, nil
	}
	return names, nil
}
