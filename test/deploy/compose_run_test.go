package deploy

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/busbar/busbar/test/peer"
)

// What compose.yaml starts finds itself: real brokers with its properties and the image's
// own wrapper, a real database, and two processes of the cloud, each in a root that is
// read-only and has what the image has. A gateway enrols and sends.
func TestTortureComposeRuns(t *testing.T) {
	if os.Getenv("BUSBAR_TORTURE") == "" {
		t.Skip("set BUSBAR_TORTURE")
	}
	if os.Geteuid() != 0 {
		peer.Missing(t, "name spaces need root")
	}
	jars, err := filepath.Abs("../../.peers/kafka")
	if err != nil {
		t.Fatal(err)
	}
	if found, _ := filepath.Glob(filepath.Join(jars, "kafka-tools-[0-9]*.jar")); len(found) == 0 {
		peer.Missing(t, "no Kafka jars: make peers")
	}
	servers, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(servers) == 0 {
		peer.Missing(t, "no PostgreSQL: apt-get install postgresql")
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin, "../../cmd/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	logging, err := filepath.Abs("testdata/log4j2.yaml")
	if err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("compose.sh")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", script)
	cmd.Env = append(os.Environ(), "DIR="+copyOf(t), "BIN="+bin, "JARS="+jars, "POSTGRES="+servers[len(servers)-1], "LOGGING="+logging)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	t.Log(out.String())
	for _, want := range []string{"done\n", "Topic: busbar.telemetry", "PartitionCount: 12\tReplicationFactor: 3", "min.insync.replicas=2"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it doesn't say %q", want)
		}
	}
}
