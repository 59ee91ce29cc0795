package mqttconn

import "context"

// Arrivals is what a connection receives, for who waits for other things too.
type Arrivals struct {
	// Messages are those that have come together; the slice is good until Next. It is
	// closed when the connection has failed.
	Messages <-chan []Received
	next     chan struct{}
	err      error
}

// Arrivals receives until ctx ends, and then says nothing more.
func (c *Conn) Arrivals(ctx context.Context) *Arrivals {
	came := make(chan []Received)
	a := &Arrivals{Messages: came, next: make(chan struct{}, 1)} // nobody may be there to be told
	go func() {
		for {
			messages, err := c.Receive(ctx)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				a.err = err
				close(came)
				return
			}
			select {
			case came <- messages:
			case <-ctx.Done():
				return
			}
			select {
			case <-a.next:
			case <-ctx.Done():
				return
			}
		}
	}()
	return a
}

// Next has more be received, once for what came. It doesn't wait.
func (a *Arrivals) Next() { a.next <- struct{}{} }

// Err is why Messages is closed.
func (a *Arrivals) Err() error { return a.err }
