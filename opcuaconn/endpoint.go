package opcuaconn

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/kafkaconn"
)

// identityKind is the kind of token that the user is known by.
func (c Config) identityKind() ua.UserTokenType {
	switch {
	case c.UserCert != "":
		return ua.UserTokenTypeCertificate
	case c.Username != "":
		return ua.UserTokenTypeUserName
	}
	return ua.UserTokenTypeAnonymous
}

// endpoint is what of a server is connected to.
type endpoint struct {
	address        *url.URL // by which it is reached
	applicationURI string
	certificate    []byte // in DER, with those behind it that introduce it
	token          *ua.UserTokenPolicy
}

// discover asks the server for its endpoints, over a channel of its own that nothing
// protects, and chooses the one that the configuration describes.
func (c Config) discover(ctx context.Context, address *url.URL) (endpoint, error) {
	conn, most, err := dial(ctx, address)
	if err != nil {
		return endpoint{}, err
	}
	stop := breakOff(ctx, conn)
	defer stop()
	channel, err := newChannel(ctx, conn, protection{policy: PolicyNone, mode: ModeNone}, most, 0)
	if err != nil {
		return endpoint{}, err
	}
	defer channel.close()
	answer, err := channel.send(ctx, &ua.GetEndpointsRequest{EndpointURL: address.String()}, nil)
	if err != nil {
		return endpoint{}, fmt.Errorf("ask for the endpoints: %w", err)
	}
	response, ok := answer.(*ua.GetEndpointsResponse)
	if !ok {
		return endpoint{}, fmt.Errorf("%w: %T instead of endpoints", errWire, answer)
	}
	return c.choose(address, response.Endpoints)
}

// choose is the endpoint with the policy, mode and kind of login of the configuration.
// A server often names itself by a name that only it knows: what was configured is the
// way to it.
func (c Config) choose(address *url.URL, offered []*ua.EndpointDescription) (endpoint, error) {
	security := c.Security.withDefaults()
	mode := ua.MessageSecurityModeFromString(string(security.Mode))
	var best *ua.EndpointDescription
	var token *ua.UserTokenPolicy
	for _, e := range offered {
		if e == nil || e.Server == nil || e.SecurityPolicyURI != security.Policy.URI() || e.SecurityMode != mode || !strings.HasPrefix(e.EndpointURL, "opc.tcp:") {
			continue
		}
		if best != nil && (samePlace(best, address) || !samePlace(e, address)) {
			continue // several names of the same
		}
		if t := c.tokenOf(e); t != nil {
			best, token = e, t
		}
	}
	if best == nil {
		return endpoint{}, fmt.Errorf("the server doesn't offer %s with %s and a login %s, but %s",
			security.Policy, security.Mode, loginName(c.identityKind()), offer(offered))
	}
	if token.TokenType == ua.UserTokenTypeUserName && openly(security.Mode, best, token) && !c.Insecure && !kafkaconn.ThisMachine(address.Hostname()) {
		return endpoint{}, errors.New("the server takes the password only unencrypted; use the mode SignAndEncrypt, or insecure: true to send it all the same")
	}
	at := *address
	if u, err := url.Parse(best.EndpointURL); err == nil {
		at.Path, at.RawPath = u.Path, u.RawPath
	}
	return endpoint{address: &at, applicationURI: best.Server.ApplicationURI, certificate: best.ServerCertificate, token: token}, nil
}

func samePlace(e *ua.EndpointDescription, address *url.URL) bool {
	u, err := url.Parse(e.EndpointURL)
	return err == nil && strings.EqualFold(u.Hostname(), address.Hostname()) && u.Path == address.Path
}

// openly is whether a password would be sent as it is.
func openly(mode Mode, e *ua.EndpointDescription, t *ua.UserTokenPolicy) bool {
	return mode != SignAndEncrypt && tokenPolicy(e, t) == PolicyNone.URI()
}

func tokenPolicy(e *ua.EndpointDescription, t *ua.UserTokenPolicy) string {
	if t.SecurityPolicyURI != "" {
		return t.SecurityPolicyURI
	}
	return e.SecurityPolicyURI
}

// tokenOf is how the user can log in at an endpoint, nil: not at all. The policy that
// protects the login is filled in, the best one that the server has: some servers have
// only Basic256, which encrypts a password as Basic256Sha256 does.
func (c Config) tokenOf(e *ua.EndpointDescription) *ua.UserTokenPolicy {
	var best *ua.UserTokenPolicy
	value := 0
	for _, t := range e.UserIdentityTokens {
		if t == nil || t.TokenType != c.identityKind() {
			continue
		}
		filled := *t
		filled.SecurityPolicyURI = tokenPolicy(e, t)
		worth := 0
		switch policy := Policy(strings.TrimPrefix(filled.SecurityPolicyURI, policyURI)); {
		case policy == Basic256Sha256 || policy == Aes128Sha256RsaOaep || policy == Aes256Sha256RsaPss:
			worth = 3
		case policy == basic256:
			worth = 2
		case policy == PolicyNone && t.TokenType != ua.UserTokenTypeCertificate, t.TokenType == ua.UserTokenTypeAnonymous:
			worth = 1
		}
		if worth > value {
			best, value = &filled, worth
		}
	}
	return best
}

// basic256 protects logins of servers that know nothing better for them.
const basic256 Policy = "Basic256"

func loginName(kind ua.UserTokenType) string {
	switch kind {
	case ua.UserTokenTypeAnonymous:
		return "by nobody"
	case ua.UserTokenTypeUserName:
		return "by name"
	case ua.UserTokenTypeCertificate:
		return "by certificate"
	}
	return "of another kind"
}

// offer says what a server offers.
func offer(offered []*ua.EndpointDescription) string {
	const most = 12
	var all []string
	for _, e := range offered {
		if e == nil || !strings.HasPrefix(e.EndpointURL, "opc.tcp:") {
			continue
		}
		var logins []string
		for _, t := range e.UserIdentityTokens {
			if t != nil && !slices.Contains(logins, loginName(t.TokenType)) {
				logins = append(logins, loginName(t.TokenType))
			}
		}
		policy := shorten(strings.TrimPrefix(e.SecurityPolicyURI, policyURI))
		one := policy + " with " + strings.TrimPrefix(e.SecurityMode.String(), "MessageSecurityMode") + " (" + strings.Join(logins, ", ") + ")"
		if !slices.Contains(all, one) && len(all) < most {
			all = append(all, one)
		}
	}
	if len(all) == 0 {
		return "no endpoint at all"
	}
	return strings.Join(all, "; ")
}
