//go:build unix

package keyfile

import (
	"io/fs"
	"os"
	"syscall"
)

// giveTo gives a file that root makes to the owner of another one: who runs its
// commands as root doesn't lock the program out.
func giveTo(f *os.File, owner fs.FileInfo) error {
	s, ok := owner.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	return f.Chown(int(s.Uid), int(s.Gid))
}

// lent are the bits by which a file of root's may be there for the program's group to
// read, if the program isn't root: so orchestrators hand over secrets.
func lent(info fs.FileInfo) fs.FileMode {
	s, ok := info.Sys().(*syscall.Stat_t)
	if ok && s.Uid == 0 && os.Geteuid() != 0 {
		return 0o040
	}
	return 0
}
