package main

import (
	"bytes"
	"strconv"
)

// In byor.resp.v1, too, a peer that asks may be answered at length, and one that is told things unasked may not
// fall behind its queue. Which is which stands at the beginning of each value of the stream. So the gateway
// follows the stream from value to value, without keeping any.

// respCutter cuts a stream of replies and messages into pieces that are of one kind.
type respCutter struct {
	inside bool   // a value goes on
	push   bool   // and is a message
	left   int    // values to come until its end
	need   int    // bytes to come until the end of a string
	line   []byte // the beginning of a line that is not whole
	lost   bool   // this is no stream of values
}

// respPushes are the beginnings of messages. In RESP2 they look like replies; those of the same
// form count as messages of a peer that subscribes.
var respPushes = [][]byte{[]byte(">"), []byte("*3\r\n$7\r\nmessage\r\n"), []byte("*4\r\n$8\r\npmessage\r\n"), []byte("*3\r\n$8\r\nsmessage\r\n")}

// next returns how much of b is of one kind, and which. If that is nothing, only more bytes can tell.
func (c *respCutter) next(b []byte) (n int, push bool) {
	for n < len(b) && !c.lost {
		if !c.inside {
			push, known := beginsPush(b[n:])
			if !known || n > 0 && push != c.push {
				return n, c.push
			}
			c.inside, c.push, c.left = true, push, 1
		}
		n += c.skip(b[n:])
	}
	if c.lost {
		return len(b), false
	}
	return n, c.push
}

// beginsPush reports whether a value is a message, if that is known from its beginning.
func beginsPush(b []byte) (push, known bool) {
	for _, p := range respPushes {
		if bytes.HasPrefix(b, p) {
			return true, true
		}
		if bytes.HasPrefix(p, b) {
			return false, false
		}
	}
	return false, true
}

// lineMost is as much of a line as is looked at.
const lineMost = 32

// skip returns how much of b belongs to the value.
func (c *respCutter) skip(b []byte) int {
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
			c.inside = false
			return n
		}
	}
	return n
}

// header notes what follows the first line of a value.
func (c *respCutter) header(line []byte) {
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
