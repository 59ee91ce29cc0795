package main

import (
	"fmt"
	"os"

	firmware "github.com/busbar/busbar/firmware-config"
	"github.com/busbar/busbar/gatewayconfig"
)

type configCommand struct {
	Validate validateCommand `cmd:"" help:"Check a gateway's configuration. Every error is printed with its file, line and column, and the exit code is 2."`
	Schema   schemaCommand   `cmd:"" help:"Print the JSON Schema of gateway.yaml, for editors that complete and check while you type."`
}

type validateCommand struct {
	File string `arg:"" help:"The configuration, gateway.yaml."`
}

func (c validateCommand) Run() error {
	config, err := gatewayconfig.Load(c.File)
	if err != nil {
		return err
	}
	signals := 0
	for _, d := range config.Devices {
		signals += len(d.Signals)
	}
	fmt.Printf("%s is valid: gateway %s, %d devices, %d signals, %d rules\n",
		c.File, config.Gateway.ID, len(config.Devices), signals, len(config.Rules))
	return nil
}

type schemaCommand struct{}

func (schemaCommand) Run() error {
	_, err := os.Stdout.Write(firmware.Schema)
	return err
}
