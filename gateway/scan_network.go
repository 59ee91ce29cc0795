package gateway

import (
	"cmp"
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
func ScanNetwork(ctx context.Context, config gatewayconfig.Config, dir string, n discovery.Network, r discovery.Request, atOnce int, show func(NetworkProgress)) ([]discovery.Endpoint, error) {
	type place struct {
		number   uint64 // in the network
		endpoint discovery.Endpoint
	}
	var mu sync.Mutex
	var found []place
	progress := NetworkProgress{Of: n.Hosts()}
	todo := make(chan place)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for at := range todo {
				one := r
				one.Endpoint = at.endpoint.Endpoint
				e, err := Scan(ctx, config, dir, one, func(discovery.Progress) {})
				nobody := errors.Is(err, modbus.ErrUnreachable) && e.Asked == 0 || ctx.Err() != nil && len(e.Units) == 0
				if err != nil {
					e.Error = modbus.Printable([]byte(err.Error()))
				}
				mu.Lock()
				progress.Asked++
				progress.Found = nil
				if !nobody {
					found = append(found, place{at.number, e})
					progress.Found = &e
				}
				show(progress)
				mu.Unlock()
			}
		})
	}
	var number uint64
	for endpoint := range n.Endpoints() {
		number++
		select {
		case todo <- place{number, discovery.Endpoint{Endpoint: endpoint}}:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(todo)
	workers.Wait()
	slices.SortFunc(found, func(x, y place) int { return cmp.Compare(x.number, y.number) })
	list := []discovery.Endpoint{}
	for _, p := range found {
		list = append(list, p.endpoint)
	}
	return list, ctx.Err()
}
