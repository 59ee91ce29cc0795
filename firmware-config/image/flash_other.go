//go:build !linux

package image

import (
	"context"
	"errors"
)

// Flash is there on Linux only.
func Flash(context.Context, string, string, bool, func(string, int64)) (int64, error) {
	return 0, errors.New("media are written on Linux only; use any program that writes images")
}
