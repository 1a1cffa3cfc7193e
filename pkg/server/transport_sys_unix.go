//go:build unix

package server

import (
	"net"
	"syscall"
)

// mostDescriptors returns how many files the process may have open; Go has raised its own limit to that.
func mostDescriptors() (n int64, known bool) {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil || l.Max > 1<<40 {
		return 0, false
	}
	return int64(l.Max), true
}

// setQueue sets how many connections may wait for their accept (tcp-backlog). Go asks for as many as the
// system allows; to listen again on the same socket changes the number.
func setQueue(ln net.Listener, n int64) {
	sc, ok := ln.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := sc.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { syscall.Listen(int(fd), int(n)) })
	}
}
