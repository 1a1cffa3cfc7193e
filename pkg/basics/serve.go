package basics

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"byor/pkg/store"
)

// Main is the main function of a step: it calls run with the flags of the command line. When run fails,
// it says so and ends the program with exit code 1.
func Main(step string, run func(o *Options) error) {
	if err := run(ParseFlags()); err != nil {
		fmt.Fprintln(os.Stderr, step+":", err)
		os.Exit(1)
	}
}

// Serve listens until Ctrl-C, and calls handle for each connection, in a goroutine of its own. hello is
// what it prints when it is ready, with the address for ADDR and the port for PORT. With -trace, every
// byte that passes through a connection is printed. Meanwhile Sweep deletes what has expired in data,
// which mu protects.
func (o *Options) Serve(hello string, handle func(net.Conn), mu sync.Locker, data *store.Store) error {
	ln, ctx, err := o.Listen()
	if err != nil {
		return err
	}
	go Sweep(ctx, mu, data, nil)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	fmt.Println(strings.NewReplacer("ADDR", ln.Addr().String(), "PORT", port).Replace(hello))
	Accept(ln, func(conn net.Conn) { handle(o.Traced(conn)) })
	return nil
}

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
