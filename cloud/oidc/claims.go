package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// LongestName is that of a user, in characters.
const LongestName = 63

var errForeign = errors.New("it is about somebody else")

// claims are what the provider says of somebody, as JSON.
type claims map[string]json.RawMessage

// find is a claim by its name, or else by a path of names with dots between them.
func (c claims) find(path string) (json.RawMessage, bool) {
	if raw, ok := c[path]; ok {
		return raw, true
	}
	first, rest, nested := strings.Cut(path, ".")
	if !nested {
		return nil, false
	}
	var inner claims
	if json.Unmarshal(c[first], &inner) != nil {
		return nil, false
	}
	return inner.find(rest)
}

func (c claims) text(path string) (text string, ok bool) {
	raw, ok := c.find(path)
	return text, ok && json.Unmarshal(raw, &text) == nil
}

// texts are the values of a claim that is a text or a list of them.
func (c claims) texts(path string) (list []string, err error) {
	raw, ok := c.find(path)
	if !ok {
		return nil, fmt.Errorf("the provider doesn't send the claim %s", path)
	}
	if one, ok := c.text(path); ok {
		return []string{one}, nil
	}
	if json.Unmarshal(raw, &list) != nil {
		return nil, fmt.Errorf("the claim %s is neither a text nor a list of texts", path)
	}
	return list, nil
}

// ask adds what UserInfo says and the ID token hasn't.
func (c claims) ask(ctx context.Context, provider *oidc.Provider, tokens *oauth2.Token, subject string) error {
	info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if err != nil {
		return err
	}
	if info.Subject != subject { // OpenID Connect Core 1.0 section 5.3.2
		return errForeign
	}
	more := claims{}
	if err := info.Claims(&more); err != nil {
		return err
	}
	for name, raw := range more {
		if _, known := c[name]; !known {
			c[name] = raw
		}
	}
	return nil
}

// lacks says whether what decides about somebody isn't there.
func (p *Provider) lacks(has claims) bool {
	_, named := has.find(p.cfg.NameClaim)
	_, mapped := has.find(p.cfg.RoleClaim)
	return !named || !mapped && len(p.cfg.Grants) > 0
}

// admit completes who somebody is by their name and what they may.
func (p *Provider) admit(who *Identity, has claims) error {
	name, ok := has.text(p.cfg.NameClaim)
	if !ok {
		return fmt.Errorf("the provider doesn't send the claim %s as a text", p.cfg.NameClaim)
	}
	name = strings.TrimSpace(name)
	if err := checkName(name); err != nil {
		return fmt.Errorf("the claim %s: %w", p.cfg.NameClaim, err)
	}
	who.Name = name
	var values []string
	var err error
	if len(p.cfg.Grants) > 0 {
		values, err = has.texts(p.cfg.RoleClaim)
	}
	for _, g := range p.cfg.Grants {
		for _, value := range values {
			if value == g.Value {
				who.Grant = g
				return nil
			}
		}
	}
	switch {
	case p.cfg.Default != nil:
		who.Grant = *p.cfg.Default
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("none of the %d values of the claim %s is mapped to a role", len(values), p.cfg.RoleClaim)
}

// checkName says why nobody can be called so. The tilde is for those who have the same
// name.
func checkName(name string) error {
	switch {
	case name == "" || !utf8.ValidString(name) || utf8.RuneCountInString(name) > LongestName:
		return fmt.Errorf("expected a name of 1 to %d characters", LongestName)
	case strings.Contains(name, "~"), strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) }):
		return errors.New("a name with a tilde, or with what can't be seen")
	}
	return nil
}
