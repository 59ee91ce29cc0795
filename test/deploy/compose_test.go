package deploy

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/busbar/busbar/cloud"
	"github.com/busbar/busbar/keyfile"
	"github.com/busbar/busbar/test/kafka"
	"github.com/busbar/busbar/test/peer"
)

const composeDir = "../../deploy/compose"

type project struct {
	Services map[string]service
	Secrets  map[string]struct{ File string }
}

type service struct {
	Image, User string
	Environment map[string]string
	Privileged  bool
	ReadOnly    bool     `json:"read_only"`
	SecurityOpt []string `json:"security_opt"`
	Ports       []struct {
		HostIP string `json:"host_ip"`
	}
	Secrets []struct{ Source, Target string }
	Volumes []struct {
		Type, Source string
		ReadOnly     bool `json:"read_only"`
	}
}

// copyOf is a copy of the directory in which the secrets have been made.
func copyOf(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	if err := os.CopyFS(filepath.Join(root, "deploy"), os.DirFS("../../deploy")); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "deploy", "compose")
	for range 2 { // the second time everything is there
		if out, err := exec.Command("bash", filepath.Join(dir, "secrets.sh"), "busbar.example", "10.1.2.3").CombinedOutput(); err != nil {
			t.Fatalf("secrets.sh: %v\n%s", err, out)
		}
	}
	return dir
}

// environment is what Compose reads from .env.
func environment(t *testing.T, dir string) []string {
	t.Helper()
	return strings.Split(strings.TrimSpace(readFile(t, dir, ".env")), "\n")
}

// The file is what Compose takes, all that it mounts is there, and nothing is reached
// from elsewhere unless it is asked for.
func TestCompose(t *testing.T) {
	t.Parallel()
	dir := copyOf(t)
	p := read[project](t, render(t, "compose", filepath.Join(dir, "compose.yaml"), environment(t, dir)...))
	brokers := []string{}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		s := p.Services[name]
		if s.Image != "busbar-cloud" && !pinned.MatchString(s.Image) {
			t.Errorf("%s: image %q", name, s.Image)
		}
		if s.Privileged || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) {
			t.Errorf("%s may more than it needs", name)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s listens at %q", name, port.HostIP)
			}
		}
		for _, v := range s.Volumes {
			if _, err := os.Stat(v.Source); v.Type == "bind" && (err != nil || !v.ReadOnly) {
				t.Errorf("%s mounts %s: read-only %v, %v", name, v.Source, v.ReadOnly, err)
			}
		}
		for _, secret := range s.Secrets {
			info, err := os.Stat(p.Secrets[secret.Source].File)
			if err != nil || info.Size() == 0 && secret.Source != "prometheus.token" {
				t.Errorf("%s needs %s: %v", name, secret.Source, err)
			}
		}
		if advertised := s.Environment["KAFKA_ADVERTISED_LISTENERS"]; advertised != "" {
			brokers = append(brokers, regexp.MustCompile(`SCRAM://(.*)`).FindStringSubmatch(advertised)[1])
		}
	}
	checkBroker(t, kafka.ParseProperties(readFile(t, dir, "kafka", "server.properties")))

	config, err := cloud.LoadConfig(filepath.Join(dir, "cloud.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	checkLog(t, config.Log.Kafka)
	if len(brokers) != 3 || !slices.Equal(config.Log.Kafka.Brokers, brokers) || config.Log.Replicas != 3 || config.Log.MinInSync != 2 {
		t.Errorf("the cloud is told of %q, and there are %q", config.Log.Kafka.Brokers, brokers)
	}
	mounted := map[string]bool{}
	for _, name := range []string{"cloud-1", "cloud-2"} {
		s := p.Services[name]
		if user, _, _ := strings.Cut(s.User, ":"); user == "" || user == "0" || !s.ReadOnly {
			t.Errorf("%s runs as %q, its root read-only: %v", name, s.User, s.ReadOnly)
		}
		for _, secret := range s.Secrets {
			mounted[secret.Target] = true
		}
	}
	for _, path := range regexp.MustCompile(`/run/secrets/[a-z.]+`).FindAllString(readFile(t, dir, "cloud.yaml"), -1) {
		if !mounted[path] {
			t.Errorf("the cloud's configuration names %s, which isn't mounted", path)
		}
	}
	if key, made, err := keyfile.OpenKey(filepath.Join(dir, "secrets", "command.key")); err != nil || made {
		t.Errorf("command.key: %v, %v", key, err)
	}
	checkPrometheus(t, dir)
}

// checkPrometheus has Prometheus check its configuration, with its files where they are mounted.
func checkPrometheus(t *testing.T, dir string) {
	t.Helper()
	text := strings.ReplaceAll(readFile(t, dir, "prometheus.yaml"), "/run/secrets", filepath.Join(dir, "secrets"))
	at := t.TempDir()
	for name, text := range map[string]string{"prometheus.yml": text, "busbar.rules.yaml": readFile(t, dir, "../prometheus/busbar.rules.yaml")} {
		if err := os.WriteFile(filepath.Join(at, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(peer.Program(t, "promtool", "prometheus"), "check", "config", filepath.Join(at, "prometheus.yml")).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
	type source struct {
		Datasources []struct{ Type, URL string }
		Providers   []struct{ Options struct{ Path string } }
	}
	if s := read[source](t, []byte(readFile(t, dir, "grafana/datasources/prometheus.yaml"))); len(s.Datasources) != 1 || s.Datasources[0].URL != "http://prometheus:9090" {
		t.Errorf("Grafana asks %+v", s)
	}
	if s := read[source](t, []byte(readFile(t, dir, "grafana/dashboards/busbar.yaml"))); len(s.Providers) != 1 || !strings.Contains(readFile(t, dir, "compose.yaml"), ":"+s.Providers[0].Options.Path+"/") {
		t.Errorf("Grafana's dashboards are in %+v", s)
	}
}
