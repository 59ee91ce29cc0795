package opcuaconn

import (
	"strings"
	"testing"

	"github.com/busbar/busbar/configfile"
)

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct{ src, want string }{
		"as little as possible": {"opcua: {endpoint: 'opc.tcp://10.0.0.30:4840'}", ""},
		"as documented": {`opcua:
  endpoint: opc.tcp://10.0.0.30/path
  security: {policy: Aes256_Sha256_RsaPss, mode: Sign, cert: gw.crt, key: gw.key, server_name: plc-7}
  trust: [monitor.der, trusted]
  username: busbar
  password_file: opcua.password
`, ""},
		"by certificate":      {"opcua: {endpoint: opc.tcp://plc-7, user_cert: user.der, user_key: user.key}", ""},
		"None on this host":   {"opcua: {endpoint: 'opc.tcp://[::1]:4840', security: {policy: None}}", ""},
		"None, if you say so": {"opcua: {endpoint: opc.tcp://plc-7, security: {policy: None}, insecure: true}", ""},
		"everything": {`opcua:
  endpoint: http://plc-7
  security: {policy: Basic256, mode: Encrypt, cert: gw.crt}
  trust: ['']
  username: "a\nb"
  user_cert: user.der
  password: secret
`, `k.yaml:1:1: opcua: username and password_file belong together, expected both or neither
    opcua:
    ^
k.yaml:1:1: opcua: user_cert and user_key belong together, expected both or neither
    opcua:
    ^
k.yaml:2:13: opcua.endpoint: "http://plc-7" is no endpoint, expected opc.tcp://host:port, with a path if the server has one
      endpoint: http://plc-7
                ^
k.yaml:3:3: opcua.security: cert and key belong together, expected both or neither
      security: {policy: Basic256, mode: Encrypt, cert: gw.crt}
      ^
k.yaml:3:22: opcua.security.policy: "Basic256", expected Basic256Sha256, Aes128_Sha256_RsaOaep, Aes256_Sha256_RsaPss or None
      security: {policy: Basic256, mode: Encrypt, cert: gw.crt}
                         ^
k.yaml:3:38: opcua.security.mode: "Encrypt", expected SignAndEncrypt, Sign or None
      security: {policy: Basic256, mode: Encrypt, cert: gw.crt}
                                         ^
k.yaml:4:11: opcua.trust[0]: it is empty, expected a file or a directory
      trust: ['']
              ^
k.yaml:5:13: opcua.username: "a\nb", expected at most 128 characters that can be printed
      username: "a\nb"
                ^
k.yaml:6:14: opcua.user_cert: a login by certificate beside one by name, expected one of the two
      user_cert: user.der
                 ^
k.yaml:7:3: opcua.password: a password never stands in a configuration; put it in a file and name it with password_file`},
		"None to another host": {"opcua: {endpoint: opc.tcp://plc-7, security: {policy: None}}", `k.yaml:1:55: opcua.security.policy: nothing would be encrypted, with a server that isn't on this machine, expected Basic256Sha256; insecure: true does it all the same
    opcua: {endpoint: opc.tcp://plc-7, security: {policy: None}}
                                                          ^`},
		"a mode that doesn't go with it": {"opcua: {endpoint: opc.tcp://plc-7, security: {mode: None}}", `k.yaml:1:53: opcua.security.mode: None doesn't go with the policy Basic256Sha256, expected the mode None with the policy None only
    opcua: {endpoint: opc.tcp://plc-7, security: {mode: None}}
                                                        ^`},
		"nothing": {"opcua: {}", `k.yaml:1:1: opcua.endpoint: the key is missing, expected a value
    opcua: {}
    ^`},
	} {
		t.Run(name, func(t *testing.T) {
			var into struct {
				OPCUA Config `yaml:"opcua,required"`
			}
			f, _ := configfile.Decode("k.yaml", []byte(c.src), &into)
			into.OPCUA.Validate(f, "opcua")
			got := ""
			if err := f.Err(); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestEndpointAddress(t *testing.T) {
	for endpoint, want := range map[string]string{
		"opc.tcp://plc-7":                "opc.tcp://plc-7:4840",
		"opc.tcp://plc-7/":               "opc.tcp://plc-7:4840",
		"opc.tcp://10.0.0.30:62541/milo": "opc.tcp://10.0.0.30:62541/milo",
		"opc.tcp://[fe80::1]:4840":       "opc.tcp://[fe80::1]:4840",
		"opc.tcp://plc-7:0":              "",
		"opc.tcp://plc-7:70000":          "",
		"opc.tcp://me:secret@plc-7":      "",
		"opc.tcp://":                     "",
		"opc.https://plc-7":              "",
		"plc-7:4840":                     "",
		"opc.tcp://plc-7?x":              "",
		"opc.tcp://plc-7/" + strings.Repeat("x", longestEndpoint): "",
	} {
		u, err := Config{Endpoint: endpoint}.address()
		if (err == nil) != (want != "") || err == nil && u.String() != want {
			t.Errorf("%s: %v, %v", endpoint, u, err)
		}
	}
}
