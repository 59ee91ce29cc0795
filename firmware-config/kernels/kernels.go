// Package kernels pins the kernels of images, and the firmware of boards that have none of
// their own. Nothing imports it.
package kernels

import (
	_ "github.com/gokrazy/firmware"
	_ "github.com/gokrazy/kernel.amd64"
	_ "github.com/gokrazy/kernel.arm64"
	_ "github.com/gokrazy/kernel.rpi"
)
