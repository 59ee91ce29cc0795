package transformer

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/server"
	"github.com/gopcua/opcua/ua"
)

// Namespace is that of the monitors' nodes.
const Namespace = "urn:busbar:sim:transformers"

// refresh is how often the values change.
const refresh = time.Second

// Config says what is played.
type Config struct {
	Listen       string                                   // host:port
	Transformers int                                      // T1, T2, …, unless they have names
	Names        []string                                 // of all of them
	Load         func(since time.Duration, n int) float64 // of the n-th one, from 0 on
	Speed        float64                                  // seconds of theirs that pass in a second
	// Clock is the time since the midnight before the start, whatever Speed says, and may
	// be nil. The transformers begin as warm as they get in a day of the load that they have then.
	Clock func() time.Duration
}

// name is what a transformer is called, from 0.
func (c Config) name(n int) string {
	if c.Names != nil {
		return c.Names[n]
	}
	return fmt.Sprintf("T%d", n+1)
}

// Server is one OPC UA server with the monitors of transformers. It encrypts nothing,
// and everybody may read. It is gopcua's, which knows neither history nor events.
type Server struct {
	config Config
	server *server.Server

	mu     sync.Mutex
	models []*Model
	at     time.Time // of the values
}

// New makes a server that Run runs.
func New(c Config) (*Server, error) {
	host, text, err := net.SplitHostPort(c.Listen)
	port, portErr := strconv.ParseUint(text, 10, 16)
	if err != nil || portErr != nil || host == "" || port == 0 {
		return nil, fmt.Errorf("%q, expected host:port", c.Listen)
	}
	s := &Server{config: c, at: time.Now()}
	s.server = server.New(server.EndPoint(host, int(port)), server.ServerName("Busbar's transformer monitors"), server.ProductName("busbar-sim"),
		server.EnableSecurity("None", ua.MessageSecurityModeNone), server.EnableAuthMode(ua.UserTokenTypeAnonymous),
		server.SetLogger(slog.New(slog.DiscardHandler))) // it has much to tell about its own address space
	space := server.NewNodeNameSpace(s.server, Namespace)
	root, err := s.server.Namespace(0)
	if err != nil {
		return nil, err
	}
	for n := range c.Transformers {
		m := NewModel(func(since time.Duration) float64 { return c.Load(since, n) })
		if c.Clock != nil {
			m.warm(c.Clock())
		}
		s.models = append(s.models, m)
		name := c.name(n)
		object := space.AddNode(server.NewNode(ua.NewStringNodeID(space.ID(), name), attributes(space.ID(), name, ua.NodeClassObject), nil, nil))
		root.Objects().AddRef(object, id.Organizes, true)
		for _, v := range variables {
			about := attributes(space.ID(), v.name, ua.NodeClassVariable)
			about[ua.AttributeIDDataType] = server.DataValueFromValue(ua.NewNumericNodeID(0, v.kind))
			about[ua.AttributeIDValueRank] = server.DataValueFromValue(int32(-1))
			for _, access := range []ua.AttributeID{ua.AttributeIDAccessLevel, ua.AttributeIDUserAccessLevel} {
				about[access] = server.DataValueFromValue(byte(ua.AccessLevelTypeCurrentRead))
			}
			node := space.AddNode(server.NewNode(ua.NewStringNodeID(space.ID(), name+"."+v.name), about, nil, s.value(m, v.of)))
			object.AddRef(node, id.HasComponent, true)
		}
	}
	return s, nil
}

// attributes are those that every node has.
func attributes(space uint16, name string, class ua.NodeClass) server.Attributes {
	return server.Attributes{
		ua.AttributeIDNodeClass:   server.DataValueFromValue(uint32(class)),
		ua.AttributeIDBrowseName:  server.DataValueFromValue(&ua.QualifiedName{NamespaceIndex: space, Name: name}),
		ua.AttributeIDDisplayName: server.DataValueFromValue(ua.NewLocalizedText(name)),
	}
}

// variable is one of those of each transformer.
type variable struct {
	name string
	kind uint32 // of its data type
	of   func(State) any
}

var variables = []variable{
	{"Load", id.Double, func(s State) any { return s.Load }},
	{"Ambient", id.Double, func(s State) any { return s.Ambient }},
	{"TopOil", id.Double, func(s State) any { return s.TopOil }},
	{"HotSpot", id.Double, func(s State) any { return s.HotSpot }},
	{"Tap", id.Int32, func(s State) any { return s.Tap }},
	{"Fans", id.Boolean, func(s State) any { return s.Fans }},
	{"Alarm", id.Boolean, func(s State) any { return s.Alarm }},
}

// value is what a variable shows.
func (s *Server) value(m *Model, of func(State) any) func() *ua.DataValue {
	return func() *ua.DataValue {
		s.mu.Lock()
		defer s.mu.Unlock()
		return &ua.DataValue{EncodingMask: ua.DataValueValue | ua.DataValueSourceTimestamp | ua.DataValueServerTimestamp,
			Value: ua.MustVariant(of(m.State)), SourceTimestamp: s.at, ServerTimestamp: time.Now()}
	}
}

// URL is where the server is reached.
func (s *Server) URL() string { return "opc.tcp://" + s.config.Listen }

// Snippet is how a gateway reads the first transformer.
func (s *Server) Snippet() string {
	return fmt.Sprintf(`devices:
  - id: t1
    opcua: {endpoint: "%s", security: {policy: None}}
    signals:
      - {name: TopOilTmp, node: "nsu=%s;s=T1.TopOil", unit: Cel}
      - {name: HotSpotTmp, node: "nsu=%s;s=T1.HotSpot", unit: Cel}
`, s.URL(), Namespace, Namespace)
}

// Run plays until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	if err := s.server.Start(ctx); err != nil {
		return fmt.Errorf("listen on %s: %w", s.config.Listen, err)
	}
	defer s.server.Close()
	before := s.values()
	for tick := time.NewTicker(refresh); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return nil
		case <-tick.C:
		}
		s.mu.Lock()
		s.at = time.Now()
		for _, m := range s.models {
			if s.config.Clock == nil {
				m.Advance(time.Duration(float64(refresh) * s.config.Speed))
			} else if by := s.config.Clock() - m.since; by > 0 {
				m.Advance(by)
			}
		}
		s.mu.Unlock()
		now := s.values()
		for i := range now {
			if now[i] != before[i] {
				n, v := i/len(variables), variables[i%len(variables)]
				s.server.ChangeNotification(ua.NewStringNodeID(1, s.config.name(n)+"."+v.name))
			}
		}
		before = slices.Clone(now)
	}
}

// values are those of all variables.
func (s *Server) values() []any {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []any
	for _, m := range s.models {
		for _, v := range variables {
			all = append(all, v.of(m.State))
		}
	}
	return all
}
