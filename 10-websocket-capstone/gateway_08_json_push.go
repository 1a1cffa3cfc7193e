package main

import (
	"bufio"
	"bytes"
	"fmt"
	"sync/atomic"

	"byor/pkg/resp"
)

// Station 8, byor.json.v1: a message of a channel as JSON, encoded once for all who get it.

// pushCache remembers the last message as JSON. A message goes to all its
// subscribers one right after the other, so nearly all of them find it here: it
// is encoded once instead of a thousand times. Safe for concurrent use.
type pushCache struct {
	last atomic.Pointer[encodedPush]
}

type encodedPush struct {
	parts [][]byte // kind, pattern, channel, payload as the engine sent them
	raw   []byte   // as it stands in the stream
	json  []byte
}

// next takes the next message from the stream if it is, byte for byte, the last
// one that anybody got, and returns its JSON. Then nothing needs to be parsed.
func (c *pushCache) next(in *bufio.Reader) []byte {
	if _, err := in.Peek(1); err != nil {
		return nil // the next read gets the error
	}
	e := c.last.Load()
	if e == nil || in.Buffered() < len(e.raw) {
		return nil
	}
	if b, err := in.Peek(len(e.raw)); err != nil || !bytes.Equal(b, e.raw) {
		return nil
	}
	_, _ = in.Discard(len(e.raw))
	return e.json
}

// encode returns a message, pmessage or smessage as JSON; it is shared and must
// not be changed.
func (c *pushCache) encode(elems []resp.Value) []byte {
	// region: once for all
	if e := c.last.Load(); e != nil && e.same(elems) {
		return e.json
	}
	names := []string{"push", "channel", "data"}
	if len(elems) == 4 {
		names = []string{"push", "pattern", "channel", "data"}
	}
	e := &encodedPush{raw: fmt.Appendf(nil, ">%d\r\n", len(elems))}
	for i, v := range elems {
		e.raw = append(fmt.Appendf(e.raw, "$%d\r\n", len(v.Str)), v.Str...)
		e.raw = append(e.raw, '\r', '\n')
		e.parts = append(e.parts, v.Str)
		if i == 0 {
			e.json = append(e.json, '{')
		} else {
			e.json = append(e.json, ',')
		}
		e.json = append(appendString(e.json, names[i]), ':')
		e.json = appendText(e.json, v.Str)
	}
	e.json = append(e.json, '}')
	c.last.Store(e)
	return e.json
	// endregion
}

func (e *encodedPush) same(elems []resp.Value) bool {
	if len(e.parts) != len(elems) {
		return false
	}
	for i := range elems {
		if !bytes.Equal(e.parts[i], elems[i].Str) {
			return false
		}
	}
	return true
}
