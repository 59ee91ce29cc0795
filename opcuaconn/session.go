package opcuaconn

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uapolicy"

	"github.com/busbar/busbar/kafkaconn"
)

// session is one that has been activated.
type session struct {
	authentication *ua.NodeID
	timeout        time.Duration // without a request, after which the server ends it
}

// begin creates and activates a session (OPC 10000-4, 5.6).
func (c Config) begin(ctx context.Context, ch *channel, e endpoint, o Options, uri string) (session, error) {
	user, err := c.user(o)
	if err != nil {
		return session{}, err
	}
	nonce := make([]byte, 32)
	rand.Read(nonce)
	answer, err := ch.send(ctx, &ua.CreateSessionRequest{
		ClientDescription: &ua.ApplicationDescription{
			ApplicationURI: uri, ProductURI: productURI, ApplicationName: ua.NewLocalizedText(o.ApplicationName), ApplicationType: ua.ApplicationTypeClient},
		EndpointURL: e.address.String(), SessionName: o.ApplicationName, ClientNonce: nonce, ClientCertificate: ch.protect.own.Cert,
		RequestedSessionTimeout: float64(o.SessionTimeout / time.Millisecond)}, nil)
	if err != nil {
		return session{}, fmt.Errorf("create a session: %w", err)
	}
	created, ok := answer.(*ua.CreateSessionResponse)
	if !ok {
		return session{}, fmt.Errorf("%w: %T instead of a session", errWire, answer)
	}
	if err := ch.protect.verify(created, nonce); err != nil {
		return session{}, fmt.Errorf("create a session: %w", err)
	}
	server := e.certificate
	if len(ch.protect.server) > 0 {
		server = ch.protect.server
	} else if len(created.ServerCertificate) > 0 {
		server = created.ServerCertificate
	}
	proof, err := signature(ch.protect.policy.URI(), ch.protect.own.Key, ch.protect.server, created.ServerNonce)
	if err != nil {
		return session{}, err
	}
	token, userProof, err := user.token(e.token, server, created.ServerNonce)
	if err != nil {
		return session{}, err
	}
	_, err = ch.send(ctx, &ua.ActivateSessionRequest{
		ClientSignature: proof, LocaleIDs: []string{"en"},
		UserIdentityToken: ua.NewExtensionObject(token), UserTokenSignature: userProof}, created.AuthenticationToken)
	switch {
	case errors.Is(err, ua.StatusBadIdentityTokenRejected), errors.Is(err, ua.StatusBadIdentityTokenInvalid), errors.Is(err, ua.StatusBadUserAccessDenied),
		errors.Is(err, ua.StatusBadUserSignatureInvalid):
		return session{}, fmt.Errorf("the server refuses the login %s: %w", user, err)
	case err != nil:
		return session{}, fmt.Errorf("activate the session: %w", err)
	}
	timeout := o.SessionTimeout
	if ms := created.RevisedSessionTimeout; ms > 0 { // and a number
		timeout = time.Duration(min(ms, float64(time.Hour/time.Millisecond))) * time.Millisecond
	}
	return session{created.AuthenticationToken, timeout}, nil
}

// verify checks that who has created the session is the server of the channel.
func (p protection) verify(created *ua.CreateSessionResponse, nonce []byte) error {
	if p.policy == PolicyNone {
		return nil
	}
	if !bytes.HasPrefix(created.ServerCertificate, p.server) {
		return fmt.Errorf("%w: another certificate than the channel's", errProtection)
	}
	keys, err := uapolicy.Asymmetric(p.policy.URI(), p.own.Key, p.serverKey)
	if err != nil {
		return err
	}
	if created.ServerSignature == nil || keys.VerifySignature(append(bytes.Clone(p.own.Cert), nonce...), created.ServerSignature.Signature) != nil {
		return fmt.Errorf("%w: the server's signature is wrong", errProtection)
	}
	return nil
}

// signature proves to the server with a certificate that the owner of key means it.
func signature(policy string, key *rsa.PrivateKey, server, nonce []byte) (*ua.SignatureData, error) {
	if policy == PolicyNone.URI() {
		return &ua.SignatureData{}, nil
	}
	keys, err := uapolicy.Asymmetric(policy, key, nil)
	if err != nil {
		return nil, err
	}
	text, err := keys.Signature(append(bytes.Clone(server), nonce...))
	return &ua.SignatureData{Algorithm: keys.SignatureURI(), Signature: text}, err
}

// user is who logs in.
type user struct {
	name, password string
	certificate    identity
}

func (u user) String() string {
	switch {
	case u.certificate.Key != nil:
		return "by certificate"
	case u.name != "":
		return fmt.Sprintf("of %q", u.name)
	}
	return "by nobody"
}

func (c Config) user(o Options) (u user, err error) {
	switch {
	case c.UserCert != "":
		u.certificate, err = readIdentity(c.UserCert.In(o.Dir), c.UserKey.In(o.Dir))
	case c.Username != "":
		u.name = c.Username
		u.password, err = kafkaconn.ReadPassword(c.PasswordFile.In(o.Dir))
	}
	return u, err
}

// token is what the user is known by, to the server with a certificate alone.
func (u user) token(policy *ua.UserTokenPolicy, server, nonce []byte) (any, *ua.SignatureData, error) {
	switch {
	case u.certificate.Key != nil:
		proof, err := signature(policy.SecurityPolicyURI, u.certificate.Key, leaf(server), nonce)
		return &ua.X509IdentityToken{PolicyID: policy.PolicyID, CertificateData: u.certificate.Cert}, proof, err
	case u.name != "":
		secret, algorithm, err := u.hide(policy.SecurityPolicyURI, server, nonce)
		return &ua.UserNameIdentityToken{PolicyID: policy.PolicyID, UserName: u.name, Password: secret, EncryptionAlgorithm: algorithm}, &ua.SignatureData{}, err
	}
	return &ua.AnonymousIdentityToken{PolicyID: policy.PolicyID}, &ua.SignatureData{}, nil
}

// hide encrypts the password for the server (OPC 10000-4, 7.40.2.2).
func (u user) hide(policy string, server, nonce []byte) ([]byte, string, error) {
	if policy == PolicyNone.URI() {
		return []byte(u.password), "", nil
	}
	certificate, err := x509.ParseCertificate(leaf(server))
	if err != nil {
		return nil, "", fmt.Errorf("the server's certificate, for which the password is to be encrypted: %w", err)
	}
	key, ok := certificate.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, "", errNotRSA
	}
	keys, err := uapolicy.Asymmetric(policy, nil, key)
	if err != nil {
		return nil, "", err
	}
	secret := binary.LittleEndian.AppendUint32(nil, uint32(len(u.password)+len(nonce)))
	secret = append(append(secret, u.password...), nonce...)
	hidden, err := keys.Encrypt(secret)
	return hidden, keys.EncryptionURI(), err
}

// leaf is the first of several certificates in DER that follow each other.
func leaf(der []byte) []byte {
	all, err := x509.ParseCertificates(der)
	if err != nil || len(all) == 0 {
		return der
	}
	return all[0].Raw
}
