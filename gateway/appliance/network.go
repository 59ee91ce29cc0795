//go:build linux

package appliance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"
)

const (
	askAgain   = 5 * time.Second // after nobody has answered
	lookAgain  = 5 * time.Second // for network cards
	leastLease = time.Minute
)

// startNetwork brings up every Ethernet card that there is or comes, with what DHCP says.
func (m *Machine) startNetwork(ctx context.Context) {
	m.links.Go(func() {
		known := map[int]bool{}
		for {
			list, err := netlink.LinkList()
			if err != nil {
				m.log.Error("network cards can't be listed", "error", err)
			}
			for _, link := range list {
				a := link.Attrs()
				switch {
				case known[a.Index]:
					continue
				case a.Flags&net.FlagLoopback != 0:
					err = netlink.LinkSetUp(link)
				case a.EncapType == "ether":
					if err = netlink.LinkSetUp(link); err == nil {
						m.links.Go(func() { m.follow(ctx, link) })
					}
				}
				if err != nil {
					m.log.Error("a network card can't be used", "card", a.Name, "error", err)
				}
				known[a.Index] = true
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(lookAgain):
			}
		}
	})
}

// follow keeps a card's lease until ctx ends.
func (m *Machine) follow(ctx context.Context, link netlink.Link) {
	name := link.Attrs().Name
	var had string
	for ctx.Err() == nil {
		next, ip, err := m.lease(ctx, link)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && had != "-":
			m.log.Warn("no address by DHCP yet", "card", name, "error", err)
			had = "-"
		case err == nil && had != ip:
			m.log.Info("an address by DHCP", "card", name, "address", ip)
			had = ip
		}
		select {
		case <-ctx.Done():
		case <-time.After(next):
		}
	}
}

// lease asks for an address, and says when to ask again.
func (m *Machine) lease(ctx context.Context, link netlink.Link) (again time.Duration, address string, err error) {
	client, err := nclient4.New(link.Attrs().Name)
	if err != nil {
		return askAgain, "", err
	}
	defer client.Close()
	lease, err := client.Request(ctx, dhcpv4.WithOption(dhcpv4.OptClassIdentifier("busbar-gateway")))
	if err != nil {
		return askAgain, "", err
	}
	return max(lease.ACK.IPAddressLeaseTime(time.Hour)/2, leastLease), lease.ACK.YourIPAddr.String(), apply(link, lease.ACK)
}

// apply has a card use what a server said, and nothing else.
func apply(link netlink.Link, ack *dhcpv4.DHCPv4) error {
	address := &netlink.Addr{IPNet: &net.IPNet{IP: ack.YourIPAddr, Mask: ack.SubnetMask()}}
	if address.Mask == nil {
		return fmt.Errorf("%s comes without a subnet mask", ack.YourIPAddr)
	}
	before, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	if err := netlink.AddrReplace(link, address); err != nil {
		return err
	}
	for _, b := range before {
		if !b.Equal(*address) {
			err = errors.Join(err, netlink.AddrDel(link, &b))
		}
	}
	if router := ack.Router(); len(router) > 0 {
		err = errors.Join(err, netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: router[0], Priority: link.Attrs().Index}))
	}
	if servers := ack.DNS(); len(servers) > 0 {
		err = errors.Join(err, os.WriteFile("/etc/resolv.conf", resolver(servers), 0o644))
	}
	return err
}

func resolver(servers []net.IP) []byte {
	var lines strings.Builder
	for _, s := range servers {
		fmt.Fprintf(&lines, "nameserver %s\n", s)
	}
	return []byte(lines.String())
}
