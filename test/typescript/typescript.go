// Package typescript compiles and runs TypeScript in tests, as the client's users do.
package typescript

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/busbar/busbar/test/peer"
)

// Compile runs the compiler, and fails the test with what it says is wrong. If it isn't
// installed, the test is skipped, or fails if CI is set.
func Compile(t testing.TB, args ...string) {
	t.Helper()
	if out, err := compiler(t, args...).CombinedOutput(); err != nil {
		t.Fatalf("tsc: %v\n%s", err, out)
	}
}

// Complaints is what the compiler says is wrong.
func Complaints(t testing.TB, args ...string) string {
	t.Helper()
	out, _ := compiler(t, args...).CombinedOutput()
	return string(out)
}

func compiler(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	tsc := filepath.Join(peer.Root(), ".peers", "tsc", "node_modules", ".bin", "tsc")
	if _, err := os.Stat(tsc); err != nil {
		peer.Missing(t, "no TypeScript: make peers")
	}
	return exec.Command(tsc, args...)
}

// strict is how what uses a client is compiled.
var strict = map[string]any{
	"target": "es2022", "lib": []string{"es2023", "dom", "dom.iterable"}, "module": "nodenext", "types": []string{},
	"strict": true, "noUncheckedIndexedAccess": true, "exactOptionalPropertyTypes": true, "noUnusedLocals": true,
}

// Project is a directory with programs, files by their name, that import the client made
// of the file client as @busbar/client, from the package that its users install. They are
// compiled, and complaints are what is wrong with them.
func Project(t testing.TB, client string, files map[string]string) (dir, complaints string) {
	t.Helper()
	dir = t.TempDir()
	of := filepath.Join(peer.Root(), "cloud", "client", "typescript")
	at := filepath.Join(dir, "node_modules", "@busbar", "client")
	write(t, filepath.Join(at, "client.ts"), []byte(client))
	for _, name := range []string{"package.json", "tsconfig.json"} {
		text, err := os.ReadFile(filepath.Join(of, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(at, name), text)
	}
	Compile(t, "--project", at)
	if err := os.Remove(filepath.Join(at, "client.ts")); err != nil { // the package has none
		t.Fatal(err)
	}
	for name, text := range files {
		write(t, filepath.Join(dir, name), []byte(text))
	}
	write(t, filepath.Join(dir, "package.json"), []byte(`{"type": "module"}`))
	config, err := json.Marshal(map[string]any{"compilerOptions": strict, "include": []string{"*.ts"}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "tsconfig.json"), config)
	return dir, Complaints(t, "--project", dir)
}

func write(t testing.TB, name string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Node is a program that has been compiled, ready to run.
func Node(t testing.TB, dir, program string, args ...string) *exec.Cmd {
	t.Helper()
	node := peer.Program(t, "node", "nodejs")
	return exec.CommandContext(t.Context(), node, append([]string{filepath.Join(dir, program)}, args...)...)
}
