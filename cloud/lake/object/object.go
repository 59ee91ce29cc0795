// Package object keeps a lake's files: in a directory, or in a store that speaks S3.
package object

import (
	"context"
	"errors"
	"io"
)

// ErrExists is what Create says of a name that is taken, and ErrNotExist what Get says of
// one that isn't.
var (
	ErrExists   = errors.New("it exists already")
	ErrNotExist = errors.New("it doesn't exist")
)

// Store keeps files by names, which have slashes in them. It may be used by several
// goroutines. What Put and Create have returned from without an error is durable.
type Store interface {
	// Put writes a file of the first size bytes of r, in place of one of that name.
	Put(ctx context.Context, name string, r io.ReaderAt, size int64) error
	// Create writes a file if there is none of that name, and is ErrExists otherwise: of
	// several at once one succeeds. After any other error it may be there or not.
	Create(ctx context.Context, name string, data []byte) error
	Get(ctx context.Context, name string) ([]byte, error)
	// List names the files that begin with prefix, with the whole name.
	List(ctx context.Context, prefix string) ([]string, error)
	// Delete removes a file; that there is none is no error.
	Delete(ctx context.Context, name string) error
	// URL is where other programs find a file.
	URL(name string) string
}
