package buffer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// makeDir makes a directory and what is missing above it, so that a power failure
// doesn't take them away again with what is in them.
func makeDir(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	above := filepath.Dir(dir)
	if above != dir {
		if err := makeDir(above); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("buffer: %w", err)
	}
	return syncDir(above)
}
