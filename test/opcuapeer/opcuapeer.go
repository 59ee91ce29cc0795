// Package opcuapeer starts real OPC UA servers that we didn't write, for tests: asyncua,
// node-opcua and Eclipse Milo, each with the same address space.
//
// Every server is on this machine's loopback and offers the policies None,
// Basic256Sha256, Aes128_Sha256_RsaOaep and Aes256_Sha256_RsaPss, the last three with Sign
// and with SignAndEncrypt, to nobody, to User with Password, and to any certificate. It
// takes every client's certificate unless Settings.Strict says otherwise.
//
// Below Objects, all with text identifiers in Namespace:
//
//	T1            an object, of which:
//	T1.TopOil     Double, changing, with history if the server has any
//	T1.Load       Double, changing
//	T1.Counter    UInt32, one more at each change, with history if the server has any
//	T1.Alarm      Boolean, true
//	T1.Name       String, "Transformer 1"
//	T1.Energy     Int64, 2^53+1
//	T1.Bad        Double, BadSensorFailure
//	T1.Harmonics  Double[5], 1, 0, 0.05, 0, 0.03
//	T1.Range      Range, a structure: -20 to 140
//	T1.Setpoint   Double, 80, that can be written
//	T1.Add        a method: two Doubles in, their sum out
//	T1.Grow       a method: adds the variable T1.Grown0, T1.Grown1, …
//	T1.Trip       a method: T1 emits an event with the String as message and severity 800 (asyncua only)
//	Tank          an object (not Milo), of which:
//	Tank.Level    Double, 50, that can be written
//	Tank.Valve    Boolean, false
//	Tank.SetLevel a method: makes Tank.Level the Float, or refuses one above 100
//	Tank.Open     a method: makes Tank.Valve true
//	Tank.Shut     a method: makes it false
//	Tank.Say      a method: Tank tells of its alarm Full that it is active, by the Boolean (asyncua only)
//	Tank.Limits   an exclusive limit alarm of Tank.Level: below 5 and 20, above 80 and 95 (node-opcua only)
//	Tank.Trip     a method: Tank emits an event with the String as message and severity 800 (node-opcua only)
//	Many          an object, of which:
//	Many.0 …      Double, changing: as many as Settings.Items says
//
//	peer := opcuapeer.Start(t, opcuapeer.Asyncua, opcuapeer.Settings{})
//	conn, err := opcuaconn.Dial(ctx, opcuaconn.Config{Endpoint: peer.Endpoint(), …}, …)
//	peer.Freeze(); peer.Thaw(); peer.Kill(); peer.Restart(opcuapeer.Settings{Shift: 2})
//
// The certificate of a server is peer.Certificate(), a file, which a client trusts.
package opcuapeer

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/busbar/busbar/test/peer"
)

// What every server has.
const (
	Namespace      = "urn:busbar:test:plant"
	ApplicationURI = "urn:busbar:test:server"
	User           = "operator"
	Password       = "correct horse"
)

// Kind is one of the servers.
type Kind string

const (
	Asyncua Kind = "asyncua"
	Node    Kind = "node-opcua"
	Milo    Kind = "milo"
)

// Settings say how a server is started.
type Settings struct {
	Shift  int           // how many other namespaces come before ours, so that its index is another one
	Host   string        // by which the server tells its endpoints; "": 127.0.0.1
	Items  int           // variables below Many
	Period time.Duration // of everything that changes; 0: 100 ms
	Strict bool          // it trusts no client
	Limit  int           // how many nodes it takes in a request of any kind (node-opcua only); 0: as many as it does

	// Of the server's certificate, which Start makes: how many bits its key has, 0: 2048,
	// and what is changed of it before it is signed.
	Bits int
	Cert func(*x509.Certificate)
}

// Server is a server that was started.
type Server struct {
	t       testing.TB
	kind    Kind
	dir     string
	port    int
	process *exec.Cmd
	ended   chan struct{} // closed when the process has
	said    *limited
}

// Start starts a server on a free port and returns when it answers. It ends with the
// test. If it isn't installed, the test is skipped, or fails if CI is set.
func Start(t testing.TB, kind Kind, settings Settings) *Server {
	t.Helper()
	if missing := kind.missing(); missing != "" {
		peer.Missing(t, "no %s: %s; make peers", kind, missing)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	s := &Server{t: t, kind: kind, dir: t.TempDir(), port: free.Addr().(*net.TCPAddr).Port, said: &limited{}}
	s.certify(settings)
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("%s: %s", kind, s.said)
		}
	})
	s.Restart(settings)
	return s
}

// Endpoint is where it is reached.
func (s *Server) Endpoint() string { return fmt.Sprintf("opc.tcp://127.0.0.1:%d/plant", s.port) }

// Certificate is the file of its certificate, in DER.
func (s *Server) Certificate() string { return filepath.Join(s.dir, "server.der") }

// Kill ends it as a power failure would.
func (s *Server) Kill() {
	if s.process != nil {
		s.process.Process.Kill()
		<-s.ended
		s.process = nil
	}
}

// Freeze has it answer nothing. It returns when all its threads stand still.
func (s *Server) Freeze() {
	s.t.Helper()
	s.process.Process.Signal(syscall.SIGSTOP)
	for limit := time.Now().Add(time.Minute); s.runs(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			s.t.Fatalf("%s doesn't stand still", s.kind)
		}
	}
}

// runs is whether any of its threads isn't stopped.
func (s *Server) runs() bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.process.Process.Pid))
	for _, thread := range threads {
		if stat, err := os.ReadFile(thread); err == nil && !strings.Contains(string(stat), ") T ") {
			return true
		}
	}
	return false
}

// Thaw has it go on.
func (s *Server) Thaw() { s.process.Process.Signal(syscall.SIGCONT) }

// Restart starts it again on the same port with the same certificate, and returns when
// it answers.
func (s *Server) Restart(settings Settings) {
	s.t.Helper()
	s.Kill()
	if settings.Host == "" {
		settings.Host = "127.0.0.1"
	}
	if settings.Period == 0 {
		settings.Period = 100 * time.Millisecond
	}
	command := s.kind.command()
	args := append(command[1:], strconv.Itoa(s.port), s.dir, strconv.Itoa(settings.Shift), settings.Host,
		strconv.Itoa(settings.Items), strconv.FormatInt(settings.Period.Milliseconds(), 10), strconv.FormatBool(settings.Strict), strconv.Itoa(settings.Limit))
	s.process = exec.Command(command[0], args...)
	s.process.Stdout, s.process.Stderr = s.said, s.said
	s.process.Dir = s.dir
	s.process.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(Node.installed(), "node_modules"))
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	process, ended := s.process, make(chan struct{})
	s.ended = ended
	go func() {
		process.Wait()
		close(ended)
	}()
	for limit := time.After(time.Minute); !s.answers(); {
		select {
		case <-time.After(50 * time.Millisecond):
			continue
		case <-ended:
		case <-limit:
		}
		s.t.Fatalf("%s doesn't answer: %s", s.kind, s.said)
	}
}

// answers is whether the server acknowledges a connection.
func (s *Server) answers() bool {
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)))
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	hello := append([]byte("HELF"), make([]byte, 4)...)
	for _, v := range []uint32{0, 65535, 65535, 0, 0, uint32(len(s.Endpoint()))} {
		hello = binary.LittleEndian.AppendUint32(hello, v)
	}
	hello = append(hello, s.Endpoint()...)
	binary.LittleEndian.PutUint32(hello[4:], uint32(len(hello)))
	conn.Write(hello)
	answer := make([]byte, 3)
	_, err = io.ReadFull(conn, answer)
	return err == nil && string(answer) == "ACK"
}

// installed is where make peers puts a server.
func (k Kind) installed() string { return filepath.Join(peer.Root(), ".peers", string(k)) }

// source is where our part of a server is.
func (k Kind) source() string {
	file := map[Kind]string{Asyncua: "python/server.py", Node: "node/server.js", Milo: "milo/Plant.java"}[k]
	return filepath.Join(peer.Root(), "test", "peers", "opcua", filepath.FromSlash(file))
}

func python() string {
	if p := os.Getenv("BUSBAR_PYTHON"); p != "" {
		return p
	}
	return filepath.Join(peer.Root(), ".venv", "bin", "python")
}

// missing says what of the server isn't installed.
func (k Kind) missing() string {
	if _, err := exec.LookPath(k.command()[0]); err != nil {
		return err.Error()
	}
	switch k {
	case Asyncua:
		if out, err := exec.Command(python(), "-c", "import asyncua").CombinedOutput(); err != nil {
			return strings.TrimSpace(string(out) + err.Error())
		}
	case Node:
		if _, err := os.Stat(filepath.Join(k.installed(), "node_modules")); err != nil {
			return err.Error()
		}
	case Milo:
		class, err := os.Stat(filepath.Join(k.installed(), "Plant.class"))
		if err != nil {
			return err.Error()
		}
		if source, err := os.Stat(k.source()); err != nil || source.ModTime().After(class.ModTime()) {
			return k.source() + " isn't compiled"
		}
	}
	return ""
}

// command starts the server, but for its settings.
func (k Kind) command() []string {
	switch k {
	case Node:
		return []string{"node", k.source()}
	case Milo:
		return []string{"java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xmx256m",
			"-cp", k.installed() + string(filepath.ListSeparator) + filepath.Join(k.installed(), "*"), "Plant"}
	}
	return []string{python(), k.source()}
}

// certify makes the server's certificate.
func (s *Server) certify(settings Settings) {
	s.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, max(settings.Bits, 2048))
	if err != nil {
		s.t.Fatal(err)
	}
	uri, _ := url.Parse(ApplicationURI)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "Busbar's test plant", Organization: []string{"Busbar"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		URIs: []*url.URL{uri}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment | x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	if settings.Cert != nil {
		settings.Cert(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		s.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"server.der": der,
		"server.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		"server.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
}

// limited keeps the end of what a process says.
type limited struct {
	mu   sync.Mutex
	text []byte
}

func (l *limited) Write(p []byte) (int, error) {
	const most = 16 << 10
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	l.text = l.text[max(0, len(l.text)-most):]
	return len(p), nil
}

func (l *limited) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}
