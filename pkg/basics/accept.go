package basics

import (
	"errors"
	"net"
	"time"
)

// Accept accepts connections until ln is closed, as in step 01.
func Accept(ln net.Listener, handle func(net.Conn)) {
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			go handle(conn)
		case errors.Is(err, net.ErrClosed):
			return
		default: // too many open files: wait until somebody leaves
			time.Sleep(50 * time.Millisecond)
		}
	}
}
