package test

import (
	"crypto/x509/pkix"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/test/kafka"
)

// proxy is an HTTP proxy that lets only its users through, to the given port.
type proxy struct{ address, log string }

const proxyConfig = `Listen 127.0.0.1
Port %s
MaxClients 20
LogFile "%s"
LogLevel Connect
BasicAuth north-gw1 s3cret
ConnectPort %s
`

// startProxy starts a proxy that Busbar didn't write.
func startProxy(t *testing.T, port string) proxy {
	t.Helper()
	if _, err := exec.LookPath("tinyproxy"); err != nil {
		report := t.Skip
		if os.Getenv("CI") != "" {
			report = t.Fatal
		}
		report("no tinyproxy: it is in the package tinyproxy-bin")
	}
	dir := t.TempDir()
	p := proxy{address: freeAddress(t), log: filepath.Join(dir, "proxy.log")}
	config := write(t, dir, "proxy.conf", fmt.Sprintf(proxyConfig, p.address[strings.LastIndexByte(p.address, ':')+1:], p.log, port))
	cmd := exec.Command("tinyproxy", "-d", "-c", config)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	await(t, "the proxy listens", 20*time.Second, func() bool { return reachable(p.address) })
	return p
}

// A gateway that reaches nothing but a proxy enrols itself by a token and sends
// through it. Cloud and gateway are killed meanwhile: nothing is lost or stored
// twice.
func TestUplinkThroughAProxy(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "")
	listen := freeAddress(t)
	port := listen[strings.LastIndexByte(listen, ':')+1:]
	p := startProxy(t, port)
	authority, err := kafka.OpenAuthority(filepath.Join(s.dir, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := authority.Client("uplink", pkix.Name{CommonName: "uplink"})
	if err != nil {
		t.Fatal(err)
	}
	s.edit(t, "cloud.yaml", "store:", fmt.Sprintf("uplink: {listen: %q, cert: %q, key: %q}\nstore:", listen, cert, key))
	s.edit(t, "gateway.yaml", fmt.Sprintf("forward: {kafka: {brokers: [%q]}}\n", s.broker), fmt.Sprintf(`forward:
  uplink:
    url: "https://localhost:%s"
    ca: %q
    proxy: {url: "http://%s", username: north-gw1, password_file: proxy.password}
`, port, authority.Cert(), p.address))
	write(t, s.dir, "proxy.password", "s3cret\n")

	// The key that newSite has enrolled is another one's now.
	if err := os.Remove(filepath.Join(s.dir, "buffer", "gateway.key")); err != nil {
		t.Fatal(err)
	}
	cloud := s.cloud(t)
	await(t, "the uplink listens", 30*time.Second, func() bool { return reachable(listen) })
	enrol := func(token string) (string, int) {
		write(t, s.dir, "token", token)
		out, errs, code := call(t, s.dir, "busbar", "gateway", "enrol", "--config", "gateway.yaml", "--token-file", "token")
		return out + errs, code
	}
	if text, code := enrol("AAAAAAAAAAAAAAAAAAAAAAAAAA"); code != 1 || !strings.Contains(text, "the enrolment is refused") {
		t.Errorf("a token that nobody made: exit code %d: %s", code, text)
	}
	token, errs, code := call(t, s.dir, "busbar-cloud", "gateway", "token", "--config", "cloud.yaml", "north-gw1")
	if code != 0 {
		t.Fatalf("make a token: exit code %d: %s", code, errs)
	}
	if text, code := enrol(token); code != 0 {
		t.Fatalf("enrol: exit code %d: %s", code, text)
	}

	gateway := s.gateway(t)
	s.sim(t)
	stored := func() uint64 {
		g, _ := s.state(t)
		return g.Stored
	}
	await(t, "samples are stored", time.Minute, func() bool { return stored() > 0 })
	for range 2 {
		cloud.kill()
		s.awaitWaiting(t, 3)
		cloud = s.cloud(t)
		before := uint64(0)
		await(t, "samples are stored again", time.Minute, func() bool {
			if before == 0 {
				before = stored()
			}
			return before > 0 && stored() > before
		})
		gateway.kill()
		gateway = s.gateway(t)
	}
	s.awaitSent(t, time.Minute)
	gateway.stop()
	s.awaitComplete(t)
	log, err := os.ReadFile(p.log)
	if err != nil || !strings.Contains(string(log), "CONNECT localhost:"+port) {
		t.Errorf("nothing went through the proxy: %v\n%s", err, log)
	}
}

// What keeps a gateway from its uplink stands in its log and on its status page.
func TestUplinkNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "")
	nobody := freeAddress(t)
	s.edit(t, "gateway.yaml", fmt.Sprintf("forward: {kafka: {brokers: [%q]}}\n", s.broker), fmt.Sprintf("forward: {uplink: {url: \"https://%s\"}}\n", nobody))
	gateway := s.gateway(t)
	await(t, "the cause", 30*time.Second, func() bool {
		text, err := os.ReadFile(gateway.log)
		return err == nil && strings.Contains(string(text), "nothing listens at the uplink's address")
	})
	if page := get(t, "http://"+s.status+"/healthz?"+strconv.Itoa(1)); !strings.Contains(page, "the log doesn't acknowledge") {
		t.Errorf("%s", page)
	}
}
