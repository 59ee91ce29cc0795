package image

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"github.com/diskfs/go-diskfs"
	storage "github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/disk"

	"github.com/busbar/busbar/firmware-config/image/layout"
)

// Inject makes an image of another one, with this configuration and the files that it
// names, relative to dir, in the place of those that it has.
func Inject(base, to string, config []byte, files []string, dir string) (err error) {
	if err := isFile(to); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(to), "image")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	image := filepath.Join(work, "image")
	if err := expand(base, image); err != nil {
		return fmt.Errorf("%s: %w", base, err)
	}
	start, err := inject(image, config, files, dir)
	if err != nil {
		return fmt.Errorf("%s: %w", base, err)
	}
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(settle(f, start), f.Sync(), f.Close()); err != nil {
		return err
	}
	return Pack(image, to)
}

// inject says where the partition begins, in bytes.
func inject(image string, config []byte, files []string, dir string) (start int64, err error) {
	d, err := diskfs.Open(image)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	p, err := bootOf(d)
	if err != nil {
		return 0, err
	}
	boot, err := d.GetFilesystem(p.number)
	if err != nil {
		return 0, fmt.Errorf("partition %d: %w", p.number, err)
	}
	defer func() { err = errors.Join(err, boot.Close()) }()
	made := map[string]bool{".": true}
	put := []file{{name: layout.ConfigName, content: config}}
	for _, name := range files {
		put = append(put, file{name: filepath.ToSlash(name), from: filepath.Join(dir, name)})
	}
	for _, f := range put {
		if _, err := boot.ReadDir(path.Dir(f.name)); err == nil {
			made[path.Dir(f.name)] = true
		}
		if err := f.put(boot, made); err != nil {
			return 0, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return p.start, nil
}

// isFile refuses to write onto anything else: a device takes Flash.
func isFile(to string) error {
	info, err := os.Lstat(to)
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s isn't a file: make one, and write that", to)
	}
	return nil
}

// readOnly opens an image or a medium without changing it.
func readOnly(path string) (*disk.Disk, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return diskfs.OpenBackend(storage.New(f, true), diskfs.WithOpenMode(diskfs.ReadOnly))
}
