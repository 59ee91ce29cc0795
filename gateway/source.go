package gateway

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gatewayconfig"
)

// Source is what a configuration was read from.
type Source struct {
	Text []byte // of its file
	// Profiles are the files of the profiles that don't come with Busbar, by name.
	Profiles map[string][]byte
}

// readSource reads the configuration in a file.
func readSource(file string) (gatewayconfig.Config, Source, error) {
	text, err := configfile.Read(file)
	if err != nil {
		return gatewayconfig.Config{}, Source{}, err
	}
	s := Source{Text: text, Profiles: map[string][]byte{}}
	config, err := gatewayconfig.ParseIn(filepath.Dir(file), file, text, func(name string) ([]byte, error) {
		src, err := configfile.Read(name)
		if err == nil {
			s.Profiles[name] = src
		}
		return src, err
	})
	return config, s, err
}

// parse is the configuration that was read from file then, whatever its files hold now.
func (s Source) parse(file string) (gatewayconfig.Config, error) {
	return gatewayconfig.ParseIn(filepath.Dir(file), file, s.Text, func(name string) ([]byte, error) {
		if src, known := s.Profiles[name]; known {
			return src, nil
		}
		return nil, &configfile.ReadError{Err: &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}}
	})
}

// each is the same files with what change makes of what is in them.
func (s Source) each(change func(text []byte) []byte) Source {
	changed := Source{Profiles: make(map[string][]byte, len(s.Profiles))}
	if s.Text != nil {
		changed.Text = change(s.Text)
	}
	for name, text := range s.Profiles {
		changed.Profiles[name] = change(text)
	}
	return changed
}

// hash is the SHA-256 of the configuration's file, in hexadecimal.
func (s Source) hash() string { return hashOf(s.Text) }

// fingerprint is one of all files.
func (s Source) fingerprint() string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%x\n", sha256.Sum256(s.Text))
	for _, name := range slices.Sorted(maps.Keys(s.Profiles)) {
		fmt.Fprintf(sum, "%x %q\n", sha256.Sum256(s.Profiles[name]), name)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

func hashOf(text []byte) string { return fmt.Sprintf("%x", sha256.Sum256(text)) }
