package load

import (
	"context"
	"sync"
)

// Each makes what the meters of customers count on days from the one given, on
// as many processors as workers, and calls sink with one customer after another in their
// order, whatever workers is. days is used again when sink returns. It stops at
// sink's first error, or when ctx ends.
func (l *Loads) Each(ctx context.Context, customers []Customer, from, days, workers int, sink func(index int, days []Day) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type made struct {
		index int
		days  []Day
		ready chan struct{}
	}
	// What is made and waits is bounded by how many there are of these.
	free := make(chan *made, 2*max(workers, 1))
	for range cap(free) {
		free <- &made{days: make([]Day, days)}
	}
	todo, inOrder := make(chan *made), make(chan *made, cap(free))
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()
	for range max(workers, 1) {
		working.Go(func() {
			for m := range todo {
				for d := range m.days {
					l.Metered(&customers[m.index], from+d, &m.days[d])
				}
				close(m.ready)
			}
		})
	}
	working.Go(func() {
		defer close(inOrder)
		defer close(todo)
		for i := range customers {
			select {
			case <-ctx.Done():
				return
			case m := <-free:
				m.index, m.ready = i, make(chan struct{})
				inOrder <- m
				todo <- m
			}
		}
	})
	for m := range inOrder {
		<-m.ready
		if err := sink(m.index, m.days); err != nil {
			return err
		}
		free <- m
	}
	return ctx.Err()
}
