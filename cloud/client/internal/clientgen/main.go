// Command clientgen writes the TypeScript client of the API from its description:
//
//	clientgen OPENAPI.json CLIENT.ts
package main

import (
	"fmt"
	"os"
)

//go:generate go run . ../../../../docs/openapi.json ../../typescript/client.ts

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: clientgen OPENAPI.json CLIENT.ts")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintf(os.Stderr, "clientgen: %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

func run(from, to string) error {
	description, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	client, err := generate(description)
	if err != nil {
		return err
	}
	return os.WriteFile(to, client, 0o644)
}
