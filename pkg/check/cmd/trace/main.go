// Trace is a proxy between any client and any server that prints each frame that passes, with
// offset, length and meaning, and beside each reply what a real redis-server answers to the same
// bytes, where one is installed. `make trace` calls it.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"

	"byor/pkg/check/process"
	"byor/pkg/check/trace"
	"byor/pkg/version"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:6390", "where clients connect")
	addr := flag.String("addr", "127.0.0.1:6380", "the server")
	alone := flag.Bool("alone", false, "do not compare with a real redis-server")
	flag.Parse()
	version.FlagsOnly()
	ctx, stop := signal.NotifyContext(context.Background(), process.Endings...)
	defer stop()
	if err := run(ctx, process.Stdout(stop), *listen, *addr, *alone); err != nil {
		fmt.Fprintln(os.Stderr, "trace:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, listen, addr string, alone bool) error {
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	p := &trace.Proxy{Server: addr, Out: out}
	if !alone {
		second, end, err := process.StartRedis(ctx)
		if err != nil {
			fmt.Println("not compared with real Redis:", err)
		} else {
			defer end()
			p.Second = second
		}
	}
	host, port, _ := net.SplitHostPort(ln.Addr().String())
	fmt.Printf("Tracing %s. Connect to %s instead, e.g. redis-cli -h %s -p %s. Ctrl-C ends it.\n", addr, listen, host, port)
	return p.Serve(ctx, ln)
}
