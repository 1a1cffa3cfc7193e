// Step 01: a TCP server that answers every line with the same line, to any number of clients at
// once.
//
// TCP carries a stream of bytes, not messages. Where one Write of the client ends leaves no mark
// in it, so a Read here may bring half a line, three lines, or two and a half. The whole program
// follows from that: a loop that collects bytes until they make a line, and one goroutine for
// each client, so that the loop may simply wait.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync/atomic"
	"time"

	"byor/pkg/version"
)

// maxLine is the size of a connection's buffer in bytes. A server must bound what one client can
// make it remember. A longer line is not refused but passed on in pieces, which an echo can
// afford; step 02 has to refuse.
const maxLine = 4 * 1024

// server is what all connections share. It is safe for concurrent use.
type server struct {
	trace  io.Writer     // where -trace prints; nil for silence
	lastID atomic.Uint64 // number of the newest connection, for the trace
}

// serve accepts connections until ln is closed. It never waits for a client: whoever connects
// gets a goroutine, and the loop is back in Accept before the first byte has been read.
func (s *server) serve(ln net.Listener) error {
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil // we closed it ourselves: the normal end
		}
		if err != nil {
			// Usually "too many open files". It passes when a client leaves, so the server must
			// not die of it; but without the pause this loop would eat a processor meanwhile.
			fmt.Fprintln(os.Stderr, "accept:", err)
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if s.trace != nil {
			conn = &tracer{Conn: conn, out: s.trace, id: s.lastID.Add(1)}
		}
		// region: one goroutine a connection
		// Without the word "go" the second client would wait until the first has left. A
		// goroutine costs a few KB, not a thread's megabyte, so ten thousand are no trouble, and
		// each is plain code that reads from top to bottom.
		go s.handle(conn)
		// endregion
	}
}

// handle serves one client from its first byte to its last.
func (s *server) handle(conn net.Conn) {
	// region: close what you accepted
	// Every way out of here must close: an open connection holds a file descriptor, a process has
	// perhaps a thousand, and the client at the other end would wait for ever.
	defer conn.Close()
	// endregion
	// A client that vanishes (a reset, a broken pipe) is a fact of life and no fault of ours: it
	// ends this connection and nothing else.
	if err := echoLines(conn); err != nil && s.trace != nil {
		fmt.Fprintln(s.trace, "connection ended:", err)
	}
}

// echoLines answers each line from rw with the same line, until rw ends. It returns nil at the
// end of the stream and the error otherwise.
func echoLines(rw io.ReadWriter) error {
	var readErr error
	// region: collect bytes until they make a line
	buf := make([]byte, maxLine)
	filled := 0 // buf[:filled] has been received and not been answered
	for readErr == nil {
		// Read waits for at least one byte and then returns what is there: maybe a part of a
		// line. So new bytes go behind the old ones, and only buf[:filled] means anything;
		// what lies behind it is left over from earlier reads.
		var n int
		n, readErr = rw.Read(buf[filled:])
		filled += n

		// Answer everything up to the last line end. If several lines have come, one Write
		// answers them all. The error is not looked at yet, because Read may return bytes and
		// an error together, and the bytes come first.
		ready := bytes.LastIndexByte(buf[:filled], '\n') + 1
		if readErr != nil || filled == len(buf) && ready == 0 {
			ready = filled // the stream ended without a line end, or the line is too long to keep
		}
		// A client that does not read makes this Write wait, and then we stop reading from it
		// as well. TCP slows the client down for us, and memory stays at one buffer.
		if ready > 0 {
			if _, err := rw.Write(buf[:ready]); err != nil {
				return err
			}
		}
		// Keep the unfinished line, moved to the front. copy may overlap.
		filled = copy(buf, buf[ready:filled])
	}
	// endregion
	if readErr == io.EOF {
		return nil // no failure: the client has said all it wants to say, and may still be listening
	}
	return readErr
}

// tracer is a connection that prints what passes through it, with every byte visible.
type tracer struct {
	net.Conn
	out io.Writer
	id  uint64
}

func (t *tracer) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.print("in ", p[:n])
	if err == io.EOF {
		fmt.Fprintf(t.out, "#%d in   end of stream: the client will send no more\n", t.id)
	}
	return n, err
}

func (t *tracer) Write(p []byte) (int, error) {
	t.print("out", p)
	return t.Conn.Write(p)
}

// print writes one line for one Read or Write, so that the chunks TCP makes can be seen.
func (t *tracer) print(direction string, p []byte) {
	if len(p) > 0 {
		fmt.Fprintf(t.out, "#%d %s  %q  (%d bytes, %d line ends)\n",
			t.id, direction, p, len(p), bytes.Count(p, []byte("\n")))
	}
}

// run listens on addr and serves until Ctrl-C.
func run(addr string, trace bool) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err // most often "address already in use": another step is still running
	}
	// Ctrl-C closes the listener. That makes the Accept in serve return, which ends run, which
	// ends main, and with main all goroutines end. Step 09 is about doing this politely.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, func() { ln.Close() })

	host, port, _ := net.SplitHostPort(ln.Addr().String())
	fmt.Printf("01-tcp-echo listens on %s. In another terminal: nc %s %s, then type a line. Ctrl-C ends it.\n",
		ln.Addr(), host, port)
	srv := &server{}
	if trace {
		srv.trace = os.Stdout
	}
	return srv.serve(ln)
}

func main() {
	addr := flag.String("addr", "127.0.0.1:6380", "TCP `address` to listen on")
	trace := flag.Bool("trace", false, "print every byte that comes in and goes out")
	flag.Parse()
	version.FlagsOnly()
	if err := run(*addr, *trace); err != nil {
		fmt.Fprintln(os.Stderr, "01-tcp-echo:", err)
		os.Exit(1)
	}
}
