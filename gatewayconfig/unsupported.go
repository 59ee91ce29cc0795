package gatewayconfig

// What the format has and this version hasn't: the key is refused, because a
// key that is accepted and does nothing would be believed.
const notYet = "not supported by this version, expected the key to be left out"

const otherProtocol = "this version reads devices by modbus, nut and gpio only"

var protocolsToCome = []string{"opcua", "mqtt", "sparkplug", "iec104"}

var unsupported = struct{ config, serve, device map[string]string }{
	config: map[string]string{"network": notYet},
	serve:  map[string]string{"iec104": notYet, "sparkplug": notYet},
	device: map[string]string{"opcua": otherProtocol, "mqtt": otherProtocol, "sparkplug": otherProtocol, "iec104": otherProtocol},
}

func (Config) ExplainKey(key string) string { return unsupported.config[key] }
func (Serve) ExplainKey(key string) string  { return unsupported.serve[key] }
func (Device) ExplainKey(key string) string { return unsupported.device[key] }
