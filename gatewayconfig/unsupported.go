package gatewayconfig

// What the format has and this version hasn't: the key is refused, because a
// key that is accepted and does nothing would be believed.
const notYet = "not supported by this version, expected the key to be left out"

var unsupported = map[string]string{"iec104": notYet}

func (Serve) ExplainKey(key string) string { return unsupported[key] }
