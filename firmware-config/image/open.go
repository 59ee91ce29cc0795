package image

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Compressed is what the names of images end in that are compressed.
const Compressed = ".zst"

var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// Open reads an image from its beginning, also one that is compressed, whatever it is called.
func Open(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	magic := make([]byte, len(zstdMagic))
	if _, err := io.ReadFull(f, magic); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if !bytes.Equal(magic, zstdMagic) {
		return f, nil
	}
	d, err := zstd.NewReader(f, zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return decompressed{d, f}, nil
}

type decompressed struct {
	*zstd.Decoder
	file *os.File
}

func (d decompressed) Close() error {
	d.Decoder.Close()
	return d.file.Close()
}

// block is how much of an image is looked at at once, in bytes.
const block = 1 << 20

// blocks calls f with each block of an image and where it begins; empty is that it has
// nothing but zeros.
func blocks(r io.Reader, f func(at int64, block []byte, empty bool) error) (size int64, err error) {
	buffer := make([]byte, block)
	for {
		n, err := io.ReadFull(r, buffer)
		if n > 0 {
			if err := f(size, buffer[:n], len(bytes.Trim(buffer[:n], "\x00")) == 0); err != nil {
				return size, err
			}
			size += int64(n)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return size, nil
		}
		if err != nil {
			return size, err
		}
	}
}

// expand writes an image into a new file, without what is empty.
func expand(from, to string) error {
	in, err := Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	size, err := blocks(in, func(at int64, block []byte, empty bool) error {
		if empty {
			return nil
		}
		_, err := out.WriteAt(block, at)
		return err
	})
	if err == nil {
		err = out.Truncate(size)
	}
	return errors.Join(err, out.Close())
}

// Pack puts an image where it goes to, compressed if that is called so. It is readable by
// its owner alone: it may hold keys.
func Pack(from, to string) error {
	if !strings.HasSuffix(to, Compressed) {
		return os.Rename(from, to)
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(from+Compressed, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	z, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(8<<20))
	if err == nil {
		_, err = io.Copy(z, in)
		err = errors.Join(err, z.Close())
	}
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	return os.Rename(from+Compressed, to)
}
