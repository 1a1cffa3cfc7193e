package basics

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync/atomic"

	"byor/pkg/resp"
	"byor/pkg/version"
)

// Options are the flags that steps 06 to 09 share.
type Options struct {
	Addr   string // TCP address to listen on
	Dir    string // where dump.rdb and appendonlydir are
	UseLog bool   // -appendonly yes
	Policy string // -appendfsync
	Trace  bool   // print every byte

	lastID atomic.Uint64 // number of the newest connection
}

// ParseFlags reads the command line. A step that has flags of its own has declared them before.
func ParseFlags() *Options {
	o := &Options{}
	flag.StringVar(&o.Addr, "addr", "127.0.0.1:6380", "TCP `address` to listen on")
	flag.BoolVar(&o.Trace, "trace", false, "print every byte that comes in and goes out, and what it means")
	flag.StringVar(&o.Dir, "dir", ".", "`directory` of dump.rdb and appendonlydir")
	useLog := flag.String("appendonly", "no", "`yes` to keep the log of step 05 too")
	flag.StringVar(&o.Policy, "appendfsync", "everysec", "when to force the log to the disk: `always, everysec or no`")
	flag.Parse()
	version.FlagsOnly()
	o.UseLog = yes("appendonly", *useLog)
	return o
}

// Listen listens on Addr until Ctrl-C, which closes the listener and ends ctx.
func (o *Options) Listen() (ln net.Listener, ctx context.Context, err error) {
	if ln, err = net.Listen("tcp", o.Addr); err != nil {
		return nil, nil, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, func() {
		stop() // a second Ctrl-C ends the program on the spot
		ln.Close()
	})
	return ln, ctx, nil
}

// Traced returns conn, which with -trace prints every byte that passes through it.
func (o *Options) Traced(conn net.Conn) net.Conn {
	if !o.Trace {
		return conn
	}
	return resp.Trace(conn, os.Stdout, fmt.Sprintf("#%d", o.lastID.Add(1)))
}

// yes reads the value of a flag that takes yes or no. Anything else ends the program, as a flag's
// wrong value does.
func yes(name, value string) bool {
	if value != "yes" && value != "no" {
		fmt.Fprintf(os.Stderr, "invalid value %q for flag -%s: it takes yes or no\n", value, name)
		flag.Usage()
		os.Exit(2)
	}
	return value == "yes"
}
