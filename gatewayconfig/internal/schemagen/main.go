// Command schemagen writes the JSON Schema of gateway.yaml, made from the
// structs of gatewayconfig and their comments, to the file that it is given.
package main

import (
	"fmt"
	"os"
)

//go:generate go run . ../../../firmware-config/gateway.schema.json

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: schemagen FILE")
		os.Exit(2)
	}
	schema, err := generate()
	if err == nil {
		err = os.WriteFile(os.Args[1], schema, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "schemagen:", err)
		os.Exit(1)
	}
}
