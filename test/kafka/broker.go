package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"text/template"
)

// broker is one node: a broker and a controller in one process.
type broker struct {
	ID                                int
	Internal, SCRAM, MTLS, Controller string // addresses
	Controllers                       string // all of them
	Replicas, InSync                  int
	Dir                               string // of the cluster
	directory                         string // its id in the quorum
	jars                              string

	mu      sync.Mutex
	process *os.Process
	ended   chan struct{} // closed when process has ended
	asked   bool          // to end
}

// The timeouts are longer than an idle machine needs: a broker that gets no CPU
// for some seconds must not lose its place.
//
// A certificate's name becomes a user only if its subject says what it is for.
// The superuser without a name is whoever reaches the internal listener, which
// is why this is for one machine only.
var properties = template.Must(template.New("").Parse(`process.roles=broker,controller
node.id={{.ID}}
controller.quorum.bootstrap.servers={{.Controllers}}
controller.listener.names=CONTROLLER
inter.broker.listener.name=INTERNAL
listeners=INTERNAL://{{.Internal}},SCRAM://{{.SCRAM}},MTLS://{{.MTLS}},CONTROLLER://{{.Controller}}
advertised.listeners=INTERNAL://{{.Internal}},SCRAM://{{.SCRAM}},MTLS://{{.MTLS}}
listener.security.protocol.map=INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT,SCRAM:SASL_SSL,MTLS:SSL
log.dirs={{.Data}}
auto.create.topics.enable=false
default.replication.factor={{.Replicas}}
min.insync.replicas={{.InSync}}
offsets.topic.replication.factor={{.Replicas}}
offsets.topic.num.partitions=8
transaction.state.log.replication.factor={{.Replicas}}
transaction.state.log.min.isr={{.InSync}}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={{.Replicas}}
share.coordinator.state.topic.min.isr={{.InSync}}
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=1000
controller.quorum.fetch.timeout.ms=6000
controller.quorum.election.timeout.ms=3000
num.network.threads=2
num.io.threads=4
num.replica.fetchers=1
log.cleaner.dedupe.buffer.size=8388608
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:{{.Admin}}
allow.everyone.if.no.acl.found=false
ssl.keystore.type=PEM
ssl.keystore.location={{.Dir}}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={{.Dir}}/clients/ca.crt
listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.scram.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.mtls.ssl.client.auth=required
listener.name.mtls.ssl.principal.mapping.rules=RULE:^CN=([^,]+),OU=gateway,O=utility$/$1/,RULE:^CN={{.Cloud}},OU=cloud,O=utility$/{{.Cloud}}/,DEFAULT
`))

// Settings are the properties of a broker of three, for those who compare theirs.
func Settings() map[string]string {
	var text strings.Builder
	if err := properties.Execute(&text, &broker{ID: 1, Replicas: 3, InSync: 2}); err != nil {
		panic(err)
	}
	return ParseProperties(text.String())
}

// ParseProperties reads a file of properties that has neither continued lines nor escapes.
func ParseProperties(text string) map[string]string {
	settings := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), "="); found && !strings.HasPrefix(name, "#") {
			settings[name] = value
		}
	}
	return settings
}

// Data is the directory of its records.
func (b *broker) Data() string { return filepath.Join(b.Dir, fmt.Sprint(b.ID)) }

func (b *broker) Admin() string { return AdminUser }
func (b *broker) Cloud() string { return CloudUser }

func (b *broker) config() string { return b.Data() + ".properties" }
func (b *broker) log() string    { return b.Data() + ".log" }

func (b *broker) formatted() bool {
	_, err := os.Stat(filepath.Join(b.Data(), "meta.properties"))
	return err == nil
}

// prepare writes its configuration, and formats its directory if it is new.
func (b *broker) prepare(ctx context.Context, cluster, quorum string) error {
	var text bytes.Buffer
	if err := properties.Execute(&text, b); err != nil {
		return err
	}
	if err := os.WriteFile(b.config(), text.Bytes(), 0o600); err != nil {
		return err
	}
	if b.formatted() {
		return nil
	}
	name, args := b.java("kafka.tools.StorageTool", "format", "--config", b.config(), "--cluster-id", cluster, "--initial-controllers", quorum)
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("format broker %d: %w\n%s", b.ID, err, out)
	}
	return nil
}

// java runs with the quick compiler only: a broker that lives for a minute isn't
// worth more, and three start in two thirds of the time.
func (b *broker) java(args ...string) (string, []string) {
	return "java", append([]string{"-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dlog4j2.configurationFile=" + filepath.Join(b.Dir, logging), "-cp", filepath.Join(b.jars, "*")}, args...)
}

const logging = "log4j2.properties"

// Refused requests are worth their lines; that others aren't there yet, or have
// been killed, isn't.
const loggingText = `rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1}: %m%n
logger.authorizer.name = kafka.authorizer.logger
logger.authorizer.level = INFO
logger.network.name = org.apache.kafka.clients.NetworkClient
logger.network.level = ERROR
logger.fetcher.name = kafka.server.ReplicaFetcherThread
logger.fetcher.level = ERROR
`

// start starts the process; its output is added to its log.
func (b *broker) start() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running() {
		return fmt.Errorf("broker %d is running already", b.ID)
	}
	out, err := os.OpenFile(b.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	name, args := b.java("kafka.Kafka", b.config())
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = out, out, endWithParent()
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		// A child that is to end with its parent ends with the thread that
		// started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start broker %d: %w", b.ID, err)
	}
	b.process, b.ended, b.asked = cmd.Process, ended, false
	return nil
}

// running reports whether there is a process; mu is held.
func (b *broker) running() bool {
	if b.ended == nil {
		return false
	}
	select {
	case <-b.ended:
		return false
	default:
		return true
	}
}

func (b *broker) alive() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.running()
}

var errNotRunning = errors.New("it isn't running")

// signal sends one, and gives what is closed when the process has ended. A
// signal that is to end it resumes it first.
func (b *broker) signal(s syscall.Signal) (ended <-chan struct{}, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.running() {
		return nil, fmt.Errorf("broker %d: %w", b.ID, errNotRunning)
	}
	if s == syscall.SIGTERM || s == syscall.SIGKILL {
		b.asked = true
	}
	if err := b.process.Signal(s); err != nil {
		return nil, fmt.Errorf("broker %d: %w", b.ID, err)
	}
	if s == syscall.SIGTERM {
		b.process.Signal(syscall.SIGCONT)
	}
	return b.ended, nil
}

// failure is why it ended without having been asked to, nil if it didn't.
func (b *broker) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended == nil || b.asked || b.running() {
		return nil
	}
	return fmt.Errorf("broker %d ended by itself; %s ends with\n%s", b.ID, b.log(), b.tail(10))
}

func (b *broker) tail(n int) string {
	text, err := os.ReadFile(b.log())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
