package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/busbar/busbar/firmware-config/image/layout"
)

// Flash writes an image onto a medium and reads it back. fixed accepts one that isn't
// removable. One that is in use is refused. progress is told how many bytes have been
// written, and then how many read back.
func Flash(ctx context.Context, image, device string, fixed bool, progress func(what string, done int64)) (size int64, err error) {
	name, err := diskName(device)
	if err != nil {
		return 0, err
	}
	if err := mayFlash("/sys", name, fixed); err != nil {
		return 0, fmt.Errorf("%s: %w", device, err)
	}
	// The kernel refuses a disk that is in use, and a partition of it counts.
	d, err := os.OpenFile(device, os.O_RDWR|unix.O_EXCL, 0)
	if errors.Is(err, unix.EBUSY) {
		return 0, fmt.Errorf("%s is in use: unmount its partitions", device)
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	room, err := d.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	if err := fits(ctx, image, room); err != nil {
		return 0, fmt.Errorf("%s: %w", device, err)
	}
	if size, err = writeTo(ctx, image, d, room, func(n int64) { progress("written", n) }); err != nil {
		return size, fmt.Errorf("%s: %w", device, err)
	}
	if err := d.Sync(); err != nil {
		return size, fmt.Errorf("%s: %w", device, err)
	}
	// What is read back comes from the medium.
	if _, err := unix.IoctlRetInt(int(d.Fd()), unix.BLKFLSBUF); err != nil {
		return size, fmt.Errorf("%s: forget what is in memory: %w", device, err)
	}
	if err := compare(ctx, image, d, func(n int64) { progress("read back", n) }); err != nil {
		return size, fmt.Errorf("%s: %w", device, err)
	}
	if _, err := unix.IoctlRetInt(int(d.Fd()), unix.BLKRRPART); err != nil && !errors.Is(err, unix.EINVAL) { // it has none
		return size, fmt.Errorf("%s is written, and the kernel doesn't read its partitions again: %w", device, err)
	}
	return size, nil
}

// diskName is what the kernel calls a disk, sdb, whatever link leads to it.
func diskName(device string) (string, error) {
	path, err := filepath.EvalSymlinks(device)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Mode()&(os.ModeDevice|os.ModeCharDevice) != os.ModeDevice {
		return "", fmt.Errorf("%s is no disk", device)
	}
	return filepath.Base(path), nil
}

// mayFlash says why a disk isn't to be written; sys is where sysfs is.
func mayFlash(sys, name string, fixed bool) error {
	dir := filepath.Join(sys, "class/block", name)
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("the kernel knows no disk %s", name)
	}
	read := func(file string) string {
		text, _ := os.ReadFile(filepath.Join(real, file))
		return strings.TrimSpace(string(text))
	}
	if _, err := os.Stat(filepath.Join(real, "partition")); err == nil {
		return errors.New("is a partition, expected the whole disk")
	}
	if read("ro") == "1" {
		return errors.New("can't be written; look for a lock at the card's side")
	}
	if read("size") == "0" {
		return errors.New("has no medium in it")
	}
	removable := read("removable") == "1" || strings.Contains(real, "/usb") || read("device/type") == "SD"
	if !removable && !fixed {
		return errors.New("isn't removable, and may be what this computer starts from; --fixed writes onto it all the same")
	}
	return nil
}

// end is how much of a medium's end is emptied, in bytes: another partition table may have
// a copy there.
const end = 1 << 20

// writeTo writes what isn't empty, and empties what isn't where the image is.
func writeTo(ctx context.Context, image string, to interface {
	io.ReaderAt
	io.WriterAt
}, room int64, progress func(int64)) (size int64, err error) {
	in, err := Open(image)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	there := make([]byte, block)
	put := func(at int64, data []byte, empty bool) error {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("it holds half of an image: %w", err)
		}
		progress(at + int64(len(data)))
		if empty {
			if _, err := to.ReadAt(there[:len(data)], at); err == nil && bytes.Equal(there[:len(data)], data) {
				return nil
			}
		}
		_, err := to.WriteAt(data, at)
		return err
	}
	size, err = blocks(in, put)
	if err == nil && size == 0 {
		err = errors.New("the image is empty")
	}
	if last := room / block * block; err == nil && last-end >= size {
		err = wipe(to, last-end, room)
	}
	return size, err
}

// fits says why a medium with so many bytes can't take an image and what a gateway keeps
// beside it. Only the whole of a compressed image says how large it is.
func fits(ctx context.Context, image string, room int64) error {
	in, err := Open(image)
	if err != nil {
		return err
	}
	defer in.Close()
	size, err := blocks(in, func(int64, []byte, bool) error { return ctx.Err() })
	if needed := size + layout.LeastData + layout.BesideData; err == nil && needed > room {
		err = fmt.Errorf("it holds %d MB, and %d MB are needed, %d of them for data; nothing was written", room/1e6, (needed+1e6-1)/1e6, layout.LeastData/1_000_000)
	}
	return err
}

// compare reads back what was written.
func compare(ctx context.Context, image string, medium io.ReaderAt, progress func(int64)) error {
	in, err := Open(image)
	if err != nil {
		return err
	}
	defer in.Close()
	there := make([]byte, block)
	_, err = blocks(in, func(at int64, data []byte, _ bool) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := medium.ReadAt(there[:len(data)], at); err != nil {
			return err
		}
		if !bytes.Equal(there[:len(data)], data) {
			return fmt.Errorf("it has kept something else than was written, in the MB from byte %d on: it is worn out, or holds less than it says", at)
		}
		progress(at + int64(len(data)))
		return nil
	})
	return err
}

func wipe(to io.WriterAt, from, until int64) error {
	_, err := to.WriteAt(make([]byte, until-from), from)
	return err
}
