// Package firmware holds what goes onto a device beside the program: example
// configurations, the JSON Schema that editors check them with, and the systemd
// unit with its account.
package firmware

import _ "embed"

// Schema is the JSON Schema, draft 2020-12, of gateway.yaml.
//
//go:embed gateway.schema.json
var Schema []byte

// Example is a gateway.yaml that uses every part of the configuration.
//
//go:embed gateway.yaml
var Example []byte

// FirstMeter is the shortest useful gateway.yaml: one meter, and Kafka on the
// same machine.
//
//go:embed first-meter.yaml
var FirstMeter []byte
