//go:build linux

package appliance

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/firmware-config/image/layout"
	"github.com/busbar/busbar/gatewayconfig"
)

// taken is the file, beside the configuration that runs, with the SHA-256 of what was last
// taken from the boot partition.
const taken = "taken.sha256"

// exchange is how a configuration comes from the boot partition, which any computer
// can edit, to the data partition, where the gateway alone can read it and change it.
type exchange struct {
	boot, data string                   // directories
	write      func(func() error) error // does something while boot can be written
	log        *slog.Logger
}

// take takes the configuration in the boot partition, if somebody has edited it since it was
// last taken, with the files that it names, and removes those there. A configuration that
// was changed through the gateway is put there instead. The error says why what is there
// isn't taken; what was taken before stays.
func (x exchange) take() error {
	edited, err := configfile.Read(filepath.Join(x.boot, layout.ConfigName))
	if err != nil {
		return err
	}
	own := filepath.Join(x.data, layout.ConfigName)
	runs, _ := os.ReadFile(own)
	last, _ := os.ReadFile(filepath.Join(x.data, taken))
	if runs != nil && string(last) == digest(edited) {
		if !bytes.Equal(runs, edited) {
			return x.show(runs)
		}
		return x.takeFiles(edited)
	}
	if err := x.takeFiles(edited); err != nil {
		return err
	}
	if err := configfile.Replace(own, edited, 0o600); err != nil {
		return err
	}
	x.log.Info("the configuration is taken from the partition BUSBAR", "sha256", digest(edited))
	return configfile.Replace(filepath.Join(x.data, taken), []byte(digest(edited)), 0o600)
}

// show puts the configuration that runs where the one is that it has replaced.
func (x exchange) show(runs []byte) error {
	// The mode is the only one that a FAT has.
	err := x.write(func() error { return configfile.Replace(filepath.Join(x.boot, layout.ConfigName), runs, 0o700) })
	if err != nil {
		x.log.Error("the configuration that runs can't be put onto the partition BUSBAR", "error", err)
		return nil
	}
	return configfile.Replace(filepath.Join(x.data, taken), []byte(digest(runs)), 0o600)
}

// takeFiles moves the files that a configuration names, once that is right.
func (x exchange) takeFiles(text []byte) error {
	config, err := gatewayconfig.ParseIn(x.boot, filepath.Join(x.boot, layout.ConfigName), text, x.read)
	if err != nil {
		return err
	}
	if err := layout.CheckPaths(config); err != nil {
		return err
	}
	var there []string
	for _, name := range config.Files() {
		content, err := os.ReadFile(filepath.Join(x.boot, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s, which the configuration names: %w", name, err)
		}
		there = append(there, name)
		if blanked(content) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(x.data, name)), 0o700); err != nil {
			return err
		}
		if err := configfile.Replace(filepath.Join(x.data, name), content, 0o600); err != nil {
			return err
		}
	}
	if len(there) == 0 {
		return nil
	}
	err = x.write(func() error {
		for _, name := range there {
			if err := blank(filepath.Join(x.boot, name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		x.log.Error("files of the configuration can't be removed from the partition BUSBAR, where anybody with the card can read them", "files", there, "error", err)
		return nil
	}
	x.log.Info("files of the configuration were moved off the partition BUSBAR", "files", there)
	return nil
}

// read reads a file where it is edited, or else where it was taken to.
func (x exchange) read(name string) ([]byte, error) {
	text, err := configfile.Read(name)
	if err == nil && !blanked(text) || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return text, err
	}
	if inside, rel := filepath.Rel(x.boot, name); rel == nil {
		return configfile.Read(filepath.Join(x.data, inside))
	}
	return text, err
}

// blanked reports whether a file was taken before, and the machine had no time to remove it.
func blanked(content []byte) bool {
	return len(content) > 0 && len(bytes.Trim(content, "\x00")) == 0
}

// blank overwrites a file and removes it.
func blank(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.Write(make([]byte, info.Size()))
	}
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(path))
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// settings are the machine's, of the configuration that runs, or of the one that is wrong
// as far as that is right.
func (x exchange) settings() (network gatewayconfig.Network, name string) {
	for _, dir := range []string{x.data, x.boot} {
		path := filepath.Join(dir, layout.ConfigName)
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if config, err := gatewayconfig.ParseIn(x.data, path, text, x.read); err == nil {
			return config.Network, config.Gateway.ID
		}
		if network, ok := gatewayconfig.ParseNetwork(path, text); ok {
			return network, ""
		}
	}
	return gatewayconfig.Network{}, ""
}

// problem is an error in one paragraph, without the lines of the file.
func problem(err error) string {
	wrong, ok := errors.AsType[configfile.Errors](err)
	if !ok {
		return err.Error()
	}
	var list []string
	for _, e := range wrong {
		list = append(list, fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, strings.TrimPrefix(e.Path+": "+e.Message, ": ")))
	}
	return strings.Join(list, "\n")
}
