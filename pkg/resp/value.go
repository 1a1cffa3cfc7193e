package resp

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
)

// Kind is the first byte of a RESP value on the wire.
type Kind byte

// The kinds. The first five are RESP2, the others came with RESP3.
const (
	SimpleString Kind = '+'
	SimpleError  Kind = '-'
	Integer      Kind = ':'
	BulkString   Kind = '$'
	Array        Kind = '*'
	Null         Kind = '_'
	Bool         Kind = '#'
	Double       Kind = ','
	BigNumber    Kind = '('
	BulkError    Kind = '!'
	Verbatim     Kind = '='
	Map          Kind = '%'
	Set          Kind = '~'
	Push         Kind = '>'
	Attribute    Kind = '|'
)

// Value is one reply as it came, of any kind. It owns its memory.
type Value struct {
	Kind   Kind
	Null   bool    // "$-1", "*-1" or "_"; Kind says which
	Str    []byte  // of +, -, $, !, =, and the digits of (
	Format string  // of =: "txt", "mkd"
	Int    int64   // of :
	Double float64 // of ,
	Bool   bool    // of #
	Elems  []Value // of *, ~, >; of % and | key, value, key, value …
	Attrs  []Value // of an attribute that came before this value: key, value …
}

// IsError reports whether the reply is an error, "-" or "!".
func (v Value) IsError() bool { return v.Kind == SimpleError || v.Kind == BulkError }

// Err returns the reply as a Go error when it is one, else nil.
func (v Value) Err() error {
	if v.IsError() {
		return ReplyError(v.Str)
	}
	return nil
}

// ReplyError is an error that the server sent.
type ReplyError string

func (e ReplyError) Error() string { return string(e) }

// Bounds of a reply, so that a hostile server cannot exhaust a client.
const (
	maxDepth    = 128
	maxElements = 1 << 31
)

// Reader reads replies. It is not safe for concurrent use.
type Reader struct{ br *bufio.Reader }

// NewReader returns a reader of the replies in r. It may read ahead.
func NewReader(r io.Reader) *Reader { return &Reader{bufio.NewReaderSize(r, readBuf)} }

// NewReaderSize is NewReader with a buffer of n bytes, for who has thousands of connections.
func NewReaderSize(r io.Reader, n int) *Reader { return &Reader{bufio.NewReaderSize(r, n)} }

// Buffered returns the bytes received that belong to no value returned so far.
func (r *Reader) Buffered() int { return r.br.Buffered() }

// ReadValue returns the next value. It returns io.EOF between values, io.ErrUnexpectedEOF inside
// one, and a *ProtocolError for bytes that are no RESP. Memory grows with the bytes received and
// not with the lengths claimed.
func (r *Reader) ReadValue() (Value, error) {
	if _, err := r.br.Peek(1); err != nil {
		return Value{}, err
	}
	v, err := r.value(0)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return v, err
}

func (r *Reader) value(depth int) (Value, error) {
	if depth > maxDepth {
		return Value{}, &ProtocolError{"nesting too deep"}
	}
	line, err := r.line()
	if err != nil {
		return Value{}, err
	}
	if len(line) == 0 {
		return Value{}, &ProtocolError{"empty line where a value was expected"}
	}
	v := Value{Kind: Kind(line[0])}
	rest := line[1:]
	switch v.Kind {
	case SimpleString, SimpleError, BigNumber:
		v.Str = append([]byte{}, rest...)
		if v.Kind == BigNumber && !isDecimal(rest) {
			err = malformed("big number", rest)
		}
	case Integer:
		v.Int, err = strconv.ParseInt(string(rest), 10, 64)
		if err != nil {
			err = malformed("integer", rest)
		}
	case Null:
		v.Null = true
		if len(rest) != 0 {
			err = malformed("null", rest)
		}
	case Bool:
		v.Bool = string(rest) == "t"
		if !v.Bool && string(rest) != "f" {
			err = malformed("boolean", rest)
		}
	case Double:
		v.Double, err = parseDouble(rest)
	case BulkString, BulkError, Verbatim:
		err = r.bulk(&v, rest)
	case Array, Set, Push, Map:
		err = r.elements(&v, rest, depth)
	case Attribute:
		return r.attributed(v, rest, depth)
	default:
		err = &ProtocolError{fmt.Sprintf("unknown type byte %q", line[0])}
	}
	return v, err
}

// attributed reads an attribute's pairs and the value they belong to.
func (r *Reader) attributed(attr Value, count []byte, depth int) (Value, error) {
	if err := r.elements(&attr, count, depth); err != nil {
		return Value{}, err
	}
	v, err := r.value(depth + 1)
	v.Attrs = append(attr.Elems, v.Attrs...)
	return v, err
}

func (r *Reader) elements(v *Value, count []byte, depth int) error {
	n, ok := ParseInt(count)
	if string(count) == "-1" && v.Kind == Array {
		v.Null = true
		return nil
	}
	if v.Kind == Map || v.Kind == Attribute {
		n *= 2
	}
	if !ok || n < 0 || n > maxElements {
		return malformed("element count", count)
	}
	v.Elems = make([]Value, 0, min(n, 8))
	for range n {
		e, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		v.Elems = append(v.Elems, e)
	}
	return nil
}

func (r *Reader) bulk(v *Value, count []byte) error {
	if string(count) == "-1" && v.Kind == BulkString {
		v.Null = true
		return nil
	}
	n, ok := ParseInt(count)
	if !ok || n < 0 || n > maxBulk {
		return malformed("length", count)
	}
	b, err := r.exactly(int(n))
	if err != nil {
		return err
	}
	var crlf [2]byte
	if _, err := io.ReadFull(r.br, crlf[:]); err != nil {
		return err
	}
	if crlf != [2]byte{'\r', '\n'} {
		return malformed("end of a bulk string", crlf[:])
	}
	if v.Kind == Verbatim {
		if len(b) < 4 || b[3] != ':' {
			return malformed("verbatim string", b[:min(len(b), 8)])
		}
		v.Format, b = string(b[:3]), b[4:]
	}
	v.Str = b
	return nil
}

// exactly reads n bytes in steps, so that a false length costs no more than what came.
func (r *Reader) exactly(n int) ([]byte, error) {
	b := make([]byte, min(n, readBuf))
	got, err := io.ReadFull(r.br, b)
	for err == nil && got < n {
		b = append(b, make([]byte, min(n-got, got))...)
		var m int
		m, err = io.ReadFull(r.br, b[got:])
		got += m
	}
	return b, err
}

// line reads up to "\r\n"; it is valid until the next read.
func (r *Reader) line() ([]byte, error) {
	line, err := r.br.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		long := append([]byte{}, line...)
		for err == bufio.ErrBufferFull && len(long) <= MaxInline {
			line, err = r.br.ReadSlice('\n')
			long = append(long, line...)
		}
		if err == bufio.ErrBufferFull {
			return nil, &ProtocolError{"line too long"}
		}
		line = long
	}
	if err != nil {
		return nil, err
	}
	if len(line) < 2 || line[len(line)-2] != '\r' {
		return nil, malformed("line end", line)
	}
	return line[:len(line)-2], nil
}

func parseDouble(b []byte) (float64, error) {
	switch string(b) {
	case "inf":
		return math.Inf(1), nil
	case "-inf":
		return math.Inf(-1), nil
	case "nan", "-nan":
		return math.NaN(), nil
	}
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || len(b) == 0 || b[len(b)-1] < '.' {
		return 0, malformed("double", b)
	}
	return f, nil
}

func isDecimal(b []byte) bool {
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		b = b[1:]
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}

func malformed(what string, got []byte) error {
	return &ProtocolError{fmt.Sprintf("malformed %s: %q", what, got)}
}
