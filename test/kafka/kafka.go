// Package kafka starts real Apache Kafka brokers for tests. `make peers` gets
// their jars.
package kafka

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Cluster is a KRaft cluster on this machine's loopback, without authentication.
type Cluster struct {
	Brokers []string
}

var properties = template.Must(template.New("").Parse(`process.roles=broker,controller
node.id={{.ID}}
controller.quorum.bootstrap.servers={{.Controllers}}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listeners=PLAINTEXT://{{.Broker}},CONTROLLER://{{.Controller}}
advertised.listeners=PLAINTEXT://{{.Broker}}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={{.Dir}}
auto.create.topics.enable=false
default.replication.factor={{.Replicas}}
min.insync.replicas={{.InSync}}
offsets.topic.replication.factor={{.Replicas}}
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=8388608
`))

type node struct {
	ID                                   int
	Broker, Controller, Dir, Controllers string
	Replicas, InSync                     int
	directory                            string // its id in the quorum
}

// Start starts brokers and returns when all of them answer. They end with the
// test. Without the jars the test fails under CI and is skipped elsewhere.
func Start(t testing.TB, brokers int) Cluster {
	t.Helper()
	jars := jarDir(t)
	dir := t.TempDir()
	nodes := make([]node, brokers)
	var controllers, quorum []string
	for i := range nodes {
		nodes[i] = node{ID: i + 1, Broker: freeAddress(t), Controller: freeAddress(t),
			Dir: filepath.Join(dir, fmt.Sprint(i+1)), directory: randomID(), Replicas: brokers, InSync: (brokers + 1) / 2}
		controllers = append(controllers, nodes[i].Controller)
		quorum = append(quorum, fmt.Sprintf("%d@%s:%s", i+1, nodes[i].Controller, nodes[i].directory))
	}
	cluster, id := Cluster{}, randomID()
	for _, n := range nodes {
		n.Controllers = strings.Join(controllers, ",")
		config := n.Dir + ".properties"
		var text strings.Builder
		if err := properties.Execute(&text, n); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(config, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		format := java(jars, "kafka.tools.StorageTool", "format", "--config", config, "--cluster-id", id,
			"--initial-controllers", strings.Join(quorum, ","))
		if out, err := format.CombinedOutput(); err != nil {
			t.Fatalf("format Kafka node %d: %v\n%s", n.ID, err, out)
		}
		run(t, java(jars, "kafka.Kafka", config), n.Dir+".log")
		cluster.Brokers = append(cluster.Brokers, n.Broker)
	}
	cluster.await(t, brokers)
	return cluster
}

func jarDir(t testing.TB) string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, ".peers", "kafka")
	jars, _ := filepath.Glob(filepath.Join(dir, "kafka_2.13-*.jar"))
	if _, err := exec.LookPath("java"); err != nil || len(jars) == 0 {
		report := t.Skipf
		if os.Getenv("CI") != "" {
			report = t.Fatalf
		}
		report("no Java, or no Kafka jars in %s: make peers gets them", dir)
	}
	return dir
}

func java(jars string, args ...string) *exec.Cmd {
	base := []string{"-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(jars, "*")}
	return exec.Command("java", append(base, args...)...)
}

func run(t testing.TB, cmd *exec.Cmd, logPath string) {
	t.Helper()
	out, err := os.Create(logPath)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(logPath)
			t.Logf("%s: %s", logPath, text[max(0, len(text)-2000):])
		}
	})
}

func randomID() string {
	var b [16]byte
	rand.Read(b[:])
	b[0] &= 0x7f // an id that begins with - would be taken for an option
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// await asks with a fresh client each time: an old one may keep what it learnt
// before a broker came up.
func (c Cluster) await(t testing.TB, brokers int) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); ; {
		client, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers...))
		if err != nil {
			t.Fatal(err)
		}
		list, err := kadm.NewClient(client).ListBrokers(t.Context())
		client.Close()
		if err == nil && len(list) == brokers {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d Kafka brokers answer: %v", len(list), brokers, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
