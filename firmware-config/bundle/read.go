package bundle

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Reader reads a bundle from its beginning to its end, and gives nothing away of which
// it can't yet say who has signed it. A file's content must not be believed before
// its reader has come to the end without an error.
type Reader struct {
	Manifest Manifest
	// Content is the digest of the manifest, and so of all that the bundle holds.
	Content Digest
	archive *tar.Reader
	next    int // of its files
	open    *content
}

// NewReader reads and verifies what a bundle says it is.
func NewReader(r io.Reader, keys Keys) (*Reader, error) {
	b := &Reader{archive: tar.NewReader(r)}
	text, err := b.small(manifestName)
	if err != nil {
		return nil, err
	}
	signature, err := b.small(manifestName + signatureExt)
	if err != nil {
		return nil, err
	}
	if err := keys.verify(text, signature); err != nil {
		return nil, err
	}
	b.Content = sha256.Sum256(text)
	b.Manifest, err = parseManifest(text)
	return b, err
}

// small reads a whole file that must come now.
func (b *Reader) small(name string) ([]byte, error) {
	h, err := b.header(name)
	if err != nil {
		return nil, err
	}
	if h.Size > mostManifest {
		return nil, fmt.Errorf("%s: %d bytes", name, h.Size)
	}
	text, err := io.ReadAll(b.archive)
	return text, cut(name, err)
}

func (b *Reader) header(name string) (*tar.Header, error) {
	h, err := b.archive.Next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("it ends before %s", name)
	case err != nil:
		return nil, cut(name, err)
	case h.Name != name || h.Typeflag != tar.TypeReg:
		return nil, fmt.Errorf("%q is where %s must be", h.Name, name)
	}
	return h, nil
}

func cut(name string, err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("it ends in the middle of %s", name)
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Next is the next file and its content, which ends with an error if it isn't what was
// signed; io.EOF after the last. What wasn't read of the one before is read first.
func (b *Reader) Next() (File, io.Reader, error) {
	if b.open != nil {
		if _, err := io.Copy(io.Discard, b.open); err != nil {
			return File{}, nil, err
		}
	}
	if b.next == len(b.Manifest.Files) {
		h, err := b.archive.Next()
		switch {
		case errors.Is(err, io.EOF):
			return File{}, nil, io.EOF
		case err != nil:
			return File{}, nil, fmt.Errorf("behind its files: %w", err)
		}
		return File{}, nil, fmt.Errorf("%q isn't in its manifest", h.Name)
	}
	f := b.Manifest.Files[b.next]
	b.next++
	h, err := b.header(f.Name)
	if err != nil {
		return f, nil, err
	}
	if h.Size != f.Size {
		return f, nil, fmt.Errorf("%s has %d bytes, and %d were signed", f.Name, h.Size, f.Size)
	}
	b.open = &content{file: f, from: b.archive, hash: sha256.New()}
	return f, b.open, nil
}

// content is a file's, which is hashed while it is read.
type content struct {
	file File
	from io.Reader
	hash hash.Hash
	err  error // for good
}

func (c *content) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.from.Read(p)
	c.hash.Write(p[:n])
	switch {
	case errors.Is(err, io.EOF):
		c.err = io.EOF
		if Digest(c.hash.Sum(nil)) != c.file.SHA256 {
			c.err = fmt.Errorf("%s isn't what was signed", c.file.Name)
		}
	case err != nil:
		c.err = cut(c.file.Name, err)
	}
	return n, c.err
}

// Verify reads a bundle to its end.
func Verify(r io.Reader, keys Keys) (Manifest, error) {
	b, err := NewReader(r, keys)
	if err != nil {
		return Manifest{}, err
	}
	for {
		if _, _, err := b.Next(); errors.Is(err, io.EOF) {
			return b.Manifest, nil
		} else if err != nil {
			return b.Manifest, err
		}
	}
}
