package deploy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/busbar/busbar/cloud"
	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/kafka"
	"github.com/busbar/busbar/test/peer"
)

// kubernetesVersion is the one whose schemas resources are checked against.
const kubernetesVersion = "1.33"

type resource struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
	Data     map[string]string
	Spec     map[string]any
}

// resources renders a kustomization, and has its resources checked against the schemas
// of Kubernetes and Strimzi.
func resources(t *testing.T, dir string) (list []resource) {
	t.Helper()
	text := render(t, "kustomize", filepath.Join("../../deploy/kubernetes", dir))
	python := cmp.Or(os.Getenv("BUSBAR_PYTHON"), "python3")
	if exec.Command(python, "-c", "import kubernetes_validate").Run() != nil {
		peer.Missing(t, "no kubernetes-validate: make peers-python, and BUSBAR_PYTHON=$PWD/.venv/bin/python")
	}
	check := exec.Command(python, "../peers/deploy/validate.py", kubernetesVersion)
	check.Stdin = bytes.NewReader(text)
	out, err := check.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", dir, err, out)
	}
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		list = append(list, read[resource](t, []byte(document)))
	}
	if checked := strings.TrimSpace(string(out)); checked != strconv.Itoa(len(list)) {
		t.Fatalf("%s: %s of %d resources were checked", dir, checked, len(list))
	}
	return list
}

func ofKind(list []resource, kind string) (found []resource) {
	for _, r := range list {
		if r.Kind == kind {
			found = append(found, r)
		}
	}
	return found
}

// into reads a part of a resource as something that has a shape.
func into[T any](t *testing.T, part any) (v T) {
	t.Helper()
	text, err := json.Marshal(part)
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func read[T any](t *testing.T, document []byte) T {
	t.Helper()
	text, err := yaml.YAMLToJSON(document)
	if err != nil {
		t.Fatal(err)
	}
	return into[T](t, json.RawMessage(text))
}

type pod struct {
	AutomountServiceAccountToken  *bool
	TerminationGracePeriodSeconds int
	SecurityContext               struct {
		RunAsNonRoot   bool
		SeccompProfile struct{ Type string }
	}
	Containers []struct {
		Args            []string
		SecurityContext struct {
			AllowPrivilegeEscalation *bool
			ReadOnlyRootFilesystem   bool
			Capabilities             struct{ Drop, Add []string }
		}
		StartupProbe, ReadinessProbe, LivenessProbe struct{ HTTPGet struct{ Path, Scheme string } }
		Resources                                   struct{ Requests, Limits map[string]string }
	}
	Volumes []struct {
		Projected struct {
			Sources []map[string]struct {
				Name  string
				Items []struct{ Key, Path string }
			}
		}
	}
}

// The resources are what Kubernetes and Strimzi take; what they start reads its
// configuration, finds all that it names, and does all of a cloud's work.
func TestKubernetes(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"base", "overlays/example"} {
		list := resources(t, dir)
		configs := ofKind(list, "ConfigMap")
		if len(configs) != 1 {
			t.Fatalf("%s: %d ConfigMaps", dir, len(configs))
		}
		config, err := cloud.ParseConfig("cloud.yaml", []byte(configs[0].Data["cloud.yaml"]))
		if err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		checkLog(t, config.Log.Kafka)
		// What a process isn't there for is none of its files.
		named := func(targets []string) []configfile.Path {
			paths := []configfile.Path{config.Console.TLS.Cert, config.Console.TLS.Key, config.Store.Postgres.PasswordFile,
				config.Store.Postgres.TLS.CA, config.Log.Kafka.TLS.CA, config.Log.Kafka.SASL.PasswordFile}
			if slices.Contains(targets, string(cloud.TargetAPI)) {
				paths = append(paths, "command.key")
			}
			if slices.Contains(targets, string(cloud.TargetUplink)) {
				paths = append(paths, config.Uplink.Cert, config.Uplink.Key)
			}
			return paths
		}
		var targets []string
		for _, d := range ofKind(list, "Deployment") {
			p := into[pod](t, d.Spec["template"].(map[string]any)["spec"])
			targets = append(targets, checkPod(t, d.Metadata.Name, p, configs[0].Metadata.Name, named)...)
			if !slices.ContainsFunc(ofKind(list, "PodDisruptionBudget"), func(b resource) bool {
				return fmt.Sprint(b.Spec["selector"]) == fmt.Sprint(d.Spec["selector"])
			}) {
				t.Errorf("%s has no disruption budget", d.Metadata.Name)
			}
		}
		var all []string
		for _, target := range cloud.Targets {
			all = append(all, string(target))
		}
		if slices.Sort(targets); !slices.Equal(targets, slices.Sorted(slices.Values(all))) {
			t.Errorf("%s: the targets are %q, expected each of %q once", dir, targets, all)
		}
		for _, r := range list {
			if r.Kind == "Secret" {
				t.Errorf("%s has a secret, %s", dir, r.Metadata.Name)
			}
		}
	}
}

func checkPod(t *testing.T, name string, p pod, config string, named func(targets []string) []configfile.Path) []string {
	t.Helper()
	c := p.Containers[0]
	if p.AutomountServiceAccountToken == nil || *p.AutomountServiceAccountToken || !p.SecurityContext.RunAsNonRoot || p.SecurityContext.SeccompProfile.Type != "RuntimeDefault" ||
		c.SecurityContext.AllowPrivilegeEscalation == nil || *c.SecurityContext.AllowPrivilegeEscalation || !c.SecurityContext.ReadOnlyRootFilesystem ||
		!slices.Equal(c.SecurityContext.Capabilities.Drop, []string{"ALL"}) || len(c.SecurityContext.Capabilities.Add) > 0 {
		t.Errorf("%s may more than it needs: %+v", name, p)
	}
	if c.Resources.Requests["memory"] == "" || c.Resources.Requests["memory"] != c.Resources.Limits["memory"] {
		t.Errorf("%s: memory %v", name, c.Resources)
	}
	if c.StartupProbe.HTTPGet.Path != "/livez" || c.ReadinessProbe.HTTPGet.Path != "/readyz" || c.LivenessProbe.HTTPGet.Path != "/livez" || c.LivenessProbe.HTTPGet.Scheme != "HTTPS" {
		t.Errorf("%s is asked %+v, %+v, %+v", name, c.StartupProbe, c.ReadinessProbe, c.LivenessProbe)
	}
	if len(c.Args) != 5 || c.Args[0] != "run" || c.Args[1] != "--target" || c.Args[3] != "--drain" {
		t.Fatalf("%s: arguments %q", name, c.Args)
	}
	if drain, err := time.ParseDuration(c.Args[4]); err != nil || time.Duration(p.TerminationGracePeriodSeconds)*time.Second < drain+30*time.Second {
		t.Errorf("%s: %s to drain of %d s until it is killed", name, c.Args[4], p.TerminationGracePeriodSeconds)
	}
	var mounted []configfile.Path
	for _, source := range p.Volumes[0].Projected.Sources {
		if m, ok := source["configMap"]; ok && m.Name != config {
			t.Errorf("%s has the configuration %s, not %s", name, m.Name, config)
		}
		for _, item := range source["secret"].Items {
			mounted = append(mounted, configfile.Path(item.Path))
		}
	}
	slices.Sort(mounted)
	targets := strings.Split(c.Args[2], ",")
	if want := slices.Sorted(slices.Values(named(targets))); !slices.Equal(mounted, want) {
		t.Errorf("%s has %q mounted, and the configuration names %q", name, mounted, want)
	}
	return targets
}

// The cluster that Strimzi makes has the brokers' settings, the topics and the rights
// that tests run with.
func TestStrimzi(t *testing.T) {
	t.Parallel()
	list := resources(t, "overlays/example")
	cluster := into[struct {
		Kafka struct {
			Listeners []struct {
				Name           string
				Port           int
				TLS            bool
				Authentication struct{ Type string }
			}
			Authorization struct{ Type string }
			Config        map[string]any
		}
	}](t, ofKind(list, "Kafka")[0].Spec).Kafka
	settings := map[string]string{}
	for name, value := range cluster.Config {
		settings[name] = fmt.Sprint(value)
	}
	checkBroker(t, settings)
	for _, l := range cluster.Listeners {
		if !l.TLS || l.Authentication.Type != "scram-sha-512" {
			t.Errorf("listener %+v", l)
		}
	}
	config, err := cloud.LoadConfig("../../deploy/kubernetes/overlays/example/cloud.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("busbar-kafka-bootstrap:%d", cluster.Listeners[0].Port); !slices.Equal(config.Log.Kafka.Brokers, []string{want}) || cluster.Authorization.Type != "simple" {
		t.Errorf("brokers %q, expected %s", config.Log.Kafka.Brokers, want)
	}
	pools := map[string]int{}
	for _, p := range ofKind(list, "KafkaNodePool") {
		of := into[struct {
			Replicas int
			Roles    []string
		}](t, p.Spec)
		for _, role := range of.Roles {
			pools[role] += of.Replicas
		}
	}
	if !maps.Equal(pools, map[string]int{"broker": 3, "controller": 3}) {
		t.Errorf("the cluster has %v", pools)
	}

	type topic struct {
		Partitions, Replicas int
		Config               map[string]any
	}
	has := map[string]string{}
	for _, r := range ofKind(list, "KafkaTopic") {
		has[r.Metadata.Name] = fmt.Sprint(into[topic](t, r.Spec))
	}
	want := map[string]string{}
	topics := log.Topics(record.TopicsOf(""), config.Log.Partitions, config.Log.Replicas, config.Log.MinInSync)
	for _, made := range append(topics, log.ImportTopic(record.TopicsOf(""), config.Log.Replicas, config.Log.MinInSync)) {
		as := topic{int(made.Partitions), int(made.Replicas), map[string]any{"min.insync.replicas": float64(made.MinInSync), "retention.ms": float64(made.Retention.Milliseconds())}}
		if made.Compacted {
			delete(as.Config, "retention.ms")
			as.Config["cleanup.policy"] = "compact"
		}
		want[made.Name] = fmt.Sprint(as)
	}
	if !maps.Equal(has, want) {
		t.Errorf("topics %v\nexpected %v", has, want)
	}

	cloudRights := append(kafka.CloudRights("")[:3], kafka.UplinkRights("")...) // without measurements
	for user, rights := range map[string][]kafka.Right{"busbar-cloud": cloudRights, "north-gw1": kafka.GatewayRights("")} {
		i := slices.IndexFunc(list, func(r resource) bool { return r.Kind == "KafkaUser" && r.Metadata.Name == user })
		if i < 0 {
			t.Fatalf("there is no user %s", user)
		}
		checkRights(t, user, list[i], rights)
	}
}

func checkRights(t *testing.T, user string, r resource, rights []kafka.Right) {
	t.Helper()
	of := into[struct {
		Authorization struct {
			ACLs []struct {
				Resource   struct{ Type, Name, PatternType string }
				Operations []string
			}
		}
	}](t, r.Spec)
	var has, want []string
	for _, a := range of.Authorization.ACLs {
		for _, operation := range a.Operations {
			has = append(has, path.Join(a.Resource.Type, a.Resource.Name, cmp.Or(a.Resource.PatternType, "literal"), strings.ToUpper(operation)))
		}
	}
	for _, right := range rights {
		pattern := "literal"
		if right.Prefixed {
			pattern = "prefix"
		}
		for _, operation := range right.Operations {
			// The topics are there, so none is to be made.
			if name := strings.ReplaceAll(operation.String(), "_", ""); name != "CREATE" {
				want = append(want, path.Join("topic", right.Topic, pattern, name))
			}
		}
	}
	slices.Sort(has)
	if slices.Sort(want); !slices.Equal(has, want) {
		t.Errorf("%s may %q\nexpected %q", user, has, want)
	}
}
