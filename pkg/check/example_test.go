package check_test

import (
	"context"
	"fmt"
	"io"
	"net"

	"byor/pkg/check"
	"byor/pkg/check/process"
)

// A server that answers everything with the same line is asked the first questions of step 01.
func ExampleRunner() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buf := make([]byte, 1024)
				for {
					if _, err := conn.Read(buf); err != nil {
						return
					}
					_, _ = io.WriteString(conn, "what?\n")
				}
			}()
		}
	}()
	target := process.AddrTarget(1, ln.Addr().String())
	first, err := check.Named(check.Of(1, 0), []string{"echo-line"})
	if err != nil {
		fmt.Println(err)
		return
	}
	results, err := (&check.Runner{}).Run(context.Background(), target, first)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range results {
		fmt.Printf("%s: %s\nexpected %s\ngot %s\n", r.Name, r.Status, r.Expected, r.Got)
	}
	// Output:
	// echo-line: failed
	// expected "hello\n"
	// got "what?\n"
}
