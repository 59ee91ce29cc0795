// Package deploy checks what is in the directory deploy/: by the loaders and the schemas of
// those who read it, and by what runs elsewhere in tests.
package deploy

import (
	"bytes"
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/test/kafka"
	"github.com/busbar/busbar/test/peer"
)

func readFile(t *testing.T, elements ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// render is what Docker Compose or Kustomize makes of something under deploy/.
func render(t *testing.T, what, of string, environment ...string) []byte {
	t.Helper()
	program, err := filepath.Abs("../../.peers/deploy/render")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		peer.Missing(t, "no loaders of Compose and Kustomize: make peers-deploy")
	}
	cmd := exec.Command(program, what, of)
	cmd.Env = append(os.Environ(), environment...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", what, of, err, errs.Bytes())
	}
	return out
}

// checkBroker compares a broker's properties with those of the brokers that tests run
// against, wherever both say something that doesn't depend on the machine.
func checkBroker(t *testing.T, has map[string]string) {
	t.Helper()
	tested := kafka.Settings()
	for _, name := range []string{"auto.create.topics.enable", "default.replication.factor", "min.insync.replicas",
		"offsets.topic.replication.factor", "transaction.state.log.replication.factor", "transaction.state.log.min.isr",
		"share.coordinator.state.topic.replication.factor", "share.coordinator.state.topic.min.isr"} {
		if has[name] != tested[name] || has[name] == "" {
			t.Errorf("%s is %q, and %q where it is tested", name, has[name], tested[name])
		}
	}
}

// pinned is the name of an image with a tag that isn't one that moves, and no registry.
var pinned = regexp.MustCompile(`^[a-z0-9-]+(/[a-z0-9-]+)?:v?[0-9]+(\.[0-9]+)+$`)

// checkLog checks that a log's connection is encrypted, with a password from a file.
func checkLog(t *testing.T, c *kafkaconn.Config) {
	t.Helper()
	if c == nil || c.TLS == nil || c.SASL == nil || c.SASL.Mechanism != kafkaconn.ScramSHA512 || c.Insecure {
		t.Fatalf("the log is %+v", c)
	}
}

// What the image is built from is there, and named exactly.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	text := readFile(t, "../../deploy/Dockerfile")
	base := regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(text, -1)
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(readFile(t, "../../go.mod"))
	if len(base) != 2 || base[0][1] != "golang:"+version[1] || base[1][1] != "scratch" {
		t.Errorf("the stages are %q, expected golang:%s and scratch", base, version[1])
	}
	for _, want := range []string{"\nUSER 65532:65532\n", "\nENTRYPOINT [\"/busbar-cloud\"]\n", "CGO_ENABLED=0"} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q", want)
		}
	}
	var packages []string
	for line := range strings.Lines(readFile(t, "../../deploy/Dockerfile.dockerignore")) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "!"); ok {
			packages = append(packages, name)
			if _, err := os.Stat(filepath.Join("../..", name)); err != nil {
				t.Error(err)
			}
		}
	}
	list := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if .Main}}{{$.ImportPath}}{{end}}{{end}}", "../../cmd/busbar-cloud")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		path := strings.TrimPrefix(strings.TrimSpace(line), "github.com/busbar/busbar/")
		if root, _, _ := strings.Cut(path, "/"); !slices.Contains(packages, root) {
			t.Errorf("%s isn't in what the image is built from", cmp.Or(path, line))
		}
	}
}
