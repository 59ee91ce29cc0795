package opcuaconn

import (
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/gopcua/opcua/ua"
)

// A configuration that asks for what the server doesn't have is told what it has.
func TestWhatIsOffered(t *testing.T) {
	t.Parallel()
	address := &url.URL{Scheme: "opc.tcp", Host: net.JoinHostPort("10.0.0.30", "4840")}
	endpoint := func(policy Policy, mode ua.MessageSecurityMode, tokens ...*ua.UserTokenPolicy) *ua.EndpointDescription {
		return &ua.EndpointDescription{EndpointURL: "opc.tcp://plc:4840/x", Server: &ua.ApplicationDescription{ApplicationURI: "urn:plc"},
			SecurityPolicyURI: policy.URI(), SecurityMode: mode, UserIdentityTokens: tokens}
	}
	nobody := &ua.UserTokenPolicy{PolicyID: "0", TokenType: ua.UserTokenTypeAnonymous}
	byName := &ua.UserTokenPolicy{PolicyID: "1", TokenType: ua.UserTokenTypeUserName}
	offered := []*ua.EndpointDescription{nil, endpoint(PolicyNone, ua.MessageSecurityModeNone, nobody, nil), endpoint("Basic256", ua.MessageSecurityModeSign, nobody, byName),
		endpoint(Basic256Sha256, ua.MessageSecurityModeSign, byName)}
	_, err := Config{}.choose(address, offered)
	if want := "doesn't offer Basic256Sha256 with SignAndEncrypt and a login by nobody, but None with None (by nobody); Basic256 with Sign (by nobody, by name); Basic256Sha256 with Sign (by name)"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v", err)
	}
	e, err := Config{Security: Security{Mode: Sign}, Username: "operator"}.choose(address, offered)
	if err != nil || e.address.String() != "opc.tcp://10.0.0.30:4840/x" || e.token.PolicyID != "1" || e.token.SecurityPolicyURI != Basic256Sha256.URI() {
		t.Errorf("%+v, %v", e, err)
	}
	open := &ua.UserTokenPolicy{PolicyID: "2", TokenType: ua.UserTokenTypeUserName, SecurityPolicyURI: PolicyNone.URI()}
	config := Config{Security: Security{Mode: Sign}, Username: "operator"}
	if _, err := config.choose(address, []*ua.EndpointDescription{endpoint(Basic256Sha256, ua.MessageSecurityModeSign, open)}); err == nil || !strings.Contains(err.Error(), "password only unencrypted") {
		t.Errorf("%v", err)
	}
	config.Insecure = true
	if e, err := config.choose(address, []*ua.EndpointDescription{endpoint(Basic256Sha256, ua.MessageSecurityModeSign, open, byName)}); err != nil || e.token.PolicyID != "1" {
		t.Errorf("%+v, %v", e, err)
	}
}
