package configfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Replace writes a file as a whole: whoever reads it, also after a power failure,
// finds what it held before or all of data. The directory must be writable.
func Replace(path string, data []byte, mode fs.FileMode) error {
	temporary, err := Write(path, data, mode)
	if err != nil {
		return err
	}
	return Rename(temporary, path)
}

// Write writes a file beside path, on the disk when it returns, for Rename to put in
// its place.
func Write(path string, data []byte, mode fs.FileMode) (temporary string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	return f.Name(), err
}

// Rename puts a file in the place of another, on the disk when it returns.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	if runtime.GOOS == "windows" {
		return nil // a directory can't be synced
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
