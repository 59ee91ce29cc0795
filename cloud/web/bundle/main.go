// Command bundle builds the operator's console from its TypeScript sources
// into dist, where package web embeds it. It needs no node and no network:
//
//	go run ./cloud/web/bundle [directory of package web]
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

func main() {
	dir := filepath.Join("cloud", "web")
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if err := run(dir); err != nil {
		fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	files, err := build(dir)
	if err != nil {
		return err
	}
	dist := filepath.Join(dir, "dist")
	if err := os.RemoveAll(dist); err != nil {
		return fmt.Errorf("clearing %s: %w", dist, err)
	}
	for name, body := range files {
		target := filepath.Join(dist, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, body, 0o644); err != nil {
			return err
		}
		fmt.Printf("%8d %s\n", len(body), name)
	}
	return nil
}

// vendored maps what the sources import to the copy under third_party.
var vendored = map[string]string{
	"preact":               "preact/dist/preact.mjs",
	"preact/hooks":         "preact/hooks/dist/hooks.mjs",
	"preact/jsx-runtime":   "preact/jsx-runtime/dist/jsxRuntime.mjs",
	"@preact/signals":      "preact-signals/signals.mjs",
	"@preact/signals-core": "preact-signals-core/signals-core.mjs",
	"uplot":                "uplot/uPlot.esm.js",
	"uplot.css":            "uplot/uPlot.min.css",
}

// build bundles the sources under dir and returns dist's files by their
// slash-separated names. It writes nothing.
func build(dir string) (map[string][]byte, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	alias := map[string]string{"@busbar/client": filepath.Join(root, "..", "client", "typescript", "client.ts")}
	for name, file := range vendored {
		alias[name] = filepath.Join(root, "third_party", filepath.FromSlash(file))
	}
	options := api.BuildOptions{
		AbsWorkingDir:     root,
		EntryPoints:       []string{"src/app.tsx", "src/console.css", "src/icon.svg"},
		EntryNames:        "[name]-[hash]",
		ChunkNames:        "[name]-[hash]",
		Outdir:            "dist/assets",
		Bundle:            true,
		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		MinifySyntax:      true,
		LegalComments:     api.LegalCommentsNone,
		Format:            api.FormatESModule,
		Splitting:         true, // a language is loaded when it is used
		Target:            api.ES2022,
		Charset:           api.CharsetUTF8,
		JSX:               api.JSXAutomatic,
		JSXImportSource:   "preact",
		TsconfigRaw:       `{"compilerOptions": {"strict": true}}`,
		Loader:            map[string]api.Loader{".svg": api.LoaderCopy},
		Alias:             alias,
	}
	first := options // a module would run after the first paint
	first.EntryPoints, first.Format, first.Splitting = []string{"src/boot.ts"}, api.FormatIIFE, false
	var outputs []api.OutputFile
	for _, o := range []api.BuildOptions{options, first} {
		result := api.Build(o)
		if len(result.Errors) > 0 {
			return nil, errors.New(strings.Join(api.FormatMessages(result.Errors, api.FormatMessagesOptions{}), ""))
		}
		outputs = append(outputs, result.OutputFiles...)
	}

	files := map[string][]byte{}
	page, err := os.ReadFile(filepath.Join(root, "src", "index.html"))
	if err != nil {
		return nil, err
	}
	for _, out := range outputs {
		name, err := filepath.Rel(filepath.Join(root, "dist"), out.Path)
		if err != nil {
			return nil, err
		}
		name = filepath.ToSlash(name)
		files[name] = out.Contents
		base := filepath.Base(name)
		plain := base[:strings.LastIndex(base, "-")] + filepath.Ext(base)
		page = bytes.ReplaceAll(page, []byte("{{"+plain+"}}"), []byte("/"+name))
	}
	if i := bytes.Index(page, []byte("{{")); i >= 0 {
		return nil, fmt.Errorf("src/index.html names a file that the build doesn't make: %.30s", page[i:])
	}
	files["index.html"] = page
	files["assets/licenses.txt"], err = licenses(filepath.Join(root, "third_party"))
	return files, err
}

// licenses joins the licence texts of everything vendored.
func licenses(dir string) ([]byte, error) {
	found, err := fs.Glob(os.DirFS(dir), "*/LICENSE")
	if err != nil {
		return nil, err
	}
	slices.Sort(found)
	var all bytes.Buffer
	for _, name := range found {
		text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&all, "%s\n\n%s\n\n", filepath.Dir(name), bytes.TrimSpace(text))
	}
	return all.Bytes(), nil
}
