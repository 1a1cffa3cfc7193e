package load

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// replyCounter counts the replies in a stream that arrives in pieces of any
// size. A load generator shares the machine with the server it measures, so it
// must not build values only to throw them away: the counter looks at the
// header line of each element, skips the text of strings unseen, and keeps one
// number for all nesting (how many elements the reply still lacks).
// Both RESP2 and RESP3; pushes and attributes are not replies.
type replyCounter struct {
	line    []byte // the beginning of a header line whose end has not come yet
	skip    int    // bytes of a string still to be passed over
	lacking int    // elements still to come before the current reply is whole
	silent  bool   // the current reply is a push: it does not count

	errors     int64  // error replies, at the top level or nested
	firstError string // the text of the first
}

const maxHeader = 64 << 10 // an error text may be long, but not for ever

var errNoReply = errors.New("what the server sent is no RESP reply")

// count returns how many replies b completes.
func (c *replyCounter) count(b []byte) (replies int, err error) {
	for len(b) > 0 {
		if c.skip > 0 {
			n := min(c.skip, len(b))
			b = b[n:]
			if c.skip -= n; c.skip == 0 {
				replies += c.element()
			}
			continue
		}
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			if len(c.line)+len(b) > maxHeader {
				return replies, errNoReply
			}
			c.line = append(c.line, b...)
			return replies, nil
		}
		line := b[:end]
		if len(c.line) > 0 {
			c.line = append(c.line, line...)
			line = c.line
		}
		n, err := c.header(line)
		if err != nil {
			return replies, err
		}
		replies += n
		c.line = c.line[:0]
		b = b[end+1:]
	}
	return replies, nil
}

// header takes one header line, without its \n, and returns 1 if it completes a reply.
func (c *replyCounter) header(line []byte) (int, error) {
	if len(line) < 2 || line[len(line)-1] != '\r' {
		return 0, errNoReply
	}
	kind, rest := line[0], line[1:len(line)-1]
	switch kind {
	case '+', ':', '_', '#', ',', '(':
		return c.element(), nil
	case '-':
		c.sawError(rest)
		return c.element(), nil
	case '$', '=', '!', '*', '~', '%', '>', '|':
	default:
		return 0, fmt.Errorf("%w: %q", errNoReply, line)
	}
	n, err := smallInt(rest)
	if err != nil {
		return 0, fmt.Errorf("%w: %q", errNoReply, line)
	}
	return c.length(kind, n), nil
}

// length takes what follows a header with a length, a string's or an aggregate's, and returns 1 if that is nothing
// and completes a reply.
func (c *replyCounter) length(kind byte, n int) int {
	switch kind {
	case '$', '=', '!':
		if n >= 0 {
			c.skip = n + 2
			if kind == '!' {
				c.sawError([]byte("a bulk error"))
			}
			return 0
		}
		return c.element()
	case '%':
		n *= 2
	case '|':
		// An attribute stands before a value and is no element itself.
		if c.lacking == 0 {
			c.lacking = 1
		}
		c.lacking += 2 * max(n, 0)
		return 0
	case '>':
		if c.lacking == 0 {
			c.silent = true
		}
	}
	if n <= 0 {
		return c.element()
	}
	if c.lacking > 0 {
		c.lacking--
	}
	c.lacking += n
	return 0
}

// element notes that a value without elements of its own is whole.
func (c *replyCounter) element() int {
	if c.lacking > 0 {
		c.lacking--
	}
	if c.lacking > 0 {
		return 0
	}
	if c.silent {
		c.silent = false
		return 0
	}
	return 1
}

func (c *replyCounter) sawError(text []byte) {
	if c.errors == 0 {
		c.firstError = string(text)
	}
	c.errors++
}

// smallInt parses a length without allocating.
func smallInt(b []byte) (int, error) {
	if len(b) == 0 || len(b) > 10 {
		return 0, strconv.ErrSyntax
	}
	if len(b) == 2 && b[0] == '-' && b[1] == '1' {
		return -1, nil
	}
	n := 0
	for _, d := range b {
		if d < '0' || d > '9' {
			return 0, strconv.ErrSyntax
		}
		n = 10*n + int(d-'0')
	}
	return n, nil
}
