//go:build !linux

package server

import "net"

// loop is the event loop of Linux. Elsewhere every connection has its goroutine.
type loop struct {
	turns     int64
	published published
}

func (s *Server) startLoops(int) error { return nil }

func (l *loop) take(net.Conn) bool { return false }

func (l *loop) wake() {}
