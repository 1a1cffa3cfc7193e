// Package resp is the wire of Redis: RESP2 and RESP3, read and written.
//
// There are two readers because the two ends of a connection read different things. A server
// reads commands (CommandReader): arrays of bulk strings, or a line typed by a person ("inline
// commands"). A client reads replies (Reader): any RESP value. A server writes its replies with
// Writer, which keeps them until Flush; a client's commands are made by AppendCommand.
//
// The command reader is a state machine over one buffer instead of a chain of blocking reads. It
// can therefore stop in the middle of a command and go on when more bytes have come, which lets
// the same code serve a goroutine that blocks (ReadCommand) and an event loop that must not
// (Fill once, then Next until ErrIncomplete). What it trades away: arguments point into the
// buffer, so they are valid only until the next Fill, and who keeps one must copy it. Values of
// Reader own their memory.
//
// A reader or a writer is for one goroutine at a time; one of each may share a connection. What a
// peer claims costs nothing before its bytes have come: lengths and nesting have bounds (Limits), and
// memory grows with what was received. How long to wait for a peer is not decided here: set
// deadlines on the connection.
//
// Source of the format: https://redis.io/docs/latest/develop/reference/protocol-spec/, limits and
// error texts as in Redis 7.0's networking.c.
package resp

import (
	"bytes"
	"errors"
	"io"
)

// Limits of a request, with Redis's defaults.
const (
	MaxInline       = 64 << 10    // bytes of an inline command or of a "*3" or "$5" line
	maxBulk         = 512 << 20   // bytes of one argument (proto-max-bulk-len)
	maxMultibulk    = 1<<31 - 1   // arguments of one command
	unauthMultibulk = 10          // arguments, before AUTH
	unauthBulk      = 16 << 10    // bytes of an argument, before AUTH
	smallBuf        = 4 << 10     // what a quiet connection holds
	readBuf         = 16 << 10    // what a busy one reads at a time
	maxReadBuf      = 64 << 10    // and what pipelining may raise that to
	keepBuf         = 4 * readBuf // an (almost) empty buffer larger than this is given back
	keepArgs        = 8 << 10     // and room for more arguments than this
)

// ErrIncomplete says that the buffer ends before the command does.
var ErrIncomplete = errors.New("resp: incomplete command")

// ProtocolError is a request that cannot be parsed. The server answers "-ERR Protocol error: "
// and the message, and closes the connection, since nothing after it can be trusted to be framed.
type ProtocolError struct{ Msg string }

func (e *ProtocolError) Error() string { return "Protocol error: " + e.Msg }

// Limits bounds what a command may claim. The zero value means Redis's defaults.
type Limits struct {
	MaxBulk         int  // largest argument in bytes; 0 means 512 MB
	Unauthenticated bool // a peer that has yet to AUTH gets 10 arguments of 16 KB
}

// CommandReader reads commands from a stream. It is not safe for concurrent use.
type CommandReader struct {
	Limits Limits

	src    io.Reader
	buf    []byte // buf[start:] are bytes received and not yet returned as a command
	start  int    // first byte of the current command
	pos    int    // first byte of it that is not parsed yet
	left   int    // arguments still to come; 0 between commands
	bulk   int    // length of the argument being read, -1 while its "$" line is due
	spans  []span // arguments already seen, relative to start, so that buf may move
	large  large  // see large.go
	sum    int    // bytes of the first summed spans
	summed int
	arena  [][]byte
	read   int64 // bytes of the commands returned so far
	roomy  bool  // the last read filled the buffer: make it larger
}

type span struct{ off, n int } // off < 0: argument ^off of large.done

// NewCommandReader returns a reader of the commands in r. It reads no more than is at hand: a
// command split over many packets and many commands in one packet are both as they should be.
func NewCommandReader(r io.Reader) *CommandReader {
	return &CommandReader{src: r, bulk: -1}
}

// ReadCommand returns the next command, reading as often as needed. The arguments are valid until
// the next call. It returns io.EOF when the stream ends between commands, io.ErrUnexpectedEOF
// when it ends inside one, a *ProtocolError for bytes that are no command, or the source's error.
func (r *CommandReader) ReadCommand() ([][]byte, error) {
	for {
		args, err := r.Next()
		if err != ErrIncomplete {
			return args, err
		}
		if err := r.Fill(); err != nil {
			if err == io.EOF && r.Buffered() > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// Buffered returns how many bytes were received but do not belong to a command returned so far.
func (r *CommandReader) Buffered() int { return len(r.buf) - r.start + r.large.received() }

// Consumed returns how many bytes the commands returned so far took on the wire, which is how a
// replica counts its offset.
func (r *CommandReader) Consumed() int64 { return r.read }

// Size returns the bytes of memory that the reader holds for what has come and for what may.
func (r *CommandReader) Size() int { return cap(r.buf) + r.large.size() }

// Shrink gives the buffer back if all that was received has been returned as commands. Arguments
// returned before stay valid, but keep what they are in alive.
func (r *CommandReader) Shrink() {
	r.large.latest, r.arena = nil, nil
	if r.start < len(r.buf) {
		return
	}
	r.buf, r.start, r.pos, r.arena, r.roomy = nil, 0, 0, nil, false
}

// Fill reads once from the source. Arguments returned before are invalid after it. The buffer
// grows with what has really come, never with what a length claims.
func (r *CommandReader) Fill() error {
	r.arena = r.arena[:0]
	if cap(r.arena) > keepArgs {
		r.arena = nil
	}
	if r.HasLarge() {
		r.ForgetLarge()
	}
	var n int
	var err error
	if r.large.missing() > 0 {
		n, err = r.large.fill(r.src)
	} else {
		r.makeRoom()
		n, err = r.src.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+n]
		r.roomy = len(r.buf) == cap(r.buf)
	}
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// makeRoom moves what is left to the front and sees to free space behind it: a small buffer at
// first, a larger one once a read has filled it, twice the size when a single command needs it.
func (r *CommandReader) makeRoom() {
	n := len(r.buf) - r.start
	if r.start > 0 || n == 0 {
		to := r.buf
		if cap(to) > keepBuf && n <= keepBuf/8 {
			to = make([]byte, readBuf)
			r.arena = nil // which refers to the old one
		}
		copy(to, r.buf[r.start:])
		r.buf = to[:n]
		r.pos -= r.start
		r.start = 0
	}
	want := cap(r.buf)
	switch {
	case want == 0:
		want = smallBuf
	case n == want:
		want *= 2
	case r.roomy && want < maxReadBuf:
		want *= 4
	default:
		return
	}
	grown := make([]byte, n, want)
	copy(grown, r.buf)
	r.buf = grown
	r.roomy = false
}

// Next returns the next command that is wholly buffered, ErrIncomplete when there is none, or a
// *ProtocolError. It never reads. The arguments are valid until the next Fill, so a batch of
// pipelined commands may be collected first and executed afterwards.
func (r *CommandReader) Next() ([][]byte, error) {
	for {
		if r.left == 0 {
			if args := r.whole(); args != nil {
				return args, nil
			}
			if r.pos == len(r.buf) {
				return nil, ErrIncomplete
			}
			if r.buf[r.pos] != '*' {
				args, err := r.inline()
				if err != nil || len(args) > 0 {
					return args, err
				}
				continue
			}
			if err := r.header(); err != nil {
				return nil, err
			}
			continue // "*0" and "*-1" are skipped
		}
		if err := r.bulks(); err != nil {
			return nil, err
		}
		first := len(r.arena)
		for _, s := range r.spans {
			if s.off < 0 {
				r.arena = append(r.arena, r.large.done[^s.off])
				continue
			}
			a := r.start + s.off
			r.arena = append(r.arena, r.buf[a:a+s.n:a+s.n])
		}
		r.finish()
		return r.arena[first:len(r.arena):len(r.arena)], nil
	}
}

func (r *CommandReader) finish() {
	r.read += int64(r.pos - r.start)
	r.start = r.pos
	if len(r.large.done) > 0 {
		r.read += r.large.handOut()
	}
	if r.summed > 0 {
		r.sum, r.summed = 0, 0
	}
	r.spans = r.spans[:0]
	if cap(r.spans) > keepArgs {
		r.spans = nil
	}
}

// header parses "*<n>\r\n".
func (r *CommandReader) header() error {
	// The common case, a count of one digit, without the general machinery.
	if b := r.buf[r.pos:]; len(b) >= 4 && b[2] == '\r' && b[1]-'1' <= 8 {
		r.left = int(b[1] - '0')
		r.pos += 4
		return nil
	}
	line, err := r.line("too big mbulk count string")
	if err != nil {
		return err
	}
	n, ok := ParseInt(line[1:])
	if !ok || n > maxMultibulk {
		return &ProtocolError{"invalid multibulk length"}
	}
	if n > unauthMultibulk && r.Limits.Unauthenticated {
		return &ProtocolError{"unauthenticated multibulk length"}
	}
	if n <= 0 {
		r.finish()
		return nil
	}
	r.left = int(n)
	return nil
}

// bulks parses the arguments that are still due. It returns ErrIncomplete where the buffer ends
// and goes on from there when called again, so that no byte of a long command is parsed twice.
func (r *CommandReader) bulks() error {
	for r.left > 0 {
		if r.bulk < 0 {
			if err := r.bulkHeader(); err != nil {
				return err
			}
		}
		end := r.pos + r.bulk + 2 // the two bytes behind an argument are skipped unseen, as Redis does
		if r.large.n > 0 {
			if r.large.missing() > 0 {
				return ErrIncomplete
			}
			r.spans = append(r.spans, span{^len(r.large.done), r.bulk})
			r.large.complete()
			end = r.pos // its bytes, and the line's end, did not go through buf
		} else if end > len(r.buf) {
			if r.bulk >= LargeBulk && end-2 > len(r.buf) {
				r.large.begin(r.bulk, r.buf[r.pos:])
				r.buf = r.buf[:r.pos]
				r.roomy = false // a larger buffer would only mean that more of the next is copied
			}
			return ErrIncomplete
		} else {
			r.spans = append(r.spans, span{r.pos - r.start, r.bulk})
		}
		r.pos = end
		r.bulk = -1
		r.left--
	}
	return nil
}

// bulkHeader parses "$<n>\r\n". Nothing is allocated for n: memory follows the bytes.
func (r *CommandReader) bulkHeader() error {
	if r.pos == len(r.buf) {
		return ErrIncomplete
	}
	// The common case, a length of one digit, without the general machinery.
	if b := r.buf[r.pos:]; len(b) >= 4 && b[0] == '$' && b[2] == '\r' && b[1]-'0' <= 9 {
		r.bulk = int(b[1] - '0')
		r.pos += 4
		return nil
	}
	line, err := r.line("too big bulk count string")
	if err != nil {
		return err
	}
	if line[0] != '$' {
		return &ProtocolError{"expected '$', got '" + string(line[:1]) + "'"}
	}
	n, ok := ParseInt(line[1:])
	limit := int64(r.Limits.MaxBulk)
	if limit == 0 {
		limit = maxBulk
	}
	if !ok || n < 0 || n > limit {
		return &ProtocolError{"invalid bulk length"}
	}
	if n > unauthBulk && r.Limits.Unauthenticated {
		return &ProtocolError{"unauthenticated bulk length"}
	}
	r.bulk = int(n)
	return nil
}

// lineEnd returns where the line in b ends, or -1. Redis searches with strchr, which stops at a
// NUL: a line with a NUL in it never ends, and its sender is cut off at MaxInline.
func lineEnd(b []byte, end byte) int {
	i := bytes.IndexByte(b, end)
	if i > 0 && bytes.IndexByte(b[:i], 0) >= 0 {
		return -1
	}
	return i
}

// line returns the bytes up to the next "\r" and moves behind the byte after it, which Redis
// takes for "\n" unseen. An empty line comes back as its "\r", so that callers may look at
// line[0].
func (r *CommandReader) line(tooBig string) ([]byte, error) {
	b := r.buf[r.pos:]
	i := lineEnd(b, '\r')
	if i < 0 {
		if len(b) > MaxInline {
			return nil, &ProtocolError{tooBig}
		}
		return nil, ErrIncomplete
	}
	if i+2 > len(b) {
		return nil, ErrIncomplete
	}
	r.pos += i + 2
	if i == 0 {
		return b[:1], nil
	}
	return b[:i], nil
}

// inline parses a line of words. An empty line gives no arguments and no error.
func (r *CommandReader) inline() ([][]byte, error) {
	b := r.buf[r.pos:]
	i := lineEnd(b, '\n')
	if i < 0 {
		if len(b) > MaxInline {
			return nil, &ProtocolError{"too big inline request"}
		}
		return nil, ErrIncomplete
	}
	line := b[:i]
	if i > 0 && line[i-1] == '\r' {
		line = line[:i-1]
	}
	args, ok := SplitArgs(line)
	if !ok {
		return nil, &ProtocolError{"unbalanced quotes in request"}
	}
	r.pos += i + 1
	r.finish()
	return args, nil
}

// ReadLine returns the next line without its end, reading as needed; it serves the replication
// handshake, where lines, a raw payload and commands follow each other on one stream and must
// come out of one buffer. The line is valid until the next call.
func (r *CommandReader) ReadLine() ([]byte, error) {
	for {
		b := r.buf[r.start:]
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			r.pos = r.start + i + 1
			r.start = r.pos
			return bytes.TrimSuffix(b[:i], []byte("\r")), nil
		}
		if len(b) > MaxInline {
			return nil, &ProtocolError{"too big inline request"}
		}
		if err := r.Fill(); err != nil {
			return nil, err
		}
	}
}

// Read takes raw bytes: first what is buffered, then from the source. It may only be called
// between commands.
func (r *CommandReader) Read(p []byte) (int, error) {
	if r.start == len(r.buf) {
		return r.src.Read(p)
	}
	n := copy(p, r.buf[r.start:])
	r.start += n
	r.pos = r.start
	return n, nil
}

// ParseInt parses a decimal integer as strictly as Redis: no sign but '-', no leading zeros, no
// spaces, no overflow.
func ParseInt(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	if len(b) == 1 && b[0] == '0' {
		return 0, true
	}
	neg := b[0] == '-'
	if neg {
		b = b[1:]
	}
	if len(b) == 0 || b[0] < '1' || b[0] > '9' {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		d := uint64(c - '0')
		if d > 9 || n > (1<<64-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	if neg {
		if n > 1<<63 {
			return 0, false
		}
		return -int64(n), true
	}
	if n > 1<<63-1 {
		return 0, false
	}
	return int64(n), true
}
