package discovery

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/busbar/busbar/adapters/modbus"
)

// Network is the addresses of a network on which Modbus TCP may be spoken.
type Network struct {
	Prefix netip.Prefix
	Port   uint16
}

// ParseNetwork reads tcp://10.0.0.0/24 or tcp://10.0.0.0:1502/24. It reports false if
// the endpoint is something else, as it is with modbus.ParseEndpoint.
func ParseNetwork(endpoint string) (n Network, is bool, err error) {
	u, err := url.Parse(endpoint)
	bits, sized := strings.CutPrefix(pathOf(u), "/")
	if err != nil || modbus.Transport(u.Scheme) != modbus.TCP || !sized {
		return Network{}, false, nil
	}
	wrong := fmt.Errorf("%q, expected a network such as tcp://10.0.0.0/24", endpoint)
	n.Port = 502
	if port := u.Port(); port != "" {
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil || number == 0 {
			return Network{}, true, wrong
		}
		n.Port = uint16(number)
	}
	address, err := netip.ParseAddr(u.Hostname())
	if err != nil || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return Network{}, true, wrong
	}
	size, err := strconv.Atoi(bits)
	if err != nil {
		return Network{}, true, wrong
	}
	if n.Prefix, err = address.Prefix(size); err != nil {
		return Network{}, true, wrong
	}
	if n.Prefix.Addr() != address {
		return Network{}, true, fmt.Errorf("%q is an address in a network, expected the network's own, tcp://%s", endpoint, n.Prefix)
	}
	return n, true, nil
}

func pathOf(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.Path
}

// Hosts is how many addresses the network has that may be a device's.
func (n Network) Hosts() uint64 {
	free := n.Prefix.Addr().BitLen() - n.Prefix.Bits()
	switch {
	case free >= 63:
		return 1 << 63
	case free > 1 && n.Prefix.Addr().Is4():
		return 1<<free - 2 // without that of the network, and the broadcast
	}
	return 1 << free
}

// Endpoints is each of them in turn.
func (n Network) Endpoints() func(yield func(string) bool) {
	return func(yield func(string) bool) {
		at := n.Prefix.Addr()
		if at.Is4() && at.BitLen()-n.Prefix.Bits() > 1 {
			at = at.Next()
		}
		for range n.Hosts() {
			if !yield("tcp://" + netip.AddrPortFrom(at, n.Port).String()) {
				return
			}
			at = at.Next()
		}
	}
}
