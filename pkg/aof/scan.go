package aof

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// scanner reads commands from a file of the log, and knows at which offset each
// ends. It is not the parser of pkg/resp: a file may hold #TS: annotations and no
// inline commands, and the one question that matters is asked of no connection:
// is this the torn end of a write (cut it off, go on) or is it damage (stop)?
type scanner struct {
	r    *bufio.Reader
	off  int64 // offset of what has been consumed, in bytes
	size int64 // length of the file
	ends []int // ends[i] is where argument i ends in text

	// What was read, until somebody takes it away: arguments of commands, and the bytes that they
	// are in. If the bytes have to move, the arguments stay with the old ones.
	args [][]byte
	text []byte
}

// errTorn is a file that ends within a command: a short read.
var errTorn = errors.New("short read")

// maxLine is the longest line of a file, an annotation included, in bytes.
const maxLine = 1024

// readChunk bounds what is allocated ahead of what has been read, in bytes.
const readChunk = 1 << 20

// next reads a command, past any annotations. The slices are valid as long as args
// and text are left alone. It returns io.EOF at the end of the file, errTorn where
// the end comes too early, a *badFormat, or an error of the reader.
func (s *scanner) next() ([][]byte, error) {
	for {
		if args := s.buffered(); args != nil {
			return args, nil
		}
		kind, number, err := s.line("*")
		if err != nil {
			return nil, err
		}
		if kind == '#' {
			continue
		}
		if number < 1 {
			return nil, s.bad("a command of at least one argument, got %d", number)
		}
		return s.command(number)
	}
}

func (s *scanner) command(argc int64) ([][]byte, error) {
	first := len(s.text)
	s.ends = s.ends[:0]
	for range argc {
		_, length, err := s.line("$")
		if err == io.EOF {
			err = errTorn
		}
		if err != nil {
			return nil, err
		}
		if err := s.bulk(length); err != nil {
			return nil, err
		}
	}
	n := len(s.args)
	for _, end := range s.ends {
		s.args = append(s.args, s.text[first:end:end])
		first = end
	}
	return s.args[n:], nil
}

// buffered reads a command that is in the reader's buffer as a whole, which nearly
// all are, in one piece. It returns nil, and has read nothing, where there is
// anything else: the long way finds out what.
func (s *scanner) buffered() [][]byte {
	b, _ := s.r.Peek(s.r.Buffered()) // what is there is there
	argc, p := number(b, 0, '*')
	if p < 0 || argc < 1 || argc > len(b) {
		return nil
	}
	s.ends = s.ends[:0]
	for range argc {
		n, at := number(b, p, '$')
		if at < 0 || n > len(b)-at-2 || b[at+n] != '\r' || b[at+n+1] != '\n' {
			return nil
		}
		s.ends = append(s.ends, at, at+n)
		p = at + n + 2
	}
	first, n := len(s.text), len(s.args)
	s.text = append(s.text, b[:p]...)
	for i := 0; i < len(s.ends); i += 2 {
		from, to := first+s.ends[i], first+s.ends[i+1]
		s.args = append(s.args, s.text[from:to:to])
	}
	_, _ = s.r.Discard(p)
	s.off += int64(p)
	return s.args[n:]
}

// number reads a mark and a number of up to nine digits from b[p:], and returns it
// with where its line ends; that is -1 for anything else.
func number(b []byte, p int, mark byte) (n, end int) {
	if p >= len(b) || b[p] != mark {
		return 0, -1
	}
	for i := p + 1; i < len(b) && i < p+11; i++ {
		c := b[i]
		if c == '\r' && i > p+1 && i+1 < len(b) && b[i+1] == '\n' {
			return n, i + 2
		}
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int(c-'0')
	}
	return 0, -1
}

// line reads a line that must begin with the given mark and goes on with a
// number, or, where a command may begin, an annotation (kind '#').
func (s *scanner) line(mark string) (kind byte, number int64, err error) {
	b, err := s.r.ReadSlice('\n')
	start := s.off
	s.off += int64(len(b))
	if len(b) == 0 {
		return 0, 0, err // io.EOF, or a failed read
	}
	if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
		return 0, 0, err
	}
	annotation := b[0] == '#' && mark == "*"
	if b[0] != mark[0] && !annotation {
		s.off = start
		return 0, 0, s.bad("'%s', got %q", mark, b[0])
	}
	if len(b) > maxLine || err == bufio.ErrBufferFull {
		s.off = start
		return 0, 0, s.bad("a line of at most %d bytes", maxLine)
	}
	if err == io.EOF {
		return 0, 0, errTorn
	}
	if annotation {
		return '#', 0, nil
	}
	digits := bytes.TrimSuffix(b[1:len(b)-1], []byte{'\r'})
	number, ok := parseInt(digits)
	if !ok {
		s.off = start
		return 0, 0, s.bad("a number after '%s', got %q", mark, digits)
	}
	return b[0], number, nil
}

// parseInt is strconv.ParseInt without its allocation: two or more a command.
func parseInt(b []byte) (n int64, ok bool) {
	neg := len(b) > 1 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 18 { // 18 digits cannot overflow
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if neg {
		n = -n
	}
	return n, true
}

// bulk reads an argument and the line end after it.
func (s *scanner) bulk(length int64) error {
	if length < 0 {
		return s.bad("the length of an argument, got %d", length)
	}
	// Never allocate from a declared length: the file may be shorter than that.
	if length > s.size-s.off {
		return errTorn
	}
	for left := length; left > 0; {
		n := int(min(left, readChunk))
		at := len(s.text)
		s.text = append(s.text, make([]byte, n)...)
		got, err := io.ReadFull(s.r, s.text[at:])
		s.off += int64(got)
		if err != nil {
			return tornAtEOF(err)
		}
		left -= int64(n)
	}
	s.ends = append(s.ends, len(s.text))
	var crlf [2]byte
	got, err := io.ReadFull(s.r, crlf[:])
	s.off += int64(got)
	if err != nil {
		return tornAtEOF(err)
	}
	if crlf != [2]byte{'\r', '\n'} {
		s.off -= 2
		return s.bad("a line end after an argument of %d bytes, got %q", length, crlf[:])
	}
	return nil
}

func tornAtEOF(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errTorn
	}
	return err
}

// badFormat is something in a file that no torn write leaves behind.
type badFormat struct {
	offset int64
	want   string
}

func (e *badFormat) Error() string {
	return fmt.Sprintf("at offset %d: expected %s", e.offset, e.want)
}

func (s *scanner) bad(format string, args ...any) error {
	return &badFormat{offset: s.off, want: fmt.Sprintf(format, args...)}
}
