// Package cpio writes the archive that a Linux kernel unpacks at its start.
package cpio

import (
	"compress/gzip"
	"fmt"
	"os"
	"path"
	"strings"
)

// File is a file of an archive that a machine starts from.
type File struct {
	Path string // in the machine
	From string // what is copied; "": Text
	Text string
}

// WriteFile writes the archive of the files, which all may be executed.
func WriteFile(to string, files ...File) error {
	file, err := os.Create(to)
	if err != nil {
		return err
	}
	zip, _ := gzip.NewWriterLevel(file, gzip.BestSpeed)
	a := archive{w: zip, made: map[string]bool{"": true}}
	a.directories("dev/console")
	a.add("dev/console", 0o020600, nil)
	for _, f := range files {
		content := []byte(f.Text)
		if f.From != "" && a.err == nil {
			content, a.err = os.ReadFile(f.From)
		}
		name := strings.TrimPrefix(f.Path, "/")
		a.directories(name)
		a.add(name, 0o100755, content)
	}
	a.add("TRAILER!!!", 0, nil)
	for _, err := range []error{a.err, zip.Close(), file.Close()} {
		if err != nil {
			return fmt.Errorf("write %s: %w", to, err)
		}
	}
	return nil
}

// archive writes the "newc" form of cpio, which the kernel unpacks at its start.
type archive struct {
	w     *gzip.Writer
	made  map[string]bool // directories
	inode int
	err   error
}

// directories adds those that a file lies in, where they aren't there yet.
func (a *archive) directories(name string) {
	dir := strings.TrimSuffix(path.Dir(name), ".")
	if a.made[dir] {
		return
	}
	a.directories(dir)
	a.made[dir] = true
	a.add(dir, 0o040755, nil)
}

func (a *archive) add(name string, mode int, content []byte) {
	a.inode++
	major, minor := 0, 0
	if mode&0o170000 == 0o020000 {
		major, minor = 5, 1 // the console
	}
	head := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		a.inode, mode, 0, 0, 1, 0, len(content), 0, 0, major, minor, len(name)+1, 0) + name + "\x00"
	for _, part := range [][]byte{[]byte(head), content} {
		if a.err == nil {
			_, a.err = a.w.Write(append(part, make([]byte, (4-len(part)%4)%4)...))
		}
	}
}
