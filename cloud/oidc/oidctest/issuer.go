// Package oidctest is an OpenID Connect provider for tests that can do everything wrong.
package oidctest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// What an Issuer knows its one client by.
const (
	ClientID     = "busbar"
	ClientSecret = "a secret that nobody should see"
)

// Issuer signs in whoever comes, without asking. What is nil is as it should be.
type Issuer struct {
	URL string
	Key *ecdsa.PrivateKey

	mu        sync.Mutex
	user      map[string]any
	info      map[string]any
	discovery func(map[string]any)
	claims    func(map[string]any)
	token     func(string) string
	status    int
	codes     map[string]url.Values // the requests for authorization that they are of
	server    *httptest.Server
}

// New starts one until the test ends. The claims of whoever comes have at least a sub.
func New(t testing.TB, user map[string]any) *Issuer { return start(t, user, httptest.NewServer) }

// NewTLS is New, reached by TLS.
func NewTLS(t testing.TB, user map[string]any) *Issuer { return start(t, user, httptest.NewTLSServer) }

// Authority is a file with the certificate that it is reached by.
func (i *Issuer) Authority(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func start(t testing.TB, user map[string]any, serve func(http.Handler) *httptest.Server) *Issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &Issuer{Key: key, user: user, codes: map[string]url.Values{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.discover)
	mux.HandleFunc("GET /authorize", i.authorize)
	mux.HandleFunc("POST /token", i.exchange)
	mux.HandleFunc("GET /userinfo", i.userInfo)
	mux.HandleFunc("GET /keys", i.keys)
	i.server = serve(mux)
	i.URL = i.server.URL
	t.Cleanup(i.server.Close)
	return i
}

// Secret is a file with the client's secret.
func Secret(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "oidc.secret")
	if err := os.WriteFile(path, []byte(ClientSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Wrong is what an Issuer does wrong from now on.
type Wrong struct {
	User      map[string]any       // the claims of whoever comes
	Info      map[string]any       // what UserInfo says; nil: there is none
	Discovery func(map[string]any) // changes what the issuer says of itself
	Claims    func(map[string]any) // changes those of an ID token
	Token     func(string) string  // changes one that is signed
	Status    int                  // of the token endpoint's answers
}

// Do has it do something wrong, and nothing else.
func (i *Issuer) Do(w Wrong) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if w.User != nil {
		i.user = w.User
	}
	i.info, i.discovery, i.claims, i.token, i.status = w.Info, w.Discovery, w.Claims, w.Token, w.Status
}

// Close ends it.
func (i *Issuer) Close() { i.server.Close() }

// Visit follows an address to the issuer, as a browser does, and is what it is sent back
// with.
func (i *Issuer) Visit(t testing.TB, at string) url.Values {
	t.Helper()
	client := http.Client{Transport: i.server.Client().Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	to, err := answer.Location()
	if err != nil {
		t.Fatalf("%s: %s: %v", at, answer.Status, err)
	}
	return to.Query()
}

func (i *Issuer) discover(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	is := map[string]any{
		"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys",
		"end_session_endpoint": i.URL + "/end", "id_token_signing_alg_values_supported": []string{"ES256"},
	}
	if i.info != nil {
		is["userinfo_endpoint"] = i.URL + "/userinfo"
	}
	if i.discovery != nil {
		i.discovery(is)
	}
	answer(w, http.StatusOK, is)
}

func (i *Issuer) authorize(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	asked := r.URL.Query()
	code := rand.Text()
	i.codes[code] = asked
	http.Redirect(w, r, asked.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {asked.Get("state")}}.Encode(), http.StatusSeeOther)
}

// exchange takes a code once, from who asked for it: by the client's secret, the address
// and the verifier (RFC 7636 section 4.6).
func (i *Issuer) exchange(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.status != 0 {
		answer(w, i.status, map[string]any{"error": "server_error"})
		return
	}
	id, secret, basic := r.BasicAuth()
	if secret, _ = url.QueryUnescape(secret); !basic {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	asked, known := i.codes[r.PostFormValue("code")]
	challenge := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	switch {
	case id != ClientID || secret != ClientSecret:
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	case !known || asked.Get("redirect_uri") != r.PostFormValue("redirect_uri") || asked.Get("code_challenge_method") != "S256" ||
		asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(challenge[:]):
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
		return
	}
	delete(i.codes, r.PostFormValue("code"))
	claims := map[string]any{"iss": i.URL, "aud": ClientID, "nonce": asked.Get("nonce"), "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix()}
	maps.Copy(claims, i.user)
	if i.claims != nil {
		i.claims(claims)
	}
	token := i.Sign(claims)
	if i.token != nil {
		token = i.token(token)
	}
	answer(w, http.StatusOK, map[string]any{"access_token": "access", "token_type": "Bearer", "id_token": token})
}

func (i *Issuer) userInfo(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer access" || i.info == nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	answer(w, http.StatusOK, i.info)
}

func (i *Issuer) keys(w http.ResponseWriter, _ *http.Request) {
	point, err := i.Key.PublicKey.Bytes()
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	answer(w, http.StatusOK, map[string]any{"keys": []any{map[string]any{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "k1",
		"x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:])}}})
}

// Sign makes a JSON web token (RFC 7515) by ES256.
func (i *Issuer) Sign(claims map[string]any) string { return SignBy(i.Key, claims) }

// SignBy is Sign with another key.
func SignBy(key *ecdsa.PrivateKey, claims map[string]any) string {
	text := encode(map[string]any{"alg": "ES256", "kid": "k1"}) + "." + encode(claims)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		panic(err)
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(signature[:])
}

// encode makes a part of a token.
func encode(part map[string]any) string {
	text, err := json.Marshal(part)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}
