// Command sunspecgen turns SunSpec's models, as pysunspec2 ships them in JSON
// (Apache-2.0), into device profiles.
//
//	sunspecgen .../sunspec2/models/json firmware-config/profiles/sunspec
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// models are those that say what a device measures; settings are left to others.
var models = []int{
	1,             // what a device is
	101, 102, 103, // inverters of one, two and three phases, scaled integers
	111, 112, 113, // the same in floats
	201, 202, 203, 204, // meters
	211, 212, 213, 214,
	701, 713, // distributed resources: AC measurement, storage
	802, // batteries
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: sunspecgen MODELS PROFILES")
		os.Exit(2)
	}
	for _, id := range models {
		if err := generate(id, os.Args[1], os.Args[2]); err != nil {
			fmt.Fprintf(os.Stderr, "sunspecgen: model %d: %v\n", id, err)
			os.Exit(1)
		}
	}
}

func generate(id int, from, into string) error {
	src, err := os.ReadFile(filepath.Join(from, fmt.Sprintf("model_%d.json", id)))
	if err != nil {
		return err
	}
	text, err := convert(id, src)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(into, fmt.Sprintf("%d.yaml", id)), []byte(text), 0o644)
}
