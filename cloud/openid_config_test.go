package cloud

import (
	"strings"
	"testing"
	"time"
)

func TestOpenIDConfigIsChecked(t *testing.T) {
	const base = `
console:
  listen: 127.0.0.1:8080
  sign_in: true
  oidc:
    name: Example ID
    issuer: https://id.example/realms/grid
    client_id: busbar
    client_secret_file: oidc.secret
    console_url: http://127.0.0.1:8080
    roles: [{value: grid-operators, role: operator, zones: [north]}]
log: {embedded: {listen: 127.0.0.1:9092, path: log}}
store: {path: cloud.db}
`
	const tls = "\n  tls: {cert: a.crt, key: a.key}"
	for _, c := range []struct{ old, new, want string }{
		{"", "", ""},
		{"sign_in: true", "sign_in: false", "console.oidc: needs sign_in: true"},
		{"https://id.example/realms/grid", "http://127.0.0.1:8180/realms/grid", ""},
		{"https://id.example/realms/grid", "http://[::1]:8180", ""},
		{"https://id.example/realms/grid", "http://id.example", "console.oidc.issuer: is another machine without TLS"},
		{"https://id.example/realms/grid", "id.example", "console.oidc.issuer: no URL"},
		{"https://id.example/realms/grid", "https://ana:s3cret@id.example", "console.oidc.issuer: has a user's name"},
		{"https://id.example/realms/grid", "https://id.example/?tenant=1", "console.oidc.issuer: has a query"},
		{"https://id.example/realms/grid", "'https://id.example/#x'", "console.oidc.issuer: has a fragment"},
		{"name: Example ID", "name: ''", `console.oidc.name: "", expected 1 to 40`},
		{"    name: Example ID\n", "", "console.oidc.name: the key is missing"},
		{"client_id: busbar", "client_id: ''", "console.oidc.client_id: is empty"},
		{"client_secret_file: oidc.secret", "client_secret: s3cret", "a secret never stands in a configuration"},
		{"client_secret_file: oidc.secret", "client_secret_file: ''", "console.oidc.client_secret_file: is empty"},
		{"http://127.0.0.1:8080\n", "http://busbar.example\n", "console.oidc.console_url: is another machine without TLS"},
		{"http://127.0.0.1:8080\n", "https://busbar.example\n", "is with TLS, and the console has no tls"},
		{"sign_in: true", "sign_in: true" + tls, "is without TLS, and the console has tls"},
		{"http://127.0.0.1:8080\n", "http://127.0.0.1:8080/console\n", "has a path or a query"},
		{"http://127.0.0.1:8080\n", "http://127.0.0.1:8080/\n", ""},
		{"name: Example ID", "name: Example ID\n    scopes: [profile]", "console.oidc.scopes: lacks openid"},
		{"name: Example ID", "name: Example ID\n    scopes: [openid, 'a b']", `console.oidc.scopes[1]: "a b" is no scope`},
		{"name: Example ID", "name: Example ID\n    session: 1m", "console.oidc.session: 1m is out of range, expected 5m to 16h"},
		{"name: Example ID", "name: Example ID\n    session: 17h", "console.oidc.session: 17h is out of range"},
		{"name: Example ID", "name: Example ID\n    role_claim: ''", "console.oidc.role_claim: is empty"},
		{"role: operator", "role: boss", `console.oidc.roles[0].role: "boss" is no role`},
		{"zones: [north]", "zones: ['north,*']", `console.oidc.roles[0].zones: "*" is no zone`},
		{"zones: [north]", "zones: ['*']", ""},
		{"zones: [north]", "zones: []", `console.oidc.roles[0].zones: "" is no zone`},
		{"value: grid-operators", "value: ''", "console.oidc.roles[0].value: is empty"},
		{"[{value", "[{value: grid-operators, role: viewer, zones: [north]}, {value", `console.oidc.roles[1].value: "grid-operators" is roles[0] already`},
		{"    roles: [{value: grid-operators, role: operator, zones: [north]}]\n", "", "console.oidc: has neither roles nor a default"},
		{"roles: [{value: grid-operators, role: operator, zones: [north]}]", "default: {role: viewer, zones: [north]}", ""},
		{"roles: [{value: grid-operators, role: operator, zones: [north]}]", "default: {role: viewer}", "console.oidc.default.zones: the key is missing"},
	} {
		text := strings.Replace(base, c.old, c.new, 1)
		_, err := ParseConfig("cloud.yaml", []byte(text))
		switch {
		case err != nil && strings.Contains(err.Error(), "s3cret@"):
			t.Errorf("%s: the error tells it: %v", c.new, err)
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.new, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "cloud.yaml:")):
			t.Errorf("%s: %v, want %s", c.new, err, c.want)
		}
	}
	c, err := ParseConfig("cloud.yaml", []byte(base))
	if o := c.Console.OIDC; err != nil || o.NameClaim != "preferred_username" || o.RoleClaim != "groups" || strings.Join(o.Scopes, " ") != "openid profile" ||
		time.Duration(o.Session) != 8*time.Hour || o.Default != nil {
		t.Errorf("%+v, %v", o, err)
	}
}
