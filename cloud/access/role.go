// Package access knows who asks the cloud for something, and what they may.
package access

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/busbar/busbar/telemetry"
)

// Role is what somebody may do. Each may what those before it may.
type Role int

const (
	Anyone   Role = iota // who needn't say who they are
	Viewer               // sees
	Operator             // acknowledges alarms
	Engineer             // changes how the cloud works
	Admin                // sees what everybody has done
)

var roleNames = []string{"anyone", "viewer", "operator", "engineer", "admin"}

func (r Role) String() string {
	if r < 0 || int(r) >= len(roleNames) {
		return fmt.Sprintf("Role(%d)", int(r))
	}
	return roleNames[r]
}

// ParseRole reads the name of a role that somebody can have.
func ParseRole(name string) (Role, error) {
	if i := slices.Index(roleNames, name); i > 0 {
		return Role(i), nil
	}
	return Anyone, fmt.Errorf("%q is no role, expected viewer, operator, engineer or admin", name)
}

// Zones are those whose gateways somebody sees. The zero Zones are none.
type Zones struct {
	All   bool
	Names []string // if not All
}

var zoneName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$`)

// CheckName reports why a user or a token can't be called so.
func CheckName(text string) error {
	if !name.MatchString(text) {
		return fmt.Errorf("%q is no name, expected 1 to 63 letters, digits, dots, underscores, hyphens and @, the first a letter or digit", text)
	}
	return nil
}

// ParseZones reads names separated by commas, or * for all.
func ParseZones(text string) (Zones, error) {
	if text == "*" {
		return Zones{All: true}, nil
	}
	names := strings.Split(text, ",")
	for _, name := range names {
		if !zoneName.MatchString(name) {
			return Zones{}, fmt.Errorf("%q is no zone, expected names as in gateway.zone, separated by commas, or * for all", name)
		}
	}
	slices.Sort(names)
	return Zones{Names: slices.Compact(names)}, nil
}

func (z Zones) String() string {
	if z.All {
		return "*"
	}
	return strings.Join(z.Names, ",")
}

// Who asks.
type Who struct {
	Name  string // of the user; "token:" and its name of a token; "oidc:" and the name of a provider's user; empty where nobody signs in
	Role  Role
	Zones Zones
	Via   string // how they are known: session, token, or console where nobody signs in
	OIDC  bool   // they have signed in by OpenID Connect

	seen telemetry.Micros // when the session was last in use
}

type whoKey struct{}

// From is who asks with the context of a request that has passed a Gate. Without one it
// is nobody, who may nothing.
func From(ctx context.Context) Who {
	who, _ := ctx.Value(whoKey{}).(Who)
	return who
}
