package image

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/busbar/busbar/firmware-config/bundle"
	"github.com/busbar/busbar/firmware-config/image/layout"
)

// WriteSlot writes what a version is made of into a directory, as the files of a bundle: its
// kernel, the archive, and what the kernel is told, and on a Pi the firmware.
func (s Spec) WriteSlot(dir string) error {
	files, commandLine := []file{{name: layout.Kernel, from: s.Kernel}}, layout.CommandLine
	if s.Target == bundle.Pi {
		var err error
		if files, err = s.piFiles(); err != nil {
			return err
		}
		commandLine = layout.PiCommandLine
	}
	for _, f := range append(files, file{name: commandLine, content: []byte(s.options() + "\n")}) {
		if err := f.copy(filepath.Join(dir, filepath.FromSlash(f.name))); err != nil {
			return err
		}
	}
	return s.writeArchive(filepath.Join(dir, layout.Archive))
}

// open is the file's content.
func (f file) open() (io.ReadCloser, error) {
	if f.from == "" {
		return io.NopCloser(bytes.NewReader(f.content)), nil
	}
	return os.Open(f.from)
}

func (f file) copy(to string) error {
	in, err := f.open()
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
