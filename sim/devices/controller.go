package devices

import (
	"fmt"
	"slices"
	"sync"

	"github.com/busbar/busbar/profile"
	"github.com/busbar/busbar/telemetry"
)

// Controller is a unit that shows what it is told of the signals of a profile: a bay
// controller, for instance. It is safe for concurrent use.
type Controller struct {
	product *Product
	config  ControllerConfig

	mu     sync.Mutex
	values image
}

// ControllerConfig says what a controller shows, and does.
type ControllerConfig struct {
	Profile profile.Profile
	// Value is what a signal is at present, false if there is none. It is called with the
	// names of the profile, from many goroutines.
	Value func(signal string) (telemetry.Value, bool)
	// Operate does what is written into a coil of the profile, and returns 0 or why it
	// isn't done. nil: nothing can be written.
	Operate func(signal string, on bool) Exception
}

// NewController fails if the profile can't be shown.
func NewController(c ControllerConfig) (*Controller, error) {
	p, err := NewProduct(Part{Profile: c.Profile})
	if err != nil {
		return nil, err
	}
	for _, s := range p.shown {
		if s.exponent != 0 {
			return nil, fmt.Errorf("signal %s has a factor, which a controller can't show", s.name)
		}
	}
	return &Controller{product: p, config: c, values: p.newImage()}, nil
}

// Identification implements Identified.
func (c *Controller) Identification() []string { return c.product.identification }

// Read implements Unit.
func (c *Controller) Read(table Table, address, quantity int, dst []byte) Exception {
	if !c.product.has(table, address, quantity) {
		return IllegalAddress
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.show()
	c.product.read(c.values, table, address, quantity, dst)
	return 0
}

func (c *Controller) show() {
	for i := range c.product.shown {
		s := &c.product.shown[i]
		v, is := c.config.Value(s.name)
		s.put(v, is, c.product, c.values)
	}
}

// Change implements Changer. Each coil that is written is operated, also if it shows
// that value already.
func (c *Controller) Change(table Table, address, quantity int, change func(data []byte)) Exception {
	if table != Coils || c.config.Operate == nil || !c.product.has(table, address, quantity) {
		return IllegalAddress
	}
	data := make([]byte, sizeOf(table, quantity))
	if e := c.Read(table, address, quantity, data); e != 0 {
		return e
	}
	change(data)
	var operates []func() Exception
	for i := range quantity {
		at := slices.IndexFunc(c.product.shown, func(s shown) bool { return s.table == Coils && int(s.point.Address) == address+i })
		if at < 0 {
			return IllegalAddress
		}
		on := data[i/8]>>(i%8)&1 == 1
		operates = append(operates, func() Exception { return c.config.Operate(c.product.shown[at].name, on) })
	}
	for _, operate := range operates {
		if e := operate(); e != 0 {
			return e
		}
	}
	return 0
}
