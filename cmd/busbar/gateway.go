package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/gateway"
	"github.com/busbar/busbar/gatewayconfig"
)

type gatewayCommand struct {
	Enrol enrolCommand `cmd:"" help:"Have the cloud take this gateway's key, by a one-time token."`
}

type enrolCommand struct {
	Config    string `help:"The gateway's configuration file, with forward.uplink." default:"/etc/busbar/gateway.yaml" placeholder:"FILE" type:"path"`
	TokenFile string `help:"The file that holds the token; - reads it from standard input." default:"-" placeholder:"FILE"`
}

func (enrolCommand) Help() string {
	return `The token comes from busbar-cloud gateway token. The gateway's key is made if there is none. The command works beside a
gateway that runs, and may be repeated. The uplink's certificate is checked by this machine's clock. Where that isn't set, the
time is what time.ntp of the configuration says, or what a gateway has noted, which may be too early.

Example:
  busbar gateway enrol --config gateway.yaml --token-file token.txt
  echo MFRGGZDFMZTWQ2LKNNWG23TPOA | busbar gateway enrol --config gateway.yaml`
}

const enrolTimeout = 30 * time.Second

func (e enrolCommand) Run(ctx context.Context, info program.Info) error {
	config, err := gatewayconfig.Load(e.Config)
	if err != nil {
		return err
	}
	dir := filepath.Dir(e.Config)
	if config.Forward.Uplink == nil {
		return program.Usage{Err: fmt.Errorf("%s has no forward.uplink: a gateway that sends to Kafka is enrolled by busbar-cloud gateway enrol", e.Config)}
	}
	token, err := e.token()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, enrolTimeout)
	defer cancel()
	key, err := gateway.Enrol(ctx, config, gateway.Options{Version: info.Version, Dir: dir, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}, token)
	if err != nil {
		return err
	}
	fmt.Printf("key %s of %s is enrolled at %s\n", key, config.Gateway.ID, config.Forward.Uplink.URL)
	return nil
}

func (e enrolCommand) token() (string, error) {
	source := os.Stdin
	if e.TokenFile != "-" {
		file, err := os.Open(e.TokenFile)
		if err != nil {
			return "", fmt.Errorf("read the token: %w", err)
		}
		defer file.Close()
		source = file
	}
	text, err := io.ReadAll(io.LimitReader(source, 1<<10))
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", program.Usage{Err: fmt.Errorf("the token is empty")}
	}
	return token, nil
}
