// Step 02: a server that understands RESP, the language of Redis. Its parser is written by hand.
//
// A client sends a command as an array of byte strings, each with its length in front:
//
//	*2\r\n  $4\r\n ECHO\r\n  $3\r\n hey\r\n
//
// The lengths are the point. The parser never searches a value for its end, so a value may hold
// any bytes, even "\r\n". A person without a client may type "ECHO hey" instead: an inline command.
//
// TCP keeps no message borders (step 01), so a command may arrive in any number of pieces. That is
// why the parser is a small state machine. You feed it whatever has come; it hands out whole
// commands and remembers where it stopped. There is no data yet: the parser is all that is new.
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

// What a client may ask for at most, as in Redis. A length is only a claim. If the parser allocated
// it before the bytes are here, twenty bytes from a stranger would cost 512 MB.
const (
	maxLine  = 64 << 10  // bytes of an inline command, or of a "*2" or "$4" line
	maxArgs  = 1<<31 - 1 // arguments of one command
	maxBytes = 512 << 20 // bytes of one argument
)

// errIncomplete is how the parser says: so far so good, feed me more.
var errIncomplete = errors.New("incomplete command")

// protocolError means that the bytes are not RESP. Nobody can tell where the next command starts, so
// the server reports the error and closes. An unknown command is not a protocol error.
type protocolError string

func (e protocolError) Error() string { return "Protocol error: " + string(e) }

// parser cuts commands out of a stream of bytes. A connection keeps one parser for its whole life:
// what is left over after one command is the beginning of the next.
type parser struct {
	buf  []byte   // received and not yet consumed
	args [][]byte // the arguments of the current command that are complete
	left int      // how many it still needs; 0 between two commands
	size int      // length of the next argument; -1 while its "$" line is still to come

	saw func(token []byte, meaning string) // with -trace, shows each consumed piece and its meaning
}

// server is what all connections share. It is safe for concurrent use.
type server struct {
	out    io.Writer     // where it prints the commands it parsed
	trace  bool          // print every byte, too
	lastID atomic.Uint64 // number of the newest connection
}

// line returns the bytes in front of the next end. It consumes nothing: if the rest of the command
// is still missing, the same line will be read again. The result points into the buffer.
func (p *parser) line(end, tooBig string) ([]byte, error) {
	// region: a line, or not yet
	i := bytes.Index(p.buf, []byte(end))
	if i < 0 && len(p.buf) > maxLine {
		return nil, protocolError(tooBig) // without this bound, the line could grow for ever
	}
	if i < 0 {
		return nil, errIncomplete
	}
	return p.buf[:i], nil
	// endregion
}

// parseLength accepts a length only in the form a machine would print: no "+5", no "05", no spaces.
// If two parsers read "05" differently, they disagree about where the command ends.
func parseLength(b []byte) (int, bool) {
	// region: the array header
	n, err := strconv.Atoi(string(b))
	return n, err == nil && strconv.Itoa(n) == string(b)
	// endregion
}

// arrayHeader parses "*2\r\n": two arguments follow.
func (p *parser) arrayHeader() (err error) {
	err = errIncomplete // until proved otherwise
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
	// No make([][]byte, n) here: n is only a claim. "*0" and "*-1" are not commands; skip them.
	p.left, p.size = max(n, 0), -1
	// endregion
	return err
}

// bulkString parses "$4\r\nECHO\r\n" and adds ECHO to the arguments.
func (p *parser) bulkString() (err error) {
	err = errIncomplete // until proved otherwise
	// region: the length of a string
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
	// endregion
	// region: the bytes of a string
	// The length is known, so nothing is searched: take size bytes, then skip the "\r\n".
	// (Redis does not check those two bytes, and neither do we.)
	end := p.size + 2
	if len(p.buf) < end {
		return errIncomplete
	}
	p.args = append(p.args, bytes.Clone(p.buf[:p.size]))
	p.consume(end, fmt.Sprintf("argument %d", len(p.args)))
	p.left, p.size, err = p.left-1, -1, nil
	// endregion
	return err
}

// consume drops n bytes from the front of the buffer. It moves nothing: the slice just begins
// later. When append needs room, it copies what is left to a new place.
func (p *parser) consume(n int, meaning string) {
	if p.saw != nil {
		p.saw(p.buf[:n], meaning)
	}
	p.buf = p.buf[n:]
}

// next returns the next whole command, errIncomplete if it needs more bytes, or a protocolError.
// The arguments belong to the caller.
func (p *parser) next() (args [][]byte, err error) {
	err = errIncomplete // until proved otherwise
	// region: a line, or not yet
	for p.left == 0 { // between two commands
		if len(p.buf) == 0 {
			return nil, err
		}
		if p.buf[0] != '*' {
			// An empty line is not an error. People press Enter to see whether somebody is there.
			if args, err := p.inline(); err != nil || len(args) > 0 {
				return args, err
			}
		} else if err := p.arrayHeader(); err != nil {
			return nil, err
		}
	}
	// endregion
	// region: the length of a string
	for p.left > 0 {
		if err := p.bulkString(); err != nil {
			return nil, err // if incomplete, p.left and p.size say where to go on
		}
	}
	// endregion
	// region: the bytes of a string
	args, p.args, err = p.args, nil, nil
	// endregion
	return args, err
}

// inline parses a line of words as a person types it. The line ends at "\n", with or without "\r"
// in front, so that nc and telnet both work.
func (p *parser) inline() ([][]byte, error) {
	line, err := p.line("\n", "too big inline request")
	if err != nil {
		return nil, err
	}
	// From here on it is a command like any other. execute cannot tell how it came.
	args, ok := splitWords(bytes.TrimSuffix(line, []byte("\r")))
	if !ok {
		return nil, protocolError("unbalanced quotes in request")
	}
	p.consume(len(line)+1, fmt.Sprintf("inline command of %d word(s)", len(args)))
	return args, nil
}

// splitWords splits at spaces and honours quotes. ok is false if a quote is never closed, or if it
// closes in the middle of a word.
func splitWords(line []byte) (words [][]byte, ok bool) {
	// region: words and quotes
	for line = trimSpace(line); len(line) > 0; line = trimSpace(line) {
		word := []byte{} // it may stay empty: "" is a word, too
		for len(line) > 0 && !isSpace(line[0]) {
			// A quote may open in the middle of a word. What it holds belongs to the same word.
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

// quoted reads up to the closing quote. It returns the text in front of that quote and the rest of
// the line after it. The closing quote must end the word: in "a"b, Redis sees a typing mistake.
func quoted(line []byte, quote byte) (text, rest []byte, ok bool) {
	for i := 0; i < len(line); i++ {
		c := line[i]
		if c == quote {
			rest = line[i+1:]
			return text, rest, len(rest) == 0 || isSpace(rest[0])
		}
		// People do not count bytes, so this is the one place that searches a value for its end.
		// "double" knows \n \r \t \b \a \xHH, and \ in front of anything else; 'single' only \'.
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

// execute runs a command and returns its encoded reply. A wrong command gets an error, and the
// conversation goes on: the server still knows where the next command begins.
func execute(args [][]byte) []byte {
	// region: two commands
	switch name := strings.ToLower(string(args[0])); {
	case name == "ping" && len(args) == 1:
		return []byte("+PONG\r\n")
	case name == "ping" && len(args) == 2, name == "echo" && len(args) == 2:
		return appendBulk(nil, args[1])
	case name == "ping", name == "echo":
		return appendError(nil, fmt.Sprintf("ERR wrong number of arguments for '%s' command", name))
	case name == "command":
		// redis-cli asks COMMAND DOCS when it starts, for its hints. We have none, and an empty
		// array satisfies it.
		return []byte("*0\r\n")
	}
	// endregion
	return appendError(nil, unknownCommand(args))
}

// unknownCommand words the error as Redis does. It quotes at most 128 bytes of the arguments, so
// nobody can use the error to make the server send a megabyte back.
func unknownCommand(args [][]byte) string {
	cut := func(b []byte, n int) []byte { return b[:min(n, len(b))] } // bytes, where %.128s counts letters
	list := ""
	for i := 1; i < len(args) && len(list) < 128; i++ {
		list += fmt.Sprintf("'%s' ", cut(args[i], 128-len(list)))
	}
	return fmt.Sprintf("ERR unknown command '%s', with args beginning with: %s", cut(args[0], 128), list)
}

// appendBulk encodes a value of any bytes. Its length goes in front, so the client does not have
// to search, either.
func appendBulk(dst, value []byte) []byte {
	return fmt.Appendf(dst, "$%d\r\n%s\r\n", len(value), value)
}

// appendError encodes an error. An error has no length in front and ends with its line. A line end
// inside would start a second, forged reply, so it becomes a space.
func appendError(dst []byte, text string) []byte {
	text = strings.NewReplacer("\r", " ", "\n", " ").Replace(text)
	return append(dst, "-"+text+"\r\n"...)
}

// handle serves one client: read, feed the parser, answer every command that has become whole.
func (s *server) handle(conn net.Conn) {
	defer conn.Close()
	id := s.lastID.Add(1)
	p := &parser{size: -1}
	if s.trace {
		p.saw = func(token []byte, meaning string) {
			fmt.Fprintf(s.out, "#%d        %-22q %s\n", id, token, meaning)
		}
	}
	// region: feed and answer
	chunk := make([]byte, 16<<10)
	for {
		// Only this line waits for the client. The parser never does, so an event loop could use
		// it as it is.
		n, readErr := conn.Read(chunk)
		s.traceBytes(id, "in ", chunk[:n])
		p.buf = append(p.buf, chunk[:n]...) // behind what is left of the last chunk
		// The bytes come first, then the error: one Read may bring both.
		if !s.answer(id, conn, p) || readErr != nil {
			return
		}
	}
	// endregion
}

// answer replies to every whole command in p. There may be many: a client may send them without
// waiting (pipelining). It returns false when the connection is of no more use.
func (s *server) answer(id uint64, conn net.Conn, p *parser) bool {
	// region: feed and answer
	for {
		args, err := p.next()
		if err == errIncomplete {
			return true // and p keeps what it has until the next chunk
		}
		if err != nil {
			// Say what was wrong, then close. A silent close is a riddle for the person who has
			// to debug the client.
			fmt.Fprintf(s.out, "#%d %v: closing\n", id, err)
			conn.Write(appendError(nil, "ERR "+err.Error()))
			return false
		}
		if _, err := conn.Write(s.run(id, args)); err != nil {
			return false
		}
	}
	// endregion
}

// run executes a command, prints what it did, and returns the reply.
func (s *server) run(id uint64, args [][]byte) []byte {
	fmt.Fprintf(s.out, "#%d command %q\n", id, args)
	reply := execute(args)
	s.traceBytes(id, "out", reply)
	return reply
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
		default: // too many open files: wait until a client leaves
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// main listens and serves until Ctrl-C, as in step 01.
func main() {
	addr := flag.String("addr", "127.0.0.1:6380", "TCP `address` to listen on")
	trace := flag.Bool("trace", false, "print every byte that comes in and goes out, and its meaning")
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
