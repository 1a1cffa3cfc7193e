// Step 01: a TCP server that sends every line back, to any number of clients at once.
//
// TCP carries a stream of bytes, not messages. A Write of the client leaves no mark in it, so a
// Read here may bring half a line, three lines, or two and a half. The whole program follows from
// that: a loop that collects bytes until they make a line, and a goroutine for each client, so
// that the loop may simply wait.
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

// maxLine is the size of a client's buffer in bytes. One client must not be able to fill the
// server's memory, so there is a bound. An echo can pass a longer line on in pieces; step 02 has
// to refuse.
const maxLine = 4 * 1024

// server is what all connections share. It is safe for concurrent use.
type server struct {
	trace  io.Writer     // where -trace prints; nil for silence
	lastID atomic.Uint64 // number of the newest connection, for the trace
}

// serve accepts clients until ln is closed, and then returns nil. It never waits for a client.
func (s *server) serve(ln net.Listener) error {
	// region: accept every client
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil // we closed it ourselves, at Ctrl-C: the normal end
		}
		if err != nil {
			// Usually "too many open files". That passes when a client leaves, so the server must
			// not die of it. The pause keeps this loop from eating a processor until then.
			fmt.Fprintln(os.Stderr, "accept:", err)
			time.Sleep(50 * time.Millisecond)
			continue
		}
		// Without the word "go", the second client would wait until the first has left.
		go s.handle(conn)
	}
	// endregion
}

// handle serves one client from its first byte to its last.
func (s *server) handle(conn net.Conn) {
	conn = s.traced(conn)
	// region: serve a client to its end
	// An open connection holds a file descriptor, and a process has a limited number of them. The
	// defer runs when handle returns. In serve it would wait for the end of the whole program.
	defer conn.Close()
	err := echoLines(conn)
	if err != nil && s.trace != nil {
		// A client that vanishes is a fact of life: it ends this connection and nothing else.
		fmt.Fprintln(s.trace, "connection ended:", err)
	}
	// endregion
}

// echoLines sends each line from rw back to it until rw ends. It returns nil at the end of the
// stream, and any other error as it is.
func echoLines(rw io.ReadWriter) error {
	// region: echo what comes
	buf := make([]byte, maxLine)
	filled := 0 // buf[:filled] has been received and not been answered
	for {
		// Read waits for at least one byte, then returns what is there. The new bytes go behind
		// the old ones. Only buf[:filled] means anything; behind it is what earlier reads left.
		n, readErr := rw.Read(buf[filled:])
		filled += n

		ready := answerable(buf[:filled], readErr != nil)
		if ready > 0 {
			// A client that does not read makes this Write wait, and then we stop reading from
			// it, too. TCP slows the client down for us, and memory stays at one buffer.
			if _, err := rw.Write(buf[:ready]); err != nil {
				return err
			}
		}
		filled = copy(buf, buf[ready:filled]) // the rest moves to the front; copy may overlap

		// The error comes last, because Read may return it together with the last bytes.
		if readErr == io.EOF {
			return nil // the client has said all it wants to say, and may still be listening
		}
		if readErr != nil {
			return readErr
		}
	}
	// endregion
}

// answerable returns how many bytes at the start of received can be answered now. over says that
// no more will come.
func answerable(received []byte, over bool) int {
	// region: hold back half a line
	lines := bytes.LastIndexByte(received, '\n') + 1 // 0 if there is no line end
	tooLong := lines == 0 && len(received) == maxLine
	if !over && !tooLong {
		return lines
	}
	// endregion
	return len(received)
}

// traced returns conn itself or, with -trace, a connection that prints what happens to it.
func (s *server) traced(conn net.Conn) net.Conn {
	if s.trace == nil {
		return conn
	}
	t := &tracer{Conn: conn, out: s.trace, id: s.lastID.Add(1)}
	fmt.Fprintf(t.out, "#%d connected\n", t.id)
	return t
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

func (t *tracer) Close() error {
	fmt.Fprintf(t.out, "#%d closed\n", t.id)
	return t.Conn.Close()
}

// print writes one line for one Read or Write, so that you see where TCP cut the stream.
func (t *tracer) print(direction string, p []byte) {
	if len(p) > 0 {
		fmt.Fprintf(t.out, "#%d %s  %q  (%d bytes, %d line ends)\n",
			t.id, direction, p, len(p), bytes.Count(p, []byte("\n")))
	}
}

// run listens on addr and serves until Ctrl-C.
func run(addr string, trace bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err // most often "address already in use": another step is still running
	}
	host, port, _ := net.SplitHostPort(ln.Addr().String())
	fmt.Printf("01-tcp-echo listens on %s. In another terminal: nc %s %s, then type a line. Ctrl-C ends it.\n",
		ln.Addr(), host, port)
	srv := &server{}
	if trace {
		srv.trace = os.Stdout
	}
	done := make(chan error, 1)
	go func() { done <- srv.serve(ln) }()

	<-ctx.Done() // Ctrl-C
	// Closing the listener makes the Accept in serve return. When run and main return, all
	// goroutines end, in the middle of whatever they do. Step 09 is about doing this politely.
	ln.Close()
	return <-done
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
