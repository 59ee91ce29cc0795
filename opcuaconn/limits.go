package opcuaconn

import (
	"context"
	"errors"
	"fmt"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

// Limits are how much a server takes in one request (OPC 10000-5, 6.3.11), and how much
// it keeps; 0: it doesn't say.
type Limits struct {
	MaxNodesPerRead              uint32
	MaxNodesPerHistoryReadData   uint32
	MaxNodesPerBrowse            uint32
	MaxMonitoredItemsPerCall     uint32
	MaxBrowseContinuationPoints  uint32
	MaxHistoryContinuationPoints uint32
	MaxMonitoredItemsPerSub      uint32
}

// nodes are where the server tells them.
func (l *Limits) nodes() map[uint32]*uint32 {
	return map[uint32]*uint32{
		id.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead:            &l.MaxNodesPerRead,
		id.Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadData: &l.MaxNodesPerHistoryReadData,
		id.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse:          &l.MaxNodesPerBrowse,
		id.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall:   &l.MaxMonitoredItemsPerCall,
		id.Server_ServerCapabilities_MaxBrowseContinuationPoints:                &l.MaxBrowseContinuationPoints,
		id.Server_ServerCapabilities_MaxHistoryContinuationPoints:               &l.MaxHistoryContinuationPoints,
		id.Server_ServerCapabilities_MaxMonitoredItemsPerSubscription:           &l.MaxMonitoredItemsPerSub,
	}
}

// learn reads the server's namespaces and limits, at once unless that is too many for it.
func (c *Conn) learn(ctx context.Context) error {
	nodes := []uint32{id.Server_NamespaceArray}
	var limits []*uint32
	for node, limit := range c.Limits.nodes() {
		nodes, limits = append(nodes, node), append(limits, limit)
	}
	values, err := c.values(ctx, nodes)
	if errors.Is(err, ua.StatusBadTooManyOperations) {
		values = nil
		for _, node := range nodes {
			var one []any
			if one, err = c.values(ctx, []uint32{node}); err != nil {
				break
			}
			values = append(values, one...)
		}
	}
	if err != nil {
		return fmt.Errorf("read the server's namespaces and limits: %w", err)
	}
	names, ok := values[0].([]string)
	if !ok {
		return fmt.Errorf("%w: namespaces of the type %T", errWire, values[0])
	}
	c.Namespaces = names
	for i, limit := range limits {
		switch v := values[i+1].(type) {
		case uint32:
			*limit = v
		case uint16:
			*limit = uint32(v)
		}
	}
	return nil
}

// values are the values of nodes of the server's own, nil where it has none.
func (c *Conn) values(ctx context.Context, nodes []uint32) ([]any, error) {
	request := &ua.ReadRequest{}
	for _, node := range nodes {
		request.NodesToRead = append(request.NodesToRead, &ua.ReadValueID{NodeID: ua.NewNumericNodeID(0, node), AttributeID: ua.AttributeIDValue})
	}
	response, err := c.Read(ctx, request)
	if err != nil {
		return nil, err
	}
	if len(response.Results) != len(nodes) {
		return nil, fmt.Errorf("%w: %d results for %d nodes", errWire, len(response.Results), len(nodes))
	}
	values := make([]any, len(nodes))
	for i, r := range response.Results {
		if r.Value != nil && r.Status == ua.StatusOK {
			values[i] = r.Value.Value()
		}
	}
	return values, nil
}
