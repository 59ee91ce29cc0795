package configfile

import "os"

// ReadError says that a configuration file can't be read at all.
type ReadError struct{ Err error }

func (e *ReadError) Error() string { return "read the configuration: " + e.Err.Error() }

func (e *ReadError) Unwrap() error { return e.Err }

// Read is the file's content. The error is a *ReadError.
func Read(path string) ([]byte, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, &ReadError{err}
	}
	return src, nil
}
