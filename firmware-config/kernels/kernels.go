// Package kernels pins the kernels of images. Nothing imports it.
package kernels

import (
	_ "github.com/gokrazy/kernel.amd64"
	_ "github.com/gokrazy/kernel.arm64"
)
