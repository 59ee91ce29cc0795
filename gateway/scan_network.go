package gateway

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/gateway/discovery"
	"github.com/busbar/busbar/gatewayconfig"
)

// NetworkProgress is where the scan of a network has come to.
type NetworkProgress struct {
	Asked, Of uint64              // addresses
	Found     *discovery.Endpoint // at the last of them, if somebody takes connections there
}

// ScanNetwork is Scan of every address of a network, so many of them at once. The
// request's endpoint isn't looked at. It fails only when ctx ends; what was found
// until then is there all the same, in the order of the addresses.
func ScanNetwork(ctx context.Context, config gatewayconfig.Config, n discovery.Network, r discovery.Request, atOnce int, show func(NetworkProgress)) ([]discovery.Endpoint, error) {
	var mu sync.Mutex
	places := map[string]int{} // where an endpoint is in the network
	found := []discovery.Endpoint{}
	progress := NetworkProgress{Of: n.Hosts()}
	todo := make(chan string)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for endpoint := range todo {
				one := r
				one.Endpoint = endpoint
				e, err := Scan(ctx, config, one, func(discovery.Progress) {})
				nobody := errors.Is(err, modbus.ErrUnreachable) && e.Asked == 0 || ctx.Err() != nil && len(e.Units) == 0
				if err != nil {
					e.Error = modbus.Printable([]byte(err.Error()))
				}
				mu.Lock()
				progress.Asked++
				progress.Found = nil
				if !nobody {
					found = append(found, e)
					progress.Found = &e
				}
				show(progress)
				mu.Unlock()
			}
		})
	}
	for endpoint := range n.Endpoints() {
		mu.Lock()
		places[endpoint] = len(places)
		mu.Unlock()
		select {
		case todo <- endpoint:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(todo)
	workers.Wait()
	slices.SortFunc(found, func(x, y discovery.Endpoint) int { return places[x.Endpoint] - places[y.Endpoint] })
	return found, ctx.Err()
}
