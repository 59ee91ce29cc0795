package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// tools are the programs as people call them, in the demo's directory.
type tools struct{ dir, programs string }

// call runs one and returns what it prints.
func (t tools) call(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(t.programs, name), args...)
	cmd.Dir = t.dir
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return string(out), nil
}

// enrol makes the gateway's key and lets it write in the gateway's name, and has
// the gateway obey the cloud, as an engineer does with the same commands.
func (t tools) enrol(ctx context.Context) error {
	text, err := t.call(ctx, "busbar-gateway", "key", "--config", "gateway.yaml")
	if err != nil {
		return fmt.Errorf("enrol the gateway: %w", err)
	}
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			values[key] = value
		}
	}
	if _, err := t.call(ctx, "busbar-cloud", "gateway", "enrol", "--config", "cloud.yaml", values["gateway"], values["public_key"]); err != nil {
		return fmt.Errorf("enrol the gateway: %w", err)
	}
	public, err := t.call(ctx, "busbar-cloud", "command", "key", "--config", "cloud.yaml")
	if err != nil {
		return fmt.Errorf("enrol the gateway: %w", err)
	}
	return os.WriteFile(filepath.Join(t.dir, "commands.pub"), []byte(public), 0o600)
}

// importNetwork gives the cloud the model of the network whose meters are read.
func (t tools) importNetwork(ctx context.Context) error {
	if _, err := t.call(ctx, "busbar-cloud", "grid", "import", "--config", "cloud.yaml", "model.yaml", "--comment", "the demo's network"); err != nil {
		return fmt.Errorf("import the network: %w", err)
	}
	return nil
}
