package opcua

import (
	"context"
	"strings"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

const (
	// deepestBrowse is how many levels below where it begins are looked at.
	deepestBrowse = 32
	// mostNodes bounds what is found below a node.
	mostNodes = 200_000
	// mostReferences is how many references of a node come in one answer.
	mostReferences = 1000
	// mostBrowsed is how many nodes are browsed by one request. Servers have few
	// continuation points, and one node may need one.
	mostBrowsed = 100
)

// browse is the references of nodes in a direction, of a type with its subtypes, to nodes
// of the classes of mask; 0 is all. A node that can't be browsed has none.
func (l *link) browse(ctx context.Context, nodes []*ua.NodeID, direction ua.BrowseDirection, reference uint32, mask ua.NodeClass) ([][]*ua.ReferenceDescription, error) {
	found := make([][]*ua.ReferenceDescription, len(nodes))
	limit := l.Limits.MaxNodesPerBrowse
	if limit == 0 || limit > mostBrowsed {
		limit = mostBrowsed
	}
	if points := l.Limits.MaxBrowseContinuationPoints; points > 0 {
		limit = min(limit, points)
	}
	err := portions(len(nodes), limit, func(from, to int) error {
		req := &ua.BrowseRequest{RequestedMaxReferencesPerNode: mostReferences}
		for _, n := range nodes[from:to] {
			req.NodesToBrowse = append(req.NodesToBrowse, &ua.BrowseDescription{
				NodeID: n, BrowseDirection: direction, ReferenceTypeID: ua.NewNumericNodeID(0, reference), IncludeSubtypes: true,
				NodeClassMask: uint32(mask), ResultMask: uint32(ua.BrowseResultMaskAll),
			})
		}
		ctx, cancel := context.WithTimeout(ctx, l.timeout)
		defer cancel()
		res, err := l.Browse(ctx, req)
		if err != nil {
			return err
		}
		if len(res.Results) != to-from {
			return errAnswer(len(res.Results), to-from)
		}
		for n, r := range res.Results {
			if r == nil {
				continue
			}
			if found[from+n], err = l.rest(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
	return found, err
}

// rest is all references of a node of which the first have come.
func (l *link) rest(ctx context.Context, r *ua.BrowseResult) (list []*ua.ReferenceDescription, err error) {
	for {
		list = append(list, r.References...)
		if len(r.ContinuationPoint) == 0 {
			return list, nil
		}
		enough := len(list) >= mostNodes
		res, err := l.BrowseNext(ctx, &ua.BrowseNextRequest{ReleaseContinuationPoints: enough, ContinuationPoints: [][]byte{r.ContinuationPoint}})
		if enough {
			return list, err
		}
		if err != nil {
			return nil, err
		}
		if len(res.Results) != 1 || res.Results[0] == nil {
			return nil, errAnswer(len(res.Results), 1)
		}
		if r = res.Results[0]; r.StatusCode>>30 == 2 {
			return nil, r.StatusCode
		}
	}
}

// place is a node as it is found below another one.
type place struct {
	id     *ua.NodeID
	node   Node
	class  ua.NodeClass
	name   string // its browse name
	parent *place
	path   []string // words of the browse names that lead to it
	// properties are those of it that say what its value means, by name.
	properties map[string]*ua.NodeID
}

// properties that say something of a value (OPC 10000-8, 5.3).
var properties = map[string]bool{"EngineeringUnits": true, "EnumStrings": true, "EnumValues": true}

// below walks what is below a node by hierarchical references, level by level, and
// calls visit for each object, variable and method once. It returns false if there is
// more than it has looked at.
func (l *link) below(ctx context.Context, from *ua.NodeID, names []string, visit func(*place)) (whole bool, err error) {
	seen := map[string]bool{from.String(): true}
	level := []*place{{id: from, node: nodeOf(from, names)}}
	whole = true
	for depth := 1; whole && len(level) > 0; depth++ {
		ids := make([]*ua.NodeID, len(level))
		for i, p := range level {
			ids[i] = p.id
		}
		found, err := l.browse(ctx, ids, ua.BrowseDirectionForward, id.HierarchicalReferences, ua.NodeClassObject|ua.NodeClassVariable|ua.NodeClassMethod)
		if err != nil {
			return false, err
		}
		var next []*place
		for i, references := range found {
			for _, r := range references {
				p := placeOf(r, level[i], names)
				if p == nil {
					continue
				}
				if r.ReferenceTypeID != nil && r.ReferenceTypeID.Namespace() == 0 && r.ReferenceTypeID.IntID() == id.HasProperty {
					level[i].property(p)
					continue
				}
				key := p.id.String()
				if seen[key] {
					continue
				}
				if len(seen) >= mostNodes {
					whole = false
					continue
				}
				seen[key] = true
				next = append(next, p)
			}
		}
		// What says what a variable means has been found only with its references.
		for _, p := range level {
			if p.parent != nil {
				visit(p)
			}
		}
		level = next
		whole = whole && (depth < deepestBrowse || len(next) == 0)
	}
	if !whole {
		for _, p := range level { // of which no more is looked at
			visit(p)
		}
	}
	return whole, nil
}

// placeOf is the node of a reference; nil for one that is no node of this server, and for
// the server's own object, which tells of itself.
func placeOf(r *ua.ReferenceDescription, parent *place, names []string) *place {
	if r == nil || r.NodeID == nil || r.NodeID.NodeID == nil || r.NodeID.ServerIndex != 0 || r.NodeID.NamespaceURI != "" || r.BrowseName == nil {
		return nil
	}
	p := &place{id: ua.NewNodeIDFromExpandedNodeID(r.NodeID), class: r.NodeClass, name: r.BrowseName.Name, parent: parent}
	if p.node = nodeOf(p.id, names); p.node == serverObject {
		return nil
	}
	p.path = append(append(make([]string, 0, len(parent.path)+1), parent.path...), word(p.name))
	return p
}

var serverObject = Node{kind: 'i', value: "2253"}

func (p *place) property(q *place) {
	if !properties[q.name] {
		return
	}
	if p.properties == nil {
		p.properties = map[string]*ua.NodeID{}
	}
	p.properties[q.name] = q.id
}

// word is a browse name as a word of a signal's name.
func word(name string) string {
	const first, others = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "0123456789_"
	text := strings.Map(func(r rune) rune {
		if strings.ContainsRune(first+others, r) {
			return r
		}
		return '_'
	}, name)
	if text == "" || !strings.ContainsRune(first, rune(text[0])) {
		text = "n" + text
	}
	return text
}
