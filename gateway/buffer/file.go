package buffer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// formatVersion is written into every file. Files of version 1 are read; a file
// of a newer version is left alone, and opening the buffer is refused.
const formatVersion = 2

var (
	bucketFormat = []byte("format")
	keyVersion   = []byte("version")
)

// errDamaged is what reading a file fails with because of the file's content. Any
// other error is the machine's, and may pass.
var errDamaged = errors.New("the file is damaged")

// What opening a buffer fails with, other than by its disk.
var (
	errLocked = errors.New("use by another process")
	errNewer  = errors.New("a newer version of the program wrote it")
)

// guard turns the panics and page faults with which bbolt meets a damaged file
// into errors.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errDamaged, p)
		}
	}()
	return f()
}

// file is an open bbolt file.
type file struct {
	*bolt.DB
	descriptor *os.File
}

// end closes the file after its last use failed with err, or succeeded. If it is
// damaged, bbolt may have kept a lock that closing would wait for: then others are
// let in, and its mapping stays until the process ends.
func (f *file) end(err error) error {
	if errors.Is(err, errDamaged) {
		syscall.Flock(int(f.descriptor.Fd()), syscall.LOCK_UN)
		return f.descriptor.Close()
	}
	return f.DB.Close()
}

// isAt reports whether the file is the one of that name.
func (f *file) isAt(path string) bool {
	named, err := os.Stat(path)
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	own, err := f.descriptor.Stat()
	return err != nil || os.SameFile(named, own)
}

// openForWriting opens a file that is there and may grow.
func openForWriting(path string, allocation int) (*file, error) {
	if err := checkSize(path); err != nil {
		return nil, err
	}
	return boltOpen(path, &bolt.Options{}, allocation)
}

// openFile opens a file that is there for reading.
func openFile(path string) (*file, error) {
	if err := checkSize(path); err != nil {
		return nil, err
	}
	return boltOpen(path, &bolt.Options{ReadOnly: true}, 0)
}

func checkSize(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("buffer: %w", err)
	}
	if info.Size() < 4*int64(os.Getpagesize()) {
		return fmt.Errorf("buffer: open %s: %w: %d bytes", path, errDamaged, info.Size())
	}
	return nil
}

func sizeAt(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// newFile makes an empty file, in the place of any that is there. It grows by
// allocation more than it needs at a time.
func newFile(path string, allocation int) (*file, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("buffer: %w", err)
	}
	f, err := boltOpen(path, &bolt.Options{}, allocation)
	if err != nil {
		os.Remove(path)
	}
	return f, err
}

func boltOpen(path string, o *bolt.Options, allocation int) (*file, error) {
	f := &file{}
	o.Timeout, o.NoStatistics = time.Second, true
	// The free list is written along: without it, opening and rolling back walk
	// the whole file in goroutines, where a panic can't be caught.
	o.FreelistType = bolt.FreelistMapType
	o.OpenFile = func(path string, flag int, mode os.FileMode) (descriptor *os.File, err error) {
		f.descriptor, err = os.OpenFile(path, flag, mode)
		return f.descriptor, err
	}
	err := guard(func() (err error) {
		f.DB, err = bolt.Open(path, 0o600, o)
		return err
	})
	for _, verdict := range []error{bolterrors.ErrInvalid, bolterrors.ErrVersionMismatch, bolterrors.ErrChecksum} {
		if errors.Is(err, verdict) {
			err = fmt.Errorf("%w: %w", errDamaged, err)
		}
	}
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("buffer: %s is in %w", path, errLocked)
	}
	if err != nil {
		if f.descriptor != nil {
			f.descriptor.Close()
		}
		return nil, fmt.Errorf("buffer: open %s: %w", path, err)
	}
	f.AllocSize = allocation
	return f, nil
}

func checkVersion(v []byte) error {
	if len(v) != 1 {
		return fmt.Errorf("%w: it names no format version", errDamaged)
	}
	if v[0] > formatVersion {
		return fmt.Errorf("%w: it has format version %d, this program knows up to %d", errNewer, v[0], formatVersion)
	}
	return nil
}

// unfinishedSuffix marks a file that was being made when its process ended.
const unfinishedSuffix = ".new"

// create makes a file of the current version with what fill puts into it, whole
// or not at all.
func create(path string, allocation int, fill func(*bolt.Tx) error) (*file, error) {
	f, err := newFile(path+unfinishedSuffix, allocation)
	if err == nil {
		err = guard(func() error { return f.Update(func(tx *bolt.Tx) error { return begin(tx, fill) }) })
		err = f.finish(path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("buffer: begin %s: %w", path, err)
	}
	return f, nil
}

// begin puts the version into a new file, and what fill does.
func begin(tx *bolt.Tx, fill func(*bolt.Tx) error) error {
	format, err := tx.CreateBucketIfNotExists(bucketFormat)
	if err == nil {
		err = format.Put(keyVersion, []byte{formatVersion})
	}
	if err != nil {
		return err
	}
	return fill(tx)
}

// finish gives a file that newFile made its name, unless making it failed with
// err. Then it is closed and removed.
func (f *file) finish(path string, err error) error {
	if err == nil {
		err = os.Rename(path+unfinishedSuffix, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path)) // or what is committed to it may have no name after a power failure
	}
	if err != nil {
		f.end(err)
		os.Remove(path + unfinishedSuffix)
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("buffer: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("buffer: sync %s: %w", dir, err)
	}
	return nil
}
