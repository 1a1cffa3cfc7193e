// Step 02: a server that understands RESP, the language of Redis, with a parser written by hand.
//
// A client sends a command as an array of byte strings, each with its length in front:
//
//	*2\r\n  $4\r\n ECHO\r\n  $3\r\n hey\r\n
//
// The lengths are the point: the parser never searches a value for its end, so a value may hold
// any bytes, even "\r\n". A person without a client may type "ECHO hey" instead, an inline command.
//
// Since TCP keeps no message borders (step 01), a command may arrive in any number of pieces. The
// parser therefore is a small state machine: fed with whatever has come, it hands out whole
// commands and remembers where it stopped. It is the only new idea here; there is no data yet.
package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"byor/pkg/version"
)

// What a client may ask for at most, as in Redis. A length is only a claim: it may be refused,
// but never be allocated before the bytes are really there, or twenty bytes could cost 512 MB.
const (
	maxLine  = 64 << 10  // bytes of an inline command, or of a "*2" or "$4" line
	maxArgs  = 1<<31 - 1 // arguments of one command
	maxBytes = 512 << 20 // bytes of one argument
)

// errIncomplete is the parser's way to say: so far so good, feed me more.
var errIncomplete = errors.New("incomplete command")

// protocolError means that the bytes are no RESP. Nobody can tell where the next command starts
// after that, so the server reports it and closes. An unknown command is not of this kind.
type protocolError string

func (e protocolError) Error() string { return "Protocol error: " + string(e) }

// parser cuts commands out of a stream of bytes. One connection owns it for its whole life: what
// is left over behind one command is the beginning of the next.
type parser struct {
	buf  []byte   // received and not yet consumed
	args [][]byte // the complete arguments of the command under way
	left int      // how many more it needs; 0 between two commands
	size int      // length of the argument under way, -1 while its "$" line is still to come

	saw func(token []byte, meaning string) // told what each consumed piece means; for -trace
}

// server is what all connections share. It is safe for concurrent use.
type server struct {
	out    io.Writer     // where it shows how it parsed
	trace  bool          // show every byte too
	lastID atomic.Uint64 // number of the newest connection
}

// line returns the bytes before the next end without consuming them. A line without an end after
// 64 KB is refused, for it could grow for ever. The result points into the buffer.
func (p *parser) line(end, tooBig string) ([]byte, error) {
	i := bytes.Index(p.buf, []byte(end))
	if i < 0 && len(p.buf) > maxLine {
		return nil, protocolError(tooBig)
	}
	if i < 0 {
		return nil, errIncomplete
	}
	return p.buf[:i], nil
}

// parseLength accepts exactly what a machine would print: no "+5", no "05", no spaces. Two ways
// to write the same length are two ways to disagree about where a command ends.
func parseLength(b []byte) (int, bool) {
	n, err := strconv.Atoi(string(b))
	return n, err == nil && strconv.Itoa(n) == string(b)
}

// arrayHeader parses "*2\r\n": two arguments follow.
func (p *parser) arrayHeader() error {
	// region: the array header
	line, err := p.line("\r\n", "too big mbulk count string")
	if err != nil {
		return err
	}
	n, ok := parseLength(line[1:])
	if !ok || n > maxArgs {
		return protocolError("invalid multibulk length")
	}
	p.consume(len(line)+2, fmt.Sprintf("array of %d", n))
	// No make([][]byte, n) here: n is a claim. "*0" and "*-1" are no commands and are skipped.
	p.left, p.size = max(n, 0), -1
	// endregion
	return nil
}

// bulkString parses "$4\r\nECHO\r\n" and adds ECHO to the arguments.
func (p *parser) bulkString() error {
	// region: a bulk string, first its length, then its bytes
	if p.size < 0 {
		line, err := p.line("\r\n", "too big bulk count string")
		if err != nil {
			return err
		}
		if p.buf[0] != '$' {
			return protocolError("expected '$', got '" + string(p.buf[:1]) + "'")
		}
		n, ok := parseLength(line[1:])
		if !ok || n < 0 || n > maxBytes {
			return protocolError("invalid bulk length")
		}
		p.consume(len(line)+2, fmt.Sprintf("bulk string of %d bytes", n))
		p.size = n
	}
	// The length is known, so nothing is searched: skip size bytes and the "\r\n" behind them.
	// (Redis does not look at those two bytes, and neither do we.)
	end := p.size + 2
	if len(p.buf) < end {
		return errIncomplete
	}
	p.args = append(p.args, bytes.Clone(p.buf[:p.size]))
	p.consume(end, fmt.Sprintf("argument %d", len(p.args)))
	p.left, p.size = p.left-1, -1
	// endregion
	return nil
}

// consume drops n bytes from the front of the buffer. Nothing is moved: the slice just begins
// later, and when append next needs room it copies what is left to a new place.
func (p *parser) consume(n int, meaning string) {
	if p.saw != nil {
		p.saw(p.buf[:n], meaning)
	}
	p.buf = p.buf[n:]
}

// next returns the next whole command, errIncomplete if more bytes are needed, or a
// protocolError. The arguments belong to the caller.
func (p *parser) next() (args [][]byte, err error) {
	err = errIncomplete // until proved otherwise
	// region: one command out of the buffer
	for p.left == 0 { // between two commands
		if len(p.buf) == 0 {
			return nil, err
		}
		if p.buf[0] != '*' {
			// An empty line is not an error: it is how a person checks that somebody is there.
			if args, err := p.inline(); err != nil || len(args) > 0 {
				return args, err
			}
		} else if err := p.arrayHeader(); err != nil {
			return nil, err
		}
	}
	for p.left > 0 {
		if err := p.bulkString(); err != nil {
			return nil, err // if incomplete, p.left and p.size say where to go on
		}
	}
	args, p.args, err = p.args, nil, nil
	// endregion
	return args, err
}

// inline parses a line of words as a person types it. Unlike a "*" command it ends at "\n" with
// or without "\r", so that nc and telnet both work.
func (p *parser) inline() ([][]byte, error) {
	line, err := p.line("\n", "too big inline request")
	if err != nil {
		return nil, err
	}
	// From here on it is a command like any other. Who executes it cannot tell how it came.
	args, ok := splitWords(bytes.TrimSuffix(line, []byte("\r")))
	if !ok {
		return nil, protocolError("unbalanced quotes in request")
	}
	p.consume(len(line)+1, fmt.Sprintf("inline command of %d words", len(args)))
	return args, nil
}

// splitWords splits at spaces and honours quotes. ok is false if a quote is not closed, or is
// closed in the middle of a word.
func splitWords(line []byte) (words [][]byte, ok bool) {
	// region: words and quotes
	for line = trimSpace(line); len(line) > 0; line = trimSpace(line) {
		word := []byte{} // and so it may stay: "" is a word too
		for len(line) > 0 && !isSpace(line[0]) {
			// A quote may open in the middle of a word: what is in it belongs to the same word.
			text, rest, ok := line[:1], line[1:], true
			if c := line[0]; c == '"' || c == '\'' {
				text, rest, ok = quoted(rest, c)
			}
			if !ok {
				return nil, false
			}
			word, line = append(word, text...), rest
		}
		words = append(words, word)
	}
	// endregion
	return words, true
}

// quoted reads up to the closing quote and returns the text and what stands behind it. The closing
// quote must end the word: in "a"b, as Redis sees it, one of the two was a mistake.
func quoted(line []byte, quote byte) (text, rest []byte, ok bool) {
	for i := 0; i < len(line); i++ {
		c := line[i]
		if c == quote {
			rest = line[i+1:]
			return text, rest, len(rest) == 0 || isSpace(rest[0])
		}
		// Typing is not for machines: this is the one place where a value is searched for its end.
		// "double" knows \n \r \t \b \a \xHH and \ before anything else; 'single' only \'.
		if c == '\\' && i+1 < len(line) && (quote == '"' || line[i+1] == quote) {
			i++
			c = line[i]
			if k := strings.IndexByte("nrtba", c); k >= 0 {
				c = "\n\r\t\b\a"[k]
			} else if c == 'x' && i+2 < len(line) {
				if b, err := hex.DecodeString(string(line[i+1 : i+3])); err == nil {
					c, i = b[0], i+2
				}
			}
		}
		text = append(text, c)
	}
	return nil, nil, false
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func trimSpace(line []byte) []byte { return bytes.TrimLeft(line, " \t\v\f\r") }

// execute runs a command and returns its reply, encoded. A wrong command is answered with an
// error and the conversation goes on: the framing is intact.
func execute(args [][]byte) []byte {
	// region: the two commands
	switch name := strings.ToLower(string(args[0])); {
	case name == "ping" && len(args) == 1:
		return []byte("+PONG\r\n")
	case name == "ping" && len(args) == 2, name == "echo" && len(args) == 2:
		return appendBulk(nil, args[1])
	case name == "ping", name == "echo":
		return appendError(nil, fmt.Sprintf("ERR wrong number of arguments for '%s' command", name))
	case name == "command":
		// redis-cli asks COMMAND DOCS when it starts, for its hints. We have none to offer; an
		// empty list satisfies it.
		return []byte("*0\r\n")
	}
	// endregion
	return appendError(nil, unknownCommand(args))
}

// unknownCommand words the error as Redis does. It quotes at most 128 bytes of the arguments: an
// error should not be a way to make the server send your megabyte back.
func unknownCommand(args [][]byte) string {
	cut := func(b []byte, n int) []byte { return b[:min(n, len(b))] } // bytes, where %.128s counts letters
	list := ""
	for i := 1; i < len(args) && len(list) < 128; i++ {
		list += fmt.Sprintf("'%s' ", cut(args[i], 128-len(list)))
	}
	return fmt.Sprintf("ERR unknown command '%s', with args beginning with: %s", cut(args[0], 128), list)
}

// appendBulk encodes a value of any bytes. Its length goes in front, so that the client need not
// search either.
func appendBulk(dst, value []byte) []byte {
	return fmt.Appendf(dst, "$%d\r\n%s\r\n", len(value), value)
}

// appendError encodes an error. Errors and simple strings have no length and end at the line's
// end, so a line end inside would forge a second reply: it becomes a space.
func appendError(dst []byte, text string) []byte {
	text = strings.NewReplacer("\r", " ", "\n", " ").Replace(text)
	return append(dst, "-"+text+"\r\n"...)
}

// handle serves one client: read, feed, and answer each command that has become whole.
func (s *server) handle(conn net.Conn) {
	defer conn.Close()
	id := s.lastID.Add(1)
	p := &parser{size: -1}
	if s.trace {
		p.saw = func(token []byte, meaning string) {
			fmt.Fprintf(s.out, "#%d        %-22q %s\n", id, token, meaning)
		}
	}
	chunk := make([]byte, 16<<10)
	for {
		// This is the only place that waits for the client. The parser never does, so it could
		// serve an event loop just as well.
		n, readErr := conn.Read(chunk)
		s.traceBytes(id, "in ", chunk[:n])
		p.buf = append(p.buf, chunk[:n]...) // behind what is left of the last chunk
		// First what has come, then the error that may have come with it.
		if !s.answer(id, conn, p) || readErr != nil {
			return
		}
	}
}

// answer replies to every whole command in p, since a client may send many without waiting
// (pipelining). It returns false when the connection is of no more use.
func (s *server) answer(id uint64, conn net.Conn, p *parser) bool {
	for {
		args, err := p.next()
		if err == errIncomplete {
			return true // and p keeps what it has until the next chunk
		}
		if err != nil {
			// Say what was wrong before closing; a silent close is a riddle for whoever debugs
			// the client.
			fmt.Fprintf(s.out, "#%d %v: closing\n", id, err)
			conn.Write(appendError(nil, "ERR "+err.Error()))
			return false
		}
		fmt.Fprintf(s.out, "#%d command %q\n", id, args)
		reply := execute(args)
		s.traceBytes(id, "out", reply)
		if _, err := conn.Write(reply); err != nil {
			return false
		}
	}
}

func (s *server) traceBytes(id uint64, direction string, b []byte) {
	if s.trace && len(b) > 0 {
		fmt.Fprintf(s.out, "#%d %s  %q  (%d bytes)\n", id, direction, b, len(b))
	}
}

// serve accepts connections until ln is closed, as in step 01.
func (s *server) serve(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			go s.handle(conn)
		case errors.Is(err, net.ErrClosed):
			return
		default: // too many open files: wait until somebody leaves
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// main listens and serves until Ctrl-C, as in step 01.
func main() {
	addr := flag.String("addr", "127.0.0.1:6380", "TCP `address` to listen on")
	trace := flag.Bool("trace", false, "print every byte that comes in and goes out, and what it means")
	flag.Parse()
	version.FlagsOnly()
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "02-resp-parser:", err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, func() { ln.Close() })
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	fmt.Printf("02-resp-parser listens on %s. In another terminal: redis-cli -p %s ECHO hey (or: nc 127.0.0.1 %s, then type ECHO hey). Ctrl-C ends it.\n",
		ln.Addr(), port, port)
	(&server{out: os.Stdout, trace: *trace}).serve(ln)
}
