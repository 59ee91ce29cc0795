package demo

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// enrol makes the gateway's key and lets it write in the gateway's name, as an
// engineer does with the same two commands.
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
	_, err = command("busbar-cloud", "gateway", "enrol", "--config", "cloud.yaml", values["gateway"], values["public_key"])
	return err
}
