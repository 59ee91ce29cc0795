package opcua

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

// below is a reference to a node further down.
func below(node int, class ua.NodeClass) *ua.ReferenceDescription {
	name := fmt.Sprintf("V%d", node)
	return &ua.ReferenceDescription{
		ReferenceTypeID: ua.NewNumericNodeID(0, id.Organizes), IsForward: true, NodeID: &ua.ExpandedNodeID{NodeID: ua.NewNumericNodeID(0, uint32(firstFakeNode+node))},
		BrowseName: &ua.QualifiedName{Name: name}, DisplayName: ua.NewLocalizedText(name), NodeClass: class, TypeDefinition: &ua.ExpandedNodeID{NodeID: ua.NewTwoByteNodeID(0)},
	}
}

// newFakeTree is a server that has nodes below each other.
func newFakeTree(t *testing.T, children func(node int) []*ua.ReferenceDescription) *fake {
	const portion = 10_000
	var rest []*ua.ReferenceDescription // of one node only
	some := func() *ua.BrowseResult {
		r := &ua.BrowseResult{References: rest[:min(portion, len(rest))]}
		if rest = rest[len(r.References):]; len(rest) > 0 {
			r.ContinuationPoint = []byte{1}
		}
		return r
	}
	return newFake(t, func(_ *fake, r ua.Request) ua.Response {
		switch r := r.(type) {
		case *ua.BrowseRequest:
			res := &ua.BrowseResponse{}
			for _, n := range r.NodesToBrowse {
				rest = children(int(n.NodeID.IntID()) - firstFakeNode)
				res.Results = append(res.Results, some())
			}
			return res
		case *ua.BrowseNextRequest:
			return &ua.BrowseNextResponse{Results: []*ua.BrowseResult{some()}}
		}
		return nil
	})
}

// Of a server that has more than is looked at, that much is found.
func TestMoreThanIsLookedAt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		children func(node int) []*ua.ReferenceDescription
		found    int
	}{
		"deep": {func(node int) []*ua.ReferenceDescription {
			return []*ua.ReferenceDescription{below(node+1, ua.NodeClassObject)}
		}, deepestBrowse},
		"wide": {func(node int) (list []*ua.ReferenceDescription) {
			for n := range mostNodes + 1 {
				list = append(list, below(n+1, ua.NodeClassVariable))
			}
			return list
		}, mostNodes - 1},
	} {
		d := newFakeTree(t, c.children).device(0)
		d.Timeout = time.Minute
		l, err := dial(t.Context(), d, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Abort()
		from, _ := fakeNode(0).on(nil)
		found := 0
		whole, err := l.below(t.Context(), from, nil, func(*place) { found++ })
		if err != nil || whole || found != c.found {
			t.Errorf("%s: %d nodes, %v, %v", name, found, whole, err)
		}
	}
}

func twoVariables(node int) []*ua.ReferenceDescription {
	if node != 0 {
		return nil
	}
	return []*ua.ReferenceDescription{below(1, ua.NodeClassVariable), below(2, ua.NodeClassVariable)}
}

// What gets no id isn't monitored.
func TestSignalsWithoutIDs(t *testing.T) {
	t.Parallel()
	f := newFakeTree(t, twoVariables)
	d := f.device(0)
	d.Follow = []Follow{{Node: fakeNode(0)}}
	c := newCollector()
	c.refuses = func(found []adapters.Found, ids []telemetry.SignalID) error {
		for i := range found {
			if found[i].Name == "V2" {
				ids[i] = 0
			}
		}
		return nil
	}
	beginWith(t, d, c)
	f.await("which items it has", func() bool { return len(requests[*ua.CallRequest](f)) > 0 })
	f.mu.Lock()
	defer f.mu.Unlock()
	_, first := f.handles["i=10001"]
	_, second := f.handles["i=10002"]
	if !first || second {
		t.Errorf("%v are monitored", f.handles)
	}
}

// Ids that can't be had are asked for again, and the values that wait for them are
// delivered.
func TestIDsThatCantBeHadYet(t *testing.T) {
	t.Parallel()
	f := newFakeTree(t, twoVariables)
	d := f.device(0)
	d.Follow = []Follow{{Node: fakeNode(0)}}
	c := newCollector()
	tries := 0
	c.refuses = func([]adapters.Found, []telemetry.SignalID) error {
		if tries++; tries == 1 {
			return errors.New("the disk is full")
		}
		return nil
	}
	beginWith(t, d, c)
	f.await("items", func() bool { _, v1 := f.handles["i=10001"]; return v1 && len(f.waiting) == 2 })
	n := &ua.DataChangeNotification{MonitoredItems: []*ua.MonitoredItemNotification{{ClientHandle: f.handles["i=10001"], Value: stamped(7.0, time.Now())}}}
	f.tell(1, 1, n, modelChange())
	c.await(t, "its value", func() bool { return c.last(c.named("V1")).Value == telemetry.FloatValue(7) })
}
