//go:build !linux

package main

import (
	"errors"

	"github.com/busbar/busbar/cmd/internal/program"
)

type initCommand struct{}

func (initCommand) Run() error { return program.Usage{Err: errors.New("init is for Linux")} }
