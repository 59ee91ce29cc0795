package publisher

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/busbar/busbar/mqttconn"
)

// EdgeNodes are Sparkplug B edge nodes, whose devices are meters.
type EdgeNodes struct {
	Connection mqttconn.Config // client ids are its, with the names of the nodes behind it
	Group      string
	Nodes      int // edge-1, edge-2, …
	Meters         // of each of them: meter-1, meter-2, …
	// Named are the nodes instead, with meters of their own each.
	Named []Node
	// PrimaryHost is the host application that the nodes await before they are born, and die
	// without; "": none.
	PrimaryHost string
	Misbehave   []Misbehaviour
	// Truth gets a line of JSON for each value that is published: see Published. nil: nobody
	// does.
	Truth io.Writer
}

// Node is an edge node by its name, and its meters.
type Node struct {
	Name string
	Meters
}

// node is one of them, from 0.
func (c EdgeNodes) node(i int) Node {
	if c.Named != nil {
		return c.Named[i]
	}
	m := c.Meters
	m.others = i * c.Count
	return Node{fmt.Sprintf("edge-%d", i+1), m}
}

// count is how many there are.
func (c EdgeNodes) count() int {
	if c.Named != nil {
		return len(c.Named)
	}
	return c.Nodes
}

// Snippet is what a gateway reads them by.
func (c EdgeNodes) Snippet() string {
	host := c.PrimaryHost
	if host == "" {
		host = "busbar"
	}
	return fmt.Sprintf(`devices:
  - id: plant
    sparkplug: {broker: %q, host_id: %q, groups: [%q]}
`, c.Connection.Broker, host, c.Group)
}

// Run publishes until ctx ends, whatever becomes of the broker meanwhile, and then says
// that the nodes go. What the meters measure while nobody hears of it follows as values of
// the past. It fails if Truth does.
func (c EdgeNodes) Run(ctx context.Context, log *slog.Logger) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	truth := &truthLog{to: c.Truth, fail: fail}
	var nodes sync.WaitGroup
	for i := range c.count() {
		n := newEdgeNode(c, i, truth, log)
		nodes.Go(func() { n.run(ctx) })
	}
	nodes.Wait()
	return context.Cause(ctx)
}
