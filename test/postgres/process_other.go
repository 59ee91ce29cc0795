//go:build !linux

package postgres

import "syscall"

func (s *Server) asUser() (*syscall.SysProcAttr, error) { return nil, errAbsent }

func (s *Server) give(string, []byte) error { return errAbsent }

// Kill isn't reached: no server runs.
func (s *Server) Kill() {}
