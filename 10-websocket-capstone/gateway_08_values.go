package main

import (
	"bytes"
	"strconv"
	"sync"

	"byor/pkg/resp"
)

// Station 8, both protocols: the engine's replies come in pieces as they were written, and not value by value. So the
// gateway follows the stream, from the first byte of a value to its last.

// valueScan finds out where values end, without keeping any.
type valueScan struct {
	inside bool   // a value goes on
	left   int    // values to come until its end
	need   int    // bytes to come until the end of a string
	line   []byte // the beginning of a line that is not whole
	lost   bool   // this is no stream of values
}

// lineMost is as much of a line as is looked at.
const lineMost = 32

// skip returns how much of b belongs to the value that has begun, or begins with b. Then inside says whether it goes on.
func (c *valueScan) skip(b []byte) int {
	if !c.inside {
		c.inside, c.left = true, 1
	}
	n := 0
	for n < len(b) {
		if c.need > 0 {
			k := min(c.need, len(b)-n)
			c.need -= k
			n += k
		} else {
			part, whole := b[n:], false
			if end := bytes.IndexByte(part, '\n'); end >= 0 {
				part, whole = part[:end+1], true
			}
			c.line = append(c.line, part[:min(len(part), lineMost-len(c.line))]...)
			if n += len(part); !whole {
				return n
			}
			c.header(c.line)
			c.line = c.line[:0]
		}
		if c.left == 0 && c.need == 0 {
			c.inside, c.line = false, nil
			return n
		}
	}
	return n
}

// header notes what follows the first line of a value.
func (c *valueScan) header(line []byte) {
	c.left--
	size, _ := strconv.Atoi(string(bytes.TrimRight(line[1:], "\r\n"))) // 0 for what is no length
	switch line[0] {
	case '$', '=', '!':
		if size >= 0 {
			c.need = size + len("\r\n")
		}
	case '*', '~', '>':
		c.left += max(0, size)
	case '%':
		c.left += 2 * max(0, size)
	case '|':
		c.left += 2*max(0, size) + 1
	case '+', '-', ':', ',', '#', '_', '(':
	default:
		c.lost = true
	}
}

// wholeValues cuts a stream into values.
type wholeValues struct {
	scan valueScan
	held []byte // the beginning of a value
}

// next returns the first value that is whole with b, and what is behind it. If there is none, it keeps b for later.
func (w *wholeValues) next(b []byte) (value, rest []byte, ok bool) {
	n := w.scan.skip(b)
	if w.scan.inside && !w.scan.lost {
		w.held = append(w.held, b...)
		return nil, nil, false
	}
	if value = b[:n]; len(w.held) > 0 {
		value, w.held = append(w.held, value...), nil
	}
	return value, b[n:], true
}

// valueReader parses one value that is whole.
type valueReader struct {
	src bytes.Reader
	r   *resp.Reader
}

// valueReaders are there to be used again: a socket needs one for a moment only.
var valueReaders = sync.Pool{New: func() any {
	r := &valueReader{}
	r.r = resp.NewReaderSize(&r.src, 4<<10)
	return r
}}

// parseValue returns the value that b is.
func parseValue(b []byte) (resp.Value, error) {
	r := valueReaders.Get().(*valueReader)
	r.src.Reset(b)
	v, err := r.r.ReadValue()
	if err == nil && r.r.Buffered() == 0 { // else there is something left in it
		r.src.Reset(nil)
		valueReaders.Put(r)
	}
	return v, err
}
