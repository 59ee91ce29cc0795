package buffer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// looked is a file of a buffer that is open for looking.
type looked struct {
	*os.File
	size   int64
	copied bool // a gateway is writing the file: this is a copy of it
}

// copyTries is how often a copy is begun anew because the gateway has committed
// meanwhile.
const copyTries = 20

// look opens a file for reading. Locking it would keep a gateway from starting,
// so a file that a gateway writes is copied, to an unlinked temporary file: the
// copy is good if no commit ended while it was made, since bbolt never changes a
// page of the last commit.
func look(path string) (*looked, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	if !written(f) {
		return &looked{File: f, size: info.Size()}, nil
	}
	defer f.Close()
	c, err := copyOf(f)
	if err != nil {
		return nil, fmt.Errorf("copy %s, which a gateway is writing: %w", path, err)
	}
	return c, nil
}

// written reports whether a process has locked the file for itself.
func written(f *os.File) bool {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		return errors.Is(err, syscall.EWOULDBLOCK)
	}
	syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
	return false
}

func copyOf(f *os.File) (*looked, error) {
	to, err := os.CreateTemp("", "busbar-buffer-")
	if err != nil {
		return nil, err
	}
	os.Remove(to.Name())
	for range copyTries {
		before := newest(f)
		if err := to.Truncate(0); err != nil {
			to.Close()
			return nil, err
		}
		size, err := io.Copy(io.NewOffsetWriter(to, 0), io.NewSectionReader(f, 0, 1<<62))
		if err != nil {
			to.Close()
			return nil, err
		}
		if after := newest(f); before == after && newest(to) == after {
			return &looked{File: to, size: size, copied: true}, nil
		}
	}
	to.Close()
	return nil, fmt.Errorf("it was changed during each of %d tries", copyTries)
}

// newest is the file's newest state; it is the zero boltMeta if there is none.
func newest(f *os.File) boltMeta {
	info, err := f.Stat()
	if err != nil {
		return boltMeta{}
	}
	p, err := readPages(f, info.Size())
	if err != nil {
		return boltMeta{}
	}
	return p.meta
}
