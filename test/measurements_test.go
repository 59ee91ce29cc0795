package test

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/test/kafka"
)

// readMeasurements reads what the cloud has written with the consumers of docs/measurements.md,
// in Python and in Go: each sample that is stored, once.
func readMeasurements(t *testing.T, ctx context.Context, cluster *kafka.Cluster, prefix string, stored int) {
	t.Helper()
	page := readFile(t, "../docs", "measurements.md")
	var read []func() []string
	for _, language := range []string{"python", "go"} {
		consumer := runConsumer(t, ctx, cluster, prefix, page, language)
		lines := func() []string {
			return strings.Split(strings.TrimSuffix(readFile(t, consumer.log), "\n"), "\n")
		}
		await(t, "all measurements in "+language, time.Minute, func() bool { return len(lines()) >= stored })
		read = append(read, lines)
	}
	time.Sleep(time.Second) // there may be too many
	var sorted [2][]string
	for i, lines := range read {
		sorted[i] = lines()
		slices.Sort(sorted[i])
		if n := len(sorted[i]); n != stored {
			t.Errorf("consumer %d: %d measurements of %d samples", i, n, stored)
		}
	}
	if text := strings.Join(sorted[1], "\n"); !strings.Contains(text, " PhV.phsA 2") {
		t.Errorf("no voltage in %.1000s", text)
	}
}

// runConsumer runs the first program in a language of a page of docs, which reads from the
// cluster as a user of its own.
func runConsumer(t *testing.T, ctx context.Context, cluster *kafka.Cluster, prefix, page, language string) *program {
	t.Helper()
	python := cmp.Or(os.Getenv("BUSBAR_PYTHON"), "python3")
	need(t, "confluent-kafka: make peers-python, and BUSBAR_PYTHON=$PWD/.venv/bin/python", exec.Command(python, "-c", "import confluent_kafka").Run() == nil)
	_, text, ok := strings.Cut(page, "\n```"+language+"\n")
	if !ok {
		t.Fatalf("no consumer in %s", language)
	}
	text, _, _ = strings.Cut(text, "\n```")
	name := prefix + "-" + language
	user := must(cluster.User(ctx, prefix, name, "reader", kafka.ReaderRights(prefix, name)))(t)
	dir := t.TempDir()
	for from, to := range map[string]string{
		"kafka-0.example:9093": user.SCRAM().Brokers[0], "ca.crt": user.CA, "reader.password": user.PasswordFile, `"reader"`: `"` + name + `"`, `"busbar.`: `"` + prefix + ".",
	} {
		if !strings.Contains(text, from) {
			t.Fatalf("%s isn't in the consumer in %s", from, language)
		}
		text = strings.ReplaceAll(text, from, to)
	}
	file := filepath.Join(dir, "consumer."+map[string]string{"python": "py", "go": "go"}[language])
	write(t, dir, filepath.Base(file), text)
	command := exec.CommandContext(ctx, python, file)
	if language == "go" {
		program := filepath.Join(dir, "consumer")
		if out, err := exec.Command("go", "build", "-o", program, file).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		command = exec.CommandContext(ctx, program)
	}
	return launch(t, dir, name, command)
}
