package resp

import (
	"bytes"
	"fmt"
	"io"
	"net"
)

// Trace returns conn with eyes: everything that is read from it or written to it is printed to out
// as Annotate prints it, marked with name and the direction. One goroutine may read while another
// writes, as with any net.Conn, if out allows it (os.Stdout does).
func Trace(conn net.Conn, out io.Writer, name string) net.Conn { return &traced{conn, out, name} }

type traced struct {
	net.Conn
	out  io.Writer
	name string
}

// NetConn returns the connection that is looked at.
func (t *traced) NetConn() net.Conn { return t.Conn }

func (t *traced) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	Annotate(t.out, t.name+" in  ", p[:n])
	return n, err
}

func (t *traced) Write(p []byte) (int, error) {
	Annotate(t.out, t.name+" out ", p)
	return t.Conn.Write(p)
}

// Annotate prints every byte of b, escaped as in a Go string: a line for each piece of RESP, with
// label in front and what the piece means behind. Bytes that are no RESP, or the rest of a piece that
// began in an earlier call, are shown as they are. Nothing is printed for no bytes.
func Annotate(out io.Writer, label string, b []byte) {
	var text bytes.Buffer // one Write, so that the lines of two goroutines do not mix
	for len(b) > 0 {
		n, meaning := piece(b)
		fmt.Fprintf(&text, "%s %-26q %s\n", label, b[:n], meaning)
		b = b[n:]
	}
	if text.Len() > 0 {
		out.Write(text.Bytes())
	}
}

// pieces says what the first byte of a RESP value announces.
var pieces = map[Kind]string{
	SimpleString: "simple string", SimpleError: "error", Integer: "integer", BulkString: "bulk string of %s bytes",
	Array: "array of %s", Null: "null", Bool: "boolean", Double: "double", BigNumber: "big number",
	BulkError: "error of %s bytes", Verbatim: "verbatim string of %s bytes", Map: "map of %s pairs",
	Set: "set of %s", Push: "push of %s", Attribute: "attribute of %s pairs",
}

// piece returns the length and the meaning of what b begins with: a header line, or a bulk string
// with the bytes that belong to it.
func piece(b []byte) (int, string) {
	end := bytes.IndexByte(b, '\n') + 1
	meaning, known := pieces[Kind(b[0])]
	switch {
	case end > 0 && !known:
		return end, "a line"
	case end < 2 || b[end-2] != '\r' || !known:
		return len(b), fmt.Sprintf("%d bytes", len(b))
	}
	count := b[1 : end-2]
	if bytes.Contains([]byte(meaning), []byte("%s")) {
		meaning = fmt.Sprintf(meaning, count)
	}
	size, ok := ParseInt(count)
	switch k := Kind(b[0]); {
	case string(count) == "-1" && (k == BulkString || k == Array):
		return end, "null"
	case !ok || k != BulkString && k != Verbatim && k != BulkError:
		return end, meaning
	case size < 0 || size > int64(len(b)-end-2):
		return len(b), fmt.Sprintf("%s, of which %d have come", meaning, len(b)-end)
	}
	return end + int(size) + 2, meaning
}
