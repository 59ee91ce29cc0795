// Prints what Docker Compose and Kustomize make of files: the loaders that they have
// themselves, without an engine or a cluster.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("expected: compose FILE, or kustomize DIRECTORY")
	}
	text, err := []byte(nil), error(nil)
	switch what, of := args[0], args[1]; what {
	case "compose":
		text, err = compose(of)
	case "kustomize":
		text, err = kustomize(of)
	default:
		err = fmt.Errorf("%q, expected compose or kustomize", what)
	}
	if err == nil {
		_, err = os.Stdout.Write(text)
	}
	return err
}

// compose is the project as JSON, with its variables from the environment alone.
func compose(file string) ([]byte, error) {
	options, err := cli.NewProjectOptions([]string{file}, cli.WithOsEnv)
	if err != nil {
		return nil, err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return nil, err
	}
	return project.MarshalJSON()
}

// kustomize is the resources of a kustomization as YAML.
func kustomize(dir string) ([]byte, error) {
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, err
	}
	return resources.AsYaml()
}
