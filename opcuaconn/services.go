package opcuaconn

import (
	"context"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

// Read reads attributes of nodes, the value where none is named.
func (c *Conn) Read(ctx context.Context, request *ua.ReadRequest) (*ua.ReadResponse, error) {
	for _, n := range request.NodesToRead {
		if n.AttributeID == 0 {
			n.AttributeID = ua.AttributeIDValue
		}
		if n.DataEncoding == nil {
			n.DataEncoding = &ua.QualifiedName{}
		}
	}
	return Request[*ua.ReadResponse](ctx, c, request)
}

// Browse follows references, hierarchical ones where none is named.
func (c *Conn) Browse(ctx context.Context, request *ua.BrowseRequest) (*ua.BrowseResponse, error) {
	if request.View == nil {
		request.View = &ua.ViewDescription{ViewID: ua.NewTwoByteNodeID(0)}
	}
	for _, n := range request.NodesToBrowse {
		if n.ReferenceTypeID == nil {
			n.ReferenceTypeID = ua.NewNumericNodeID(0, id.HierarchicalReferences)
			n.IncludeSubtypes = true
		}
	}
	return Request[*ua.BrowseResponse](ctx, c, request)
}

// BrowseNext goes on with Browse.
func (c *Conn) BrowseNext(ctx context.Context, request *ua.BrowseNextRequest) (*ua.BrowseNextResponse, error) {
	return Request[*ua.BrowseNextResponse](ctx, c, request)
}

// Call calls methods.
func (c *Conn) Call(ctx context.Context, request *ua.CallRequest) (*ua.CallResponse, error) {
	return Request[*ua.CallResponse](ctx, c, request)
}
