package cloud

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/busbar/busbar/cloud/access"
	"github.com/busbar/busbar/cloud/oidc"
	"github.com/busbar/busbar/configfile"
)

// OpenID is an OpenID Connect provider that people sign in by, beside the users that
// busbar-cloud user makes. It is asked when somebody signs in, and need not be reachable
// before.
type OpenID struct {
	// What people call the provider, which the sign-in page says. Example: Example ID.
	Name string `yaml:"name,required"`

	// The provider's issuer identifier, letter by letter. Only one on this machine may be
	// without TLS. Example: https://id.example/realms/grid.
	Issuer string `yaml:"issuer,required"`

	// What the provider calls this console. Example: busbar.
	ClientID string `yaml:"client_id,required"`

	// The file of the secret that the provider has given it; a line break at its end
	// doesn't count. It is read at each sign-in. Example: oidc.secret.
	ClientSecretFile configfile.Path `yaml:"client_secret_file,required"`

	// Where browsers reach the console. The provider has to know this address followed by
	// /api/v1/session/oidc/callback as the one to send people back to, and by / as the one
	// after signing out. Example: https://busbar.example.
	ConsoleURL string `yaml:"console_url,required"`

	// What is asked for, openid among it. Default: [openid, profile].
	Scopes []string `yaml:"scopes"`

	// The claim that says what somebody is called here, of 63 characters at most. It
	// needn't be theirs alone: who they are is the issuer's subject. Default:
	// preferred_username.
	NameClaim string `yaml:"name_claim"`

	// The claim, a text or a list of texts, that says what somebody may: in the ID token,
	// or else in UserInfo. One within others is given by its path. Default: groups.
	// Example: realm_access.roles.
	RoleClaim string `yaml:"role_claim"`

	// What a value of that claim is worth. The first entry that somebody has the value of
	// counts, and no other.
	Roles []OpenIDRole `yaml:"roles"`

	// What those may who have none of the values. Default: nothing, they aren't let in.
	Default *OpenIDGrant `yaml:"default"`

	// How long somebody stays signed in at most, and so how long somebody may go on who has
	// been taken away at the provider, from 5m to 16h. Default: 8h.
	Session configfile.Duration `yaml:"session"`

	// The certificate authorities that the provider's certificate must come from, in PEM.
	// Default: those of the operating system. Example: id-ca.crt.
	CA configfile.Path `yaml:"ca"`
}

// OpenIDRole is what one value of the role claim is worth.
type OpenIDRole struct {
	// The value, letter by letter. Example: grid-operators.
	Value string `yaml:"value,required"`

	// viewer, operator, engineer or admin.
	Role string `yaml:"role,required"`

	// The zones whose gateways they see, or ['*'] for all. Example: [north, south].
	Zones []string `yaml:"zones,required"`
}

// OpenIDGrant is a role in zones.
type OpenIDGrant struct {
	// viewer, operator, engineer or admin.
	Role string `yaml:"role,required"`

	// The zones whose gateways they see, or ['*'] for all. Example: [north, south].
	Zones []string `yaml:"zones,required"`
}

const (
	shortestOpenID = 5 * time.Minute
	longestOpenID  = 16 * time.Hour
)

// SetDefaults is called before the section is read.
func (o *OpenID) SetDefaults() {
	o.Scopes, o.NameClaim, o.RoleClaim = []string{"openid", "profile"}, "preferred_username", "groups"
	o.Session = configfile.Duration(8 * time.Hour)
}

// ExplainKey refuses a secret that stands in the configuration itself.
func (OpenID) ExplainKey(key string) string {
	if key == "client_secret" {
		return "a secret never stands in a configuration; put it in a file and name it with client_secret_file"
	}
	return ""
}

func (o OpenID) check(f *configfile.File, c Console) {
	const at = "console.oidc"
	if !c.SignIn {
		f.Errorf(at, "needs sign_in: true beside it")
	}
	if f.Has(at+".name") && (o.Name == "" || utf8.RuneCountInString(o.Name) > 40 || strings.ContainsFunc(o.Name, func(r rune) bool { return r < ' ' })) {
		f.Errorf(at+".name", "%q, expected 1 to 40 characters", o.Name)
	}
	if f.Has(at + ".issuer") {
		if err := oidc.CheckURL(o.Issuer); err != nil {
			f.Errorf(at+".issuer", "%v", err)
		} else if strings.Contains(o.Issuer, "?") {
			f.Errorf(at+".issuer", "has a query, which no issuer has")
		}
	}
	for _, key := range []struct{ path, value string }{{"client_id", o.ClientID}, {"client_secret_file", string(o.ClientSecretFile)}, {"name_claim", o.NameClaim}, {"role_claim", o.RoleClaim}} {
		if f.Has(at+"."+key.path) && key.value == "" {
			f.Errorf(at+"."+key.path, "is empty")
		}
	}
	o.checkConsole(f, at+".console_url", c)
	if !slices.Contains(o.Scopes, "openid") {
		f.Errorf(at+".scopes", "lacks openid, without which it is no OpenID Connect")
	}
	for i, scope := range o.Scopes {
		if scope == "" || strings.ContainsFunc(scope, func(r rune) bool { return r <= ' ' || r == '"' || r == '\\' || r > '~' }) {
			f.Errorf(configfile.Item(at+".scopes", i), "%q is no scope", scope)
		}
	}
	for i, r := range o.Roles {
		item := configfile.Item(at+".roles", i)
		if f.Has(item+".value") && r.Value == "" {
			f.Errorf(item+".value", "is empty")
		}
		if j := slices.IndexFunc(o.Roles, func(other OpenIDRole) bool { return other.Value == r.Value }); r.Value != "" && j < i {
			f.Errorf(item+".value", "%q is roles[%d] already, and this one would never count", r.Value, j)
		}
		OpenIDGrant{r.Role, r.Zones}.check(f, item)
	}
	if o.Default != nil {
		o.Default.check(f, at+".default")
	}
	if len(o.Roles) == 0 && o.Default == nil && !f.Broken(at) {
		f.Errorf(at, "has neither roles nor a default: nobody would be let in")
	}
	if d := time.Duration(o.Session); d < shortestOpenID || d > longestOpenID {
		f.Errorf(at+".session", "%s is out of range, expected 5m to 16h", o.Session)
	}
}

func (o OpenID) checkConsole(f *configfile.File, path string, c Console) {
	if !f.Has(path) {
		return
	}
	if err := oidc.CheckURL(o.ConsoleURL); err != nil {
		f.Errorf(path, "%v", err)
		return
	}
	u, err := url.Parse(o.ConsoleURL)
	switch {
	case err != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
		f.Errorf(path, "%q has a path or a query, expected an address such as https://busbar.example", o.ConsoleURL)
	case u.Scheme == "http" && c.TLS != nil:
		f.Errorf(path, "%q is without TLS, and the console has tls", o.ConsoleURL)
	case u.Scheme == "https" && c.TLS == nil:
		f.Errorf(path, "%q is with TLS, and the console has no tls", o.ConsoleURL)
	}
}

func (g OpenIDGrant) check(f *configfile.File, at string) {
	if f.Has(at + ".role") {
		if _, err := access.ParseRole(g.Role); err != nil {
			f.Errorf(at+".role", "%v", err)
		}
	}
	if f.Has(at + ".zones") {
		if _, err := access.ParseZones(strings.Join(g.Zones, ",")); err != nil {
			f.Errorf(at+".zones", "%v", err)
		}
	}
}

// openOpenID reads the files that its configuration names.
func (c *Cloud) openOpenID() error {
	o := c.config.Console.OIDC
	if o == nil {
		return nil
	}
	config := oidc.Config{Name: o.Name, Issuer: o.Issuer, ClientID: o.ClientID, SecretFile: o.ClientSecretFile.In(c.options.Dir), Scopes: o.Scopes,
		CA: o.CA.In(c.options.Dir), Console: o.ConsoleURL, NameClaim: o.NameClaim, RoleClaim: o.RoleClaim, Session: time.Duration(o.Session), Logger: c.log}
	for _, r := range o.Roles {
		config.Grants = append(config.Grants, oidc.Grant{Value: r.Value, Role: r.Role, Zones: strings.Join(r.Zones, ",")})
	}
	if d := o.Default; d != nil {
		config.Default = &oidc.Grant{Role: d.Role, Zones: strings.Join(d.Zones, ",")}
	}
	provider, err := oidc.New(config)
	if err != nil {
		return fmt.Errorf("cloud: console: %w", err)
	}
	c.console.access.UseOIDC(provider)
	return nil
}
