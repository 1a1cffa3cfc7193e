//go:build unix

package main

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// Station 10, the system call: a write that takes what there is room for, and does not wait.

// nowWriter keeps what such a write needs, so that none of it is made anew for each.
type nowWriter struct {
	b    []byte
	n    int
	err  error
	call func(fd uintptr) bool
}

// rawSocket returns a connection's way to such writes, nil if it has none.
func rawSocket(conn net.Conn) syscall.RawConn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// write writes as much of b as the peer takes now. The connection may have a deadline that is over, of an earlier write
// which was in time. Then it gets a new one: somebody else may be about to write and to rely on it.
func (w *nowWriter) write(conn net.Conn, raw syscall.RawConn, b []byte, timeout time.Duration) (int, error) {
	if w.call == nil {
		w.call = func(fd uintptr) bool {
			for w.n, w.err = syscall.Write(int(fd), w.b); w.err == syscall.EINTR; {
				w.n, w.err = syscall.Write(int(fd), w.b)
			}
			return true
		}
	}
	w.b, w.n, w.err = b, 0, nil
	err := raw.Write(w.call)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if err = conn.SetWriteDeadline(time.Now().Add(timeout)); err == nil {
			err = raw.Write(w.call)
		}
	}
	w.b = nil
	if err != nil {
		return 0, err
	}
	if w.err == syscall.EAGAIN {
		return 0, nil
	}
	return max(w.n, 0), w.err
}
