// Command components writes down what images are made of: the modules that are linked into
// the gateway, and the parts beside it, each with its licence and where its source is.
//
//	go run ./firmware-config/internal/components ARCH DIR [NAME VERSION LICENCE SOURCE FILE]...
//
// ARCH is Go's name of the machine. It fills components.json and licences.txt of DIR. FILE has
// the text of a part's licence.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/busbar/busbar/firmware-config/image"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "components:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	const fields = 5
	if len(args) < 2 || (len(args)-2)%fields != 0 {
		return errors.New("expected ARCH DIR [NAME VERSION LICENCE SOURCE FILE]...")
	}
	arch, dir := args[0], args[1]
	list, text, err := modules(arch)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(args[2:], fields) {
		licence, err := os.ReadFile(part[4])
		if err != nil {
			return err
		}
		list = append(list, image.Component{Name: part[0], Version: part[1], Licence: part[2], Source: strings.TrimSpace(part[3])})
		text = append(text, heading(part[0], part[1])+string(licence))
	}
	out, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, image.ComponentsName), append(out, '\n'), 0o644),
		os.WriteFile(filepath.Join(dir, image.LicencesName), []byte(strings.Join(text, "\n\n")), 0o644))
}

func heading(name, version string) string {
	line := name + " " + version
	return line + "\n" + strings.Repeat("=", len(line)) + "\n\n"
}

// modules are those that the gateway is linked from, with their licences' texts.
func modules(arch string) (list []image.Component, text []string, err error) {
	command := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}} {{.Version}} {{.Dir}}{{end}}", "./cmd/busbar-gateway")
	command.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0")
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return nil, nil, fmt.Errorf("go list: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	for _, line := range slices.Compact(lines) {
		fields := strings.Fields(line)
		if len(fields) == 2 { // our own
			fields = []string{fields[0], "", fields[1]}
		}
		if len(fields) != 3 {
			continue
		}
		name, licence, err := licenceIn(fields[2])
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", fields[0], err)
		}
		text = append(text, heading(fields[0], fields[1])+licence)
		if fields[1] == "" {
			continue
		}
		list = append(list, image.Component{
			Name: fields[0], Version: fields[1], Licence: name, Source: "https://" + fields[0], PURL: "pkg:golang/" + fields[0] + "@" + fields[1],
		})
	}
	root, err := goRoot()
	if err != nil {
		return nil, nil, err
	}
	_, licence, err := licenceIn(root)
	version := goVersion()
	list = append(list, image.Component{Name: "std", Version: version, Licence: "BSD-3-Clause", Source: "https://go.dev", PURL: "pkg:golang/std@" + version})
	return list, append(text, heading("The Go standard library", version)+licence), err
}

func goRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	return strings.TrimSpace(string(out)), err
}

func goVersion() string {
	out, _ := exec.Command("go", "env", "GOVERSION").Output()
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "go")
}

// licenceIn is the licence of what is in a directory, by its name of SPDX and its text.
func licenceIn(dir string) (name, text string, err error) {
	for _, file := range []string{"LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "COPYING", "COPYING.txt", "license"} {
		content, err := os.ReadFile(filepath.Join(dir, file))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", "", err
		}
		name, err = spdx(string(content))
		return name, string(content), err
	}
	return "", "", fmt.Errorf("there is no licence in %s", dir)
}

// spdx tells the licences apart that there are.
func spdx(text string) (string, error) {
	plain := strings.Join(strings.Fields(text), " ")
	for _, l := range []struct{ name, has string }{
		{"Apache-2.0", "Apache License Version 2.0"},
		{"EPL-2.0", "Eclipse Public License - v 2.0"},
		{"MPL-2.0", "Mozilla Public License"},
		{"MIT", "Permission is hereby granted, free of charge"},
		{"ISC", "Permission to use, copy, modify, and/or distribute"},
		{"ISC", "Permission to use, copy, modify, and distribute"},
		{"BSD-3-Clause", "endorse or promote products"},
		{"BSD-2-Clause", "Redistribution and use in source and binary forms"},
	} {
		if strings.Contains(plain, l.has) {
			return l.name, nil
		}
	}
	return "", errors.New("this licence isn't known: look at it, and add how it is told")
}
