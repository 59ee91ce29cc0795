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

	"github.com/busbar/busbar/gatewayconfig"
)

const (
	askAgain   = 5 * time.Second // after nobody has answered
	lookAgain  = 5 * time.Second // for network cards
	leastLease = time.Minute
)

// startNetwork brings up every Ethernet card that there is or comes: one with the address of
// the configuration, if that has one, and the others with what DHCP says. name is what the
// machine asks for an address by.
func (m *Machine) startNetwork(ctx context.Context, n gatewayconfig.Network, name string) {
	m.follows.Go(func() {
		known := map[int]bool{}
		given := n.Address == "" // the address, to a card
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
					if err = netlink.LinkSetUp(link); err != nil {
						break
					}
					if !given && (n.Card == "" || n.Card == a.Name) {
						given = true
						if err = assign(link, n); err == nil {
							m.log.Info("the address of the configuration", "card", a.Name, "address", n.Address)
						}
						break
					}
					m.follows.Go(func() { m.follow(ctx, link, name, n.Address == "") })
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

// follow keeps a card's lease until ctx ends. If it leads, the lease also says where the
// router and the servers of names are.
func (m *Machine) follow(ctx context.Context, link netlink.Link, machine string, leads bool) {
	name := link.Attrs().Name
	var had string
	for ctx.Err() == nil {
		next, ip, err := m.lease(ctx, link, machine, leads)
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
func (m *Machine) lease(ctx context.Context, link netlink.Link, machine string, leads bool) (again time.Duration, address string, err error) {
	client, err := nclient4.New(link.Attrs().Name)
	if err != nil {
		return askAgain, "", err
	}
	defer client.Close()
	options := []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptClassIdentifier("busbar-gateway"))}
	if machine != "" {
		options = append(options, dhcpv4.WithOption(dhcpv4.OptHostName(machine)))
	}
	lease, err := client.Request(ctx, options...)
	if err != nil {
		return askAgain, "", err
	}
	return max(lease.ACK.IPAddressLeaseTime(time.Hour)/2, leastLease), lease.ACK.YourIPAddr.String(), apply(link, lease.ACK, leads)
}

// assign gives a card the address of the configuration.
func assign(link netlink.Link, n gatewayconfig.Network) error {
	address, err := netlink.ParseAddr(n.Address)
	if err != nil {
		return err
	}
	if err := netlink.AddrReplace(link, address); err != nil {
		return err
	}
	if n.Gateway != "" {
		err = netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.ParseIP(n.Gateway)})
	}
	if len(n.DNS) > 0 {
		err = errors.Join(err, os.WriteFile("/etc/resolv.conf", resolver(n.DNS), 0o644))
	}
	return err
}

// apply has a card use what a server said, and nothing else.
func apply(link netlink.Link, ack *dhcpv4.DHCPv4, leads bool) error {
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
	if !leads {
		return err
	}
	if router := ack.Router(); len(router) > 0 {
		err = errors.Join(err, netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: router[0], Priority: link.Attrs().Index}))
	}
	if servers := ack.DNS(); len(servers) > 0 {
		var list []string
		for _, s := range servers {
			list = append(list, s.String())
		}
		err = errors.Join(err, os.WriteFile("/etc/resolv.conf", resolver(list), 0o644))
	}
	return err
}

func resolver(servers []string) []byte {
	var lines strings.Builder
	for _, s := range servers {
		fmt.Fprintf(&lines, "nameserver %s\n", s)
	}
	return []byte(lines.String())
}
