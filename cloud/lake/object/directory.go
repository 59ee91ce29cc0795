package object

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Directory is a Store in a directory of this machine, or of a file system that has
// atomic links.
type Directory struct{ root string }

// OpenDirectory makes the directory if it is missing.
func OpenDirectory(path string) (*Directory, error) {
	d, err := FindDirectory(path)
	if err == nil {
		if err = makeDir(d.root); err != nil {
			err = fmt.Errorf("lake: %w", err)
		}
	}
	return d, err
}

// FindDirectory makes nothing: where there is no directory there are no files.
func FindDirectory(path string) (*Directory, error) {
	root, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("lake: %w", err)
	}
	return &Directory{root}, nil
}

// makeDir makes a directory and what is missing above it, so that a power failure
// doesn't take them away again with what is in them.
func makeDir(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	above := filepath.Dir(dir)
	if above != dir {
		if err := makeDir(above); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(dir)
}

func (d *Directory) path(name string) string { return filepath.Join(d.root, filepath.FromSlash(name)) }

func (d *Directory) URL(name string) string { return d.path(name) }

// Temporary begins the names of files that are being written: a number, _ and the name that
// they will have follow. A kill leaves them.
const Temporary = ".busbar"

// write makes a durable file under a name that nobody else uses.
func (d *Directory) write(name string, r io.Reader) (path string, err error) {
	dir := filepath.Dir(d.path(name))
	if err := makeDir(dir); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, Temporary+"*_"+filepath.Base(d.path(name)))
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, r)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		os.Remove(f.Name())
	}
	return f.Name(), err
}

// syncDir makes the name of a file or directory durable.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (d *Directory) Put(_ context.Context, name string, r io.ReaderAt, size int64) error {
	from, err := d.write(name, io.NewSectionReader(r, 0, size))
	if err == nil {
		if err = os.Rename(from, d.path(name)); err == nil {
			err = syncDir(d.path(name))
		}
	}
	return explain("write", name, err)
}

func (d *Directory) Create(_ context.Context, name string, data []byte) error {
	from, err := d.write(name, bytes.NewReader(data))
	if err == nil {
		err = os.Link(from, d.path(name)) // which a rename would replace
		os.Remove(from)
		switch {
		case errors.Is(err, fs.ErrExist):
			return fmt.Errorf("lake: create %s: %w", name, ErrExists)
		case err == nil:
			err = syncDir(d.path(name))
		}
	}
	return explain("create", name, err)
}

func (d *Directory) Get(_ context.Context, name string) ([]byte, error) {
	data, err := os.ReadFile(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNotExist
	}
	return data, explain("read", name, err)
}

func (d *Directory) List(_ context.Context, prefix string) (names []string, err error) {
	err = filepath.WalkDir(filepath.Dir(d.path(prefix+"x")), func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil || e.IsDir():
			return err
		}
		name, err := filepath.Rel(d.root, path)
		if name = filepath.ToSlash(name); err == nil && strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
		return err
	})
	return names, explain("list", prefix, err)
}

func (d *Directory) Delete(_ context.Context, name string) error {
	err := os.Remove(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return explain("delete", name, err)
}

func explain(what, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("lake: %s %s: %w", what, name, err)
}
