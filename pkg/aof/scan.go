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
	args [][]byte
	ends []int  // ends[i] is where argument i ends in text
	text []byte // all arguments of a command, one after the other
}

// errTorn is a file that ends within a command: a short read.
var errTorn = errors.New("short read")

// maxLine is the longest line of a file, an annotation included, in bytes.
const maxLine = 1024

// readChunk bounds what is allocated ahead of what has been read, in bytes.
const readChunk = 1 << 20

// next reads a command, past any annotations. The slices are valid until the next
// call. It returns io.EOF at the end of the file, errTorn where the end comes too
// early, a *badFormat, or an error of the reader.
func (s *scanner) next() ([][]byte, error) {
	for {
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
	s.text, s.ends = s.text[:0], s.ends[:0]
	if cap(s.text) > readChunk {
		s.text = nil // one huge value must not stay in memory for the whole load
	}
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
	s.args = s.args[:0]
	start := 0
	for _, end := range s.ends {
		s.args = append(s.args, s.text[start:end:end])
		start = end
	}
	return s.args, nil
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
