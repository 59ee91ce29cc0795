//go:build unix

package gateway

import (
	"io/fs"
	"os"
	"syscall"
)

// sameOwner gives a file to those who own another one, and not what a link that somebody
// has put into its place leads to.
func sameOwner(path string, info fs.FileInfo) error {
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	mine, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if own, ok := mine.Sys().(*syscall.Stat_t); ok && own.Uid == owner.Uid && own.Gid == owner.Gid {
		return nil
	}
	return os.Lchown(path, int(owner.Uid), int(owner.Gid))
}
