package opcuaconn

import (
	"context"
	"fmt"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

// Limits are how much a server takes in one request (OPC 10000-5, 6.3.11), and how much
// it keeps; 0: it doesn't say.
type Limits struct {
	MaxNodesPerRead              uint32
	MaxNodesPerHistoryReadData   uint32
	MaxNodesPerHistoryReadEvents uint32
	MaxNodesPerWrite             uint32
	MaxNodesPerMethodCall        uint32
	MaxNodesPerBrowse            uint32
	MaxNodesPerRegisterNodes     uint32
	MaxNodesPerTranslate         uint32
	MaxMonitoredItemsPerCall     uint32
	MaxBrowseContinuationPoints  uint32
	MaxHistoryContinuationPoints uint32
	MaxArrayLength               uint32
	MaxSubscriptionsPerSession   uint32
	MaxMonitoredItemsPerSub      uint32
}

// nodes are where the server tells them.
func (l *Limits) nodes() map[uint32]*uint32 {
	return map[uint32]*uint32{
		id.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead:                          &l.MaxNodesPerRead,
		id.Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadData:               &l.MaxNodesPerHistoryReadData,
		id.Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadEvents:             &l.MaxNodesPerHistoryReadEvents,
		id.Server_ServerCapabilities_OperationLimits_MaxNodesPerWrite:                         &l.MaxNodesPerWrite,
		id.Server_ServerCapabilities_OperationLimits_MaxNodesPerMethodCall:                    &l.MaxNodesPerMethodCall,
		id.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse:                        &l.MaxNodesPerBrowse,
		id.Server_ServerCapabilities_OperationLimits_MaxNodesPerRegisterNodes:                 &l.MaxNodesPerRegisterNodes,
		id.Server_ServerCapabilities_OperationLimits_MaxNodesPerTranslateBrowsePathsToNodeIDs: &l.MaxNodesPerTranslate,
		id.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall:                 &l.MaxMonitoredItemsPerCall,
		id.Server_ServerCapabilities_MaxBrowseContinuationPoints:                              &l.MaxBrowseContinuationPoints,
		id.Server_ServerCapabilities_MaxHistoryContinuationPoints:                             &l.MaxHistoryContinuationPoints,
		id.Server_ServerCapabilities_MaxArrayLength:                                           &l.MaxArrayLength,
		id.Server_ServerCapabilities_MaxSubscriptionsPerSession:                               &l.MaxSubscriptionsPerSession,
		id.Server_ServerCapabilities_MaxMonitoredItemsPerSubscription:                         &l.MaxMonitoredItemsPerSub,
	}
}

// learn reads the server's namespaces and limits, one at a time: how many it takes in a
// request is what isn't known yet.
func (c *Conn) learn(ctx context.Context) error {
	v, err := c.value(ctx, id.Server_NamespaceArray)
	if err != nil {
		return fmt.Errorf("read the namespaces: %w", err)
	}
	names, ok := v.([]string)
	if !ok {
		return fmt.Errorf("%w: namespaces of the type %T", errWire, v)
	}
	c.Namespaces = names
	for node, limit := range c.Limits.nodes() {
		v, err := c.value(ctx, node)
		if err != nil {
			return fmt.Errorf("read the server's limits: %w", err)
		}
		switch v := v.(type) {
		case uint32:
			*limit = v
		case uint16:
			*limit = uint32(v)
		}
	}
	return nil
}

// value is the value of a node of the server's own, nil if it has none.
func (c *Conn) value(ctx context.Context, node uint32) (any, error) {
	response, err := c.Read(ctx, &ua.ReadRequest{NodesToRead: []*ua.ReadValueID{{NodeID: ua.NewNumericNodeID(0, node), AttributeID: ua.AttributeIDValue}}})
	if err != nil {
		return nil, err
	}
	if len(response.Results) != 1 || response.Results[0] == nil {
		return nil, fmt.Errorf("%w: %d results for one node", errWire, len(response.Results))
	}
	if r := response.Results[0]; r.Value != nil && r.Status == ua.StatusOK {
		return r.Value.Value(), nil
	}
	return nil, nil
}
