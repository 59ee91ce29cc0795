package main

import (
	"fmt"
	"path/filepath"

	"github.com/busbar/busbar/gateway/identity"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/telemetry/record"
)

type key struct {
	Config string `help:"The configuration file." default:"/etc/busbar/gateway.yaml" placeholder:"FILE" type:"path"`
}

func (key) Help() string {
	return `The key is made in the file that gateway.key of the configuration names, if there is none. It works beside a gateway
that runs. The last line is the command with which the cloud is told of the key.

Example:
  busbar-gateway key --config gateway.yaml`
}

func (k key) Run() error {
	config, err := gatewayconfig.Load(k.Config)
	if err != nil {
		return err
	}
	i, _, err := identity.Open(config.Gateway.Key.In(filepath.Dir(k.Config)), config.Gateway.ID)
	if err != nil {
		return err
	}
	if err := describe(i); err != nil {
		return err
	}
	_, err = fmt.Printf("# busbar-cloud gateway enrol --config cloud.yaml %s %s\n", i.Gateway(), record.FormatPublicKey(i.PublicKey()))
	return err
}

// describe prints what people and scripts enrol a key by.
func describe(i *identity.Identity) error {
	_, err := fmt.Printf("gateway: %s\nkey_id: %s\npublic_key: %s\n", i.Gateway(), i.KeyID(), record.FormatPublicKey(i.PublicKey()))
	return err
}

type rotateKey struct {
	Config string `help:"The configuration file." default:"/etc/busbar/gateway.yaml" placeholder:"FILE" type:"path"`
}

func (rotateKey) Help() string {
	return `The old key signs for the new one, and the cloud takes the new one on its word: nobody has to enrol it. A gateway that
runs uses the new key from its next start on. The old key stays good for what it has signed until it is revoked:
revoke it when the cloud has everything, and has seen the new one, which busbar-cloud gateway list shows. If somebody
else may have the old key, revoke it at once and enrol the new one by hand.

Example:
  busbar-gateway rotate-key --config gateway.yaml`
}

func (r rotateKey) Run() error {
	config, err := gatewayconfig.Load(r.Config)
	if err != nil {
		return err
	}
	before, after, err := identity.Rotate(config.Gateway.Key.In(filepath.Dir(r.Config)), config.Gateway.ID)
	if err != nil {
		return err
	}
	if err := describe(after); err != nil {
		return err
	}
	_, err = fmt.Printf("# introduced by %s; the gateway uses it from its next start on\n", before.KeyID())
	return err
}
