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

// enrol makes the gateway's key and lets it write in the gateway's name, and has
// the gateway obey the cloud, as an engineer does with the same commands.
func enrol(ctx context.Context, dir, programs string) error {
	command := func(name string, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, filepath.Join(programs, name), args...)
		cmd.Dir = dir
		out, err := cmd.Output()
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		if err != nil {
			return "", fmt.Errorf("enrol the gateway: %s %s: %w", name, strings.Join(args, " "), err)
		}
		return string(out), nil
	}
	text, err := command("busbar-gateway", "key", "--config", "gateway.yaml")
	if err != nil {
		return err
	}
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			values[key] = value
		}
	}
	if _, err := command("busbar-cloud", "gateway", "enrol", "--config", "cloud.yaml", values["gateway"], values["public_key"]); err != nil {
		return err
	}
	public, err := command("busbar-cloud", "command", "key", "--config", "cloud.yaml")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "commands.pub"), []byte(public), 0o600)
}
