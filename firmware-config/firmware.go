// Package firmware holds what goes onto a device beside the program: device
// profiles, example configurations, the JSON Schema that editors check them with, and the systemd
// unit with its account.
package firmware

import (
	"embed"
	"io/fs"

	"github.com/busbar/busbar/profile"
)

//go:embed profiles
var profiles embed.FS

// Profiles is the device profiles that come with Busbar.
func Profiles() profile.Library {
	files, err := fs.Sub(profiles, "profiles")
	if err != nil {
		panic(err)
	}
	return profile.NewLibrary(files)
}

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
