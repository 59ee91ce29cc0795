package opcua

import (
	"context"
	"fmt"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

// learnWanted asks the server how the structures are made up that have come and aren't
// known. It returns false if there were none.
func (l *link) learnWanted(ctx context.Context) (bool, error) {
	wanted := l.takeWanted()
	d := describer{l, map[string]*structure{}}
	for _, encoding := range wanted {
		s, err := d.encoding(ctx, encoding)
		if err != nil {
			return false, err
		}
		l.keep(encoding, s)
	}
	return len(wanted) > 0, nil
}

// describer asks a server for its data types.
type describer struct {
	*link
	known map[string]*structure // by data type
}

// encoding is how the structures are made up that are encoded so; nil if the server
// doesn't say.
func (d describer) encoding(ctx context.Context, encoding *ua.NodeID) (*structure, error) {
	dataType, err := d.behind(ctx, encoding, id.HasEncoding)
	if err != nil || dataType == nil {
		return nil, err
	}
	return d.structure(ctx, dataType, 0)
}

// behind is the node that a reference to this one comes from; nil if there is none.
func (d describer) behind(ctx context.Context, node *ua.NodeID, reference uint32) (*ua.NodeID, error) {
	found, err := d.browse(ctx, []*ua.NodeID{node}, ua.BrowseDirectionInverse, reference, 0)
	if err != nil || len(found[0]) == 0 || found[0][0].NodeID == nil {
		return nil, err
	}
	return ua.NewNodeIDFromExpandedNodeID(found[0][0].NodeID), nil
}

// structure is how a data type is made up; nil if it is no structure, or nothing is known
// of it.
func (d describer) structure(ctx context.Context, dataType *ua.NodeID, depth int) (*structure, error) {
	key := dataType.String()
	if s, known := d.known[key]; known {
		return s, nil
	}
	if depth == deepest {
		return nil, nil
	}
	values, err := d.attributes(ctx, []*ua.NodeID{dataType}, ua.AttributeIDDataTypeDefinition)
	if err != nil {
		return nil, err
	}
	object, _ := values[0].(*ua.ExtensionObject)
	if object == nil {
		return nil, nil
	}
	definition, is := object.Value.(*ua.StructureDefinition)
	if !is {
		return nil, nil
	}
	s := &structure{kind: definition.StructureType}
	d.known[key] = s // also for those that hold themselves
	for _, f := range definition.Fields {
		if f == nil || f.DataType == nil {
			return nil, fmt.Errorf("data type %s has a member without a type", dataType)
		}
		member := field{name: f.Name, array: f.ValueRank >= 0, optional: f.IsOptional}
		if f.ValueRank > 1 {
			d.known[key] = nil // a matrix
			return nil, nil
		}
		if member.builtin, member.of, err = d.kind(ctx, f.DataType, depth+1); err != nil {
			return nil, err
		}
		if builtins[member.builtin] == nil && member.of == nil {
			d.known[key] = nil
			return nil, nil
		}
		s.fields = append(s.fields, member)
	}
	return s, nil
}

// highestType bounds how many types a type is derived from in turn.
const highestType = 16

// kind is what a member of a data type is encoded as.
func (d describer) kind(ctx context.Context, dataType *ua.NodeID, depth int) (ua.TypeID, *structure, error) {
	for range highestType {
		if builtin := builtinOf(dataType); builtin != 0 {
			return builtin, nil, nil
		}
		s, err := d.structure(ctx, dataType, depth)
		if err != nil || s != nil {
			return 0, s, err
		}
		if dataType, err = d.behind(ctx, dataType, id.HasSubtype); err != nil || dataType == nil {
			return 0, nil, err
		}
	}
	return 0, nil, nil
}

// builtinOf is what OPC UA's own data types are encoded as; 0 for others.
func builtinOf(dataType *ua.NodeID) ua.TypeID {
	switch dataType.Type() {
	case ua.NodeIDTypeString, ua.NodeIDTypeGUID, ua.NodeIDTypeByteString:
		return 0
	}
	n := dataType.IntID()
	switch {
	case dataType.Namespace() != 0:
		return 0
	case abstractTypes[n] != 0:
		return abstractTypes[n]
	case n <= uint32(ua.TypeIDDiagnosticInfo):
		return ua.TypeID(n)
	}
	return 0
}
