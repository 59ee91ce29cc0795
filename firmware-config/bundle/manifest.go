// Package bundle is the form in which a new version comes to a gateway: one file
// that says what it is for, is signed, and is refused unless it is whole.
//
// A bundle is a tar archive: manifest.json, its signature manifest.json.minisig as
// minisign writes it, and the files that the manifest names, in its order. What the
// manifest says of a file is what holds of it, so the one signature covers all. It can be
// checked without Busbar: tar, minisign and sha256sum do.
package bundle

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Target is the kind of machine that a bundle is for.
type Target string

// The targets.
const (
	Pi       Target = "pi"        // Raspberry Pi 3, 4, 5, Zero 2 W, 64 bit
	PC       Target = "pc"        // amd64 with UEFI
	PCDebian Target = "pc-debian" // the same with Debian's kernel, which has more drivers
	ARM64    Target = "arm64"     // arm64 with UEFI
)

// Targets is all of them.
var Targets = []Target{Pi, PC, PCDebian, ARM64}

// Manifest says what a bundle is.
type Manifest struct {
	Format  int    `json:"format"` // 1
	Version string `json:"version"`
	// Epoch grows whenever gateways mustn't go back to what was before, as after a
	// vulnerability was mended. A gateway refuses bundles of a lower one than it has had.
	Epoch  uint64 `json:"epoch"`
	Target Target `json:"target"`
	// AllowDowngrade has gateways take it although they have had a higher epoch.
	AllowDowngrade bool   `json:"allow_downgrade,omitempty"`
	Files          []File `json:"files"`
}

// File is one of a bundle.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"` // bytes
	SHA256 Digest `json:"sha256"`
}

// Digest is a SHA-256, in JSON as hexadecimal digits.
type Digest [32]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != 2*len(d) {
		return fmt.Errorf("%d characters, expected %d hexadecimal digits", len(text), 2*len(d))
	}
	_, err := hex.Decode(d[:], text)
	return err
}

const (
	format       = 1
	manifestName = "manifest.json"
	signatureExt = ".minisig"
	mostManifest = 1 << 20 // bytes
	mostFiles    = 10_000
	mostSize     = 4 << 30 // of a file, in bytes
)

var versions = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+~-]{0,63}$`)

// IsVersion reports whether something may be the version of what gateways run.
func IsVersion(text string) bool { return versions.MatchString(text) }

// Check says what is wrong with the manifest itself.
func (m Manifest) Check() error {
	switch {
	case m.Format != format:
		return fmt.Errorf("format %d: this program knows format %d", m.Format, format)
	case !IsVersion(m.Version):
		return fmt.Errorf("version %q: expected 1 to 64 letters, digits, or any of .+~-", m.Version)
	case !slices.Contains(Targets, m.Target):
		return fmt.Errorf("target %q: expected one of %v", m.Target, Targets)
	case len(m.Files) == 0 || len(m.Files) > mostFiles:
		return fmt.Errorf("%d files: expected 1 to %d", len(m.Files), mostFiles)
	}
	names := map[string]bool{manifestName: true, manifestName + signatureExt: true}
	for _, f := range m.Files {
		switch {
		case !local(f.Name):
			return fmt.Errorf("file %q: expected a relative path without dots", f.Name)
		case names[f.Name]:
			return fmt.Errorf("file %q is there twice", f.Name)
		case f.Size < 0 || f.Size > mostSize:
			return fmt.Errorf("file %q: %d bytes", f.Name, f.Size)
		}
		names[f.Name] = true
	}
	return nil
}

func local(name string) bool {
	return name != "" && len(name) <= 200 && path.Clean(name) == name && !path.IsAbs(name) && !strings.HasPrefix(name, ".") &&
		!strings.Contains(name, "/.") && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' || r == '\\' || r == ':' })
}

func parseManifest(text []byte) (m Manifest, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err = d.Decode(&m); err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is more behind it")
		}
	}
	if err == nil {
		err = m.Check()
	}
	if err != nil {
		return m, fmt.Errorf("%s: %w", manifestName, err)
	}
	return m, nil
}

// Installed is what a gateway runs.
type Installed struct {
	Target Target
	Epoch  uint64 // the highest that it has been confirmed with
}

// Suits says why a gateway doesn't take the bundle; nil if it does.
func (m Manifest) Suits(i Installed) error {
	switch {
	case m.Target != i.Target:
		return fmt.Errorf("version %s is for target %s, and this is %s", m.Version, m.Target, i.Target)
	case m.Epoch < i.Epoch && !m.AllowDowngrade:
		return fmt.Errorf("version %s has epoch %d, and this gateway has had %d: going back isn't allowed", m.Version, m.Epoch, i.Epoch)
	}
	return nil
}
