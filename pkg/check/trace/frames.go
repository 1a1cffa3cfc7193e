package trace

import (
	"bytes"
	"fmt"
	"strconv"
)

// Part is a piece of RESP with what it means. The parts of a stream, one behind the other, are all
// of its bytes.
type Part struct {
	Offset int // of its first byte in what was given
	Len    int
	Text   string // the bytes, visible
	Note   string // what they mean
	Depth  int    // how deep in arrays it stands
}

// kinds says what each first byte of RESP announces; %s is what follows it.
var kinds = map[byte]string{
	'+': "simple string", '-': "error", ':': "integer %s", '_': "null", '#': "boolean",
	',': "double %s", '(': "big number", '*': "array of %s", '%': "map of %s pairs", '~': "set of %s",
	'>': "push of %s", '|': "attribute of %s pairs", '$': "bulk string, %s bytes", '=': "verbatim string, %s bytes",
	'!': "bulk error, %s bytes",
}

// Annotate cuts b into its parts. fromClient says that a line that opens with none of RESP's type
// bytes is an inline command. A piece that is not whole is the last part, noted as such.
func Annotate(b []byte, fromClient bool) []Part {
	var parts []Part
	var open []int // elements still to come, a level each
	for off := 0; off < len(b); {
		n, note, elems, whole := onePart(b[off:], fromClient)
		p := Part{Offset: off, Len: n, Text: Visible(b[off:off+n], 120), Note: note, Depth: len(open)}
		if !whole {
			p.Note += " (not whole yet)"
		}
		parts = append(parts, p)
		off += n
		if len(open) > 0 {
			open[len(open)-1]--
		}
		if elems > 0 {
			open = append(open, elems)
		}
		for len(open) > 0 && open[len(open)-1] == 0 {
			open = open[:len(open)-1]
		}
	}
	return parts
}

// onePart describes the part at the start of b: its length, meaning, and how many parts of an
// aggregate follow. whole is false when b ends within it.
func onePart(b []byte, fromClient bool) (n int, note string, elems int, whole bool) {
	nl := bytes.IndexByte(b, '\n')
	format, known := kinds[b[0]]
	switch {
	case nl < 0:
		return len(b), "unfinished line", 0, false
	case !known && fromClient:
		return nl + 1, "inline command", 0, true
	case !known:
		return nl + 1, "not RESP", 0, true
	}
	head := bytes.TrimRight(b[1:nl], "\r")
	note = format
	if bytes.Contains([]byte(format), []byte("%s")) {
		note = fmt.Sprintf(format, head)
	}
	count, err := strconv.Atoi(string(head))
	if err != nil || count > 1<<30 {
		return nl + 1, note, 0, true
	}
	switch b[0] {
	case '$', '=', '!':
		if count < 0 {
			return nl + 1, "null", 0, true
		}
		end := nl + 1 + count + 2
		return min(end, len(b)), note, 0, end <= len(b)
	case '*', '~', '>':
		if count < 0 {
			note = "null array"
		}
		return nl + 1, note, count, true
	case '%', '|':
		return nl + 1, note, 2 * count, true
	}
	return nl + 1, note, 0, true
}
