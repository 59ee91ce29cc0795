package gatewayconfig

import (
	"errors"
	"net/netip"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/busbar/busbar/configfile"
)

// cardName is a network card's name as Linux has it.
var cardName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$`)

// maxNameServers is how many resolvers use.
const maxNameServers = 3

// checkNetwork checks the address of a flashed gateway.
func (k checker) checkNetwork() {
	n := k.config.Network
	address, err := netip.ParsePrefix(n.Address)
	usable := err == nil && address.Addr().Is4() && !address.Addr().IsUnspecified() && !address.Addr().IsMulticast() && !address.Addr().IsLoopback()
	if k.Has("network.address") && !usable {
		k.Errorf("network.address", "%q, expected an IPv4 address with its network's bits, such as 10.0.0.20/24", n.Address)
	}
	switch {
	case k.Has("network.dhcp") && n.DHCP && k.Has("network.address"):
		k.Errorf("network.dhcp", "network.address is given too, expected one of them")
	case k.Has("network.dhcp") && !n.DHCP && !k.Has("network.address"):
		k.Errorf("network.dhcp", "there is no network.address, expected one, or true")
	}
	for _, key := range []string{"gateway", "dns", "card"} {
		if k.Has("network."+key) && !k.Has("network.address") {
			k.Errorf("network."+key, "there is no network.address, and %s comes by DHCP then, expected both or neither", key)
		}
	}
	if k.Has("network.gateway") {
		router, err := netip.ParseAddr(n.Gateway)
		switch {
		case err != nil || !router.Is4():
			k.Errorf("network.gateway", "%q, expected an IPv4 address such as 10.0.0.1", n.Gateway)
		case usable && !address.Contains(router):
			k.Errorf("network.gateway", "%s isn't in the network %s, expected an address in it", router, address.Masked())
		}
	}
	if len(n.DNS) > maxNameServers {
		k.Errorf("network.dns", "%d servers, expected at most %d", len(n.DNS), maxNameServers)
	}
	for i, server := range n.DNS {
		if _, err := netip.ParseAddr(server); err != nil {
			k.Errorf(configfile.Item("network.dns", i), "%q, expected an address such as 10.0.0.1", server)
		}
	}
	if k.Has("network.card") && !cardName.MatchString(n.Card) {
		k.Errorf("network.card", "%q, expected a name such as eth0", n.Card)
	}
}

// ParseNetwork is the network of a file that may be wrong otherwise, to say over the network
// what is wrong with it. ok is false if its network can't be used, or isn't given.
func ParseNetwork(path string, src []byte) (n Network, ok bool) {
	c := defaults()
	f, _ := configfile.Decode(path, src, &c)
	if !f.Has("network") {
		return Network{}, false
	}
	newChecker(f, &c, filepath.Dir(path), configfile.Read).checkNetwork()
	wrong, _ := errors.AsType[configfile.Errors](f.Err())
	ok = !slices.ContainsFunc(wrong, func(e *configfile.Error) bool {
		return e.Path == "network" || strings.HasPrefix(e.Path, "network.") || e.Path == ""
	})
	return c.Network, ok
}

// Files are the files that the configuration names by names that are relative to its own
// directory, each once: keys, passwords, certificates, profiles. What the gateway makes
// itself isn't among them.
func (c Config) Files() []string {
	c.Gateway.Key, c.Buffer.Path = "", ""
	var files []string
	add := func(name string) {
		if name != "" && filepath.IsLocal(name) && !slices.Contains(files, name) {
			files = append(files, name)
		}
	}
	eachPath(reflect.ValueOf(c), add)
	for _, d := range c.Devices {
		if strings.HasSuffix(d.Profile, ".yaml") {
			add(d.Profile)
		}
	}
	return files
}

// eachPath calls add with every path in a value.
func eachPath(v reflect.Value, add func(string)) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			eachPath(v.Elem(), add)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			eachPath(v.Field(i), add)
		}
	case reflect.Slice:
		for i := range v.Len() {
			eachPath(v.Index(i), add)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			eachPath(v.MapIndex(key), add)
		}
	case reflect.String:
		if v.Type() == reflect.TypeFor[configfile.Path]() {
			add(v.String())
		}
	}
}
