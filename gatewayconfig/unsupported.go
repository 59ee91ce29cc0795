package gatewayconfig

import "github.com/busbar/busbar/profile"

// What the format has and this version hasn't: the key is refused, because a
// key that is accepted and does nothing would be believed.
const notYet = "not supported by this version, expected the key to be left out"

var protocolsToCome = []string{"iec104"}

var unsupported = struct{ config, serve, device map[string]string }{
	config: map[string]string{"network": notYet},
	serve:  map[string]string{"iec104": notYet},
	device: map[string]string{"iec104": profile.OtherProtocol},
}

func (Config) ExplainKey(key string) string { return unsupported.config[key] }
func (Serve) ExplainKey(key string) string  { return unsupported.serve[key] }
func (Device) ExplainKey(key string) string { return unsupported.device[key] }
