package resp

import (
	"io"
	"math"
	"slices"
	"strconv"
)

// Writer builds RESP in a buffer that is reused. A reply is appended by one of the typed methods
// and leaves only with Flush, so that a batch of pipelined replies costs one system call, or with
// Take, for who sends it by other means.
//
// Proto decides how the types that RESP2 lacks are written: with 2 (and with the zero value) a
// map is a flat array, a double a bulk string, a null "$-1", as Redis does. It is not safe for
// concurrent use.
type Writer struct {
	Proto int    // 2 or 3
	Buf   []byte // what is not flushed yet; may be looked at, cut or appended to

	dst io.Writer
}

// NewWriter returns a writer whose Flush goes to w; w may be nil for a pure buffer.
func NewWriter(w io.Writer) *Writer { return &Writer{Proto: 2, dst: w} }

// Flush writes the buffer and empties it. A large buffer is given back.
func (w *Writer) Flush() error {
	if len(w.Buf) == 0 {
		return nil
	}
	_, err := w.dst.Write(w.Buf)
	if cap(w.Buf) > keepBuf {
		w.Buf = nil
	} else {
		w.Buf = w.Buf[:0]
	}
	return err
}

// Expect makes room for n more bytes, where the size of a big reply can be told before it is built:
// growing to a hundred megabytes step by step copies several hundred.
func (w *Writer) Expect(n int) { w.Buf = slices.Grow(w.Buf, n) }

// bulkFrame is the most that a bulk string takes besides its bytes.
const bulkFrame = len("$\r\n\r\n") + 20

// room is Expect for a large string: it takes a block.
func (w *Writer) room(n int) {
	if cap(w.Buf)-len(w.Buf) < n {
		grown := block(max(len(w.Buf)+n, cap(w.Buf)+cap(w.Buf)/4)) // as append does, that many may follow
		w.Buf = grown[:copy(grown, w.Buf)]
	}
}

// Len returns the bytes that wait for Flush.
func (w *Writer) Len() int { return len(w.Buf) }

func (w *Writer) header(kind byte, n int64) {
	b := append(w.Buf, kind)
	switch {
	case 0 <= n && n < 10:
		b = append(b, byte('0'+n))
	case 0 <= n && n < 100: // most keys and values are no longer
		b = append(b, byte('0'+n/10), byte('0'+n%10))
	default:
		b = strconv.AppendInt(b, n, 10)
	}
	w.Buf = append(b, '\r', '\n')
}

// SimpleString writes "+s". s must not hold a line break.
func (w *Writer) SimpleString(s string) {
	w.Buf = append(append(append(w.Buf, '+'), s...), '\r', '\n')
}

// OK writes "+OK".
func (w *Writer) OK() { w.Buf = append(w.Buf, "+OK\r\n"...) }

// Error writes "-msg". msg opens with its code ("ERR", "WRONGTYPE"); line breaks in it become
// spaces, since it may quote what a client sent.
func (w *Writer) Error(msg string) {
	w.Buf = append(w.Buf, '-')
	for i := 0; i < len(msg); i++ {
		c := msg[i]
		if c == '\r' || c == '\n' {
			c = ' '
		}
		w.Buf = append(w.Buf, c)
	}
	w.Buf = append(w.Buf, '\r', '\n')
}

// Int writes ":n".
func (w *Writer) Int(n int64) { w.header(':', n) }

// Bulk writes a bulk string. nil is the empty string; for null see Null.
func (w *Writer) Bulk(b []byte) {
	if len(b) < 100 && cap(w.Buf)-len(w.Buf) >= 100+7 {
		w.shortBulk(b)
		return
	}
	if len(b) >= LargeBulk {
		w.room(len(b) + bulkFrame)
	}
	w.header('$', int64(len(b)))
	w.Buf = append(append(w.Buf, b...), '\r', '\n')
}

// shortBulk is Bulk for less than 100 bytes that have room: one look at the room is enough, instead of one for each of
// its parts. LRANGE writes hundreds of these.
func (w *Writer) shortBulk(b []byte) {
	out := w.Buf[:len(w.Buf)+len(b)+7]
	at := len(w.Buf)
	out[at] = '$'
	if len(b) >= 10 {
		at++
		out[at] = byte('0' + len(b)/10)
	}
	out[at+1], out[at+2], out[at+3] = byte('0'+len(b)%10), '\r', '\n'
	at += 4 + copy(out[at+4:], b)
	out[at], out[at+1] = '\r', '\n'
	w.Buf = out[:at+2]
}

// BulkString is Bulk for a string.
func (w *Writer) BulkString(s string) {
	w.header('$', int64(len(s)))
	w.Buf = append(append(w.Buf, s...), '\r', '\n')
}

// BulkInt writes n as a bulk string.
func (w *Writer) BulkInt(n int64) {
	var a [20]byte
	w.Bulk(strconv.AppendInt(a[:0], n, 10))
}

// Null writes the absent value: "$-1" in RESP2, "_" in RESP3.
func (w *Writer) Null() {
	if w.Proto == 3 {
		w.Buf = append(w.Buf, "_\r\n"...)
	} else {
		w.Buf = append(w.Buf, "$-1\r\n"...)
	}
}

// NullArray writes the absent array: "*-1" in RESP2, "_" in RESP3.
func (w *Writer) NullArray() {
	if w.Proto == 3 {
		w.Buf = append(w.Buf, "_\r\n"...)
	} else {
		w.Buf = append(w.Buf, "*-1\r\n"...)
	}
}

// Array opens an array: n values must follow.
func (w *Writer) Array(n int) { w.header('*', int64(n)) }

// Map opens a map: n pairs (2n values) must follow.
func (w *Writer) Map(n int) {
	if w.Proto == 3 {
		w.header('%', int64(n))
	} else {
		w.header('*', int64(2*n))
	}
}

// Set opens a set: n values must follow.
func (w *Writer) Set(n int) {
	if w.Proto == 3 {
		w.header('~', int64(n))
	} else {
		w.header('*', int64(n))
	}
}

// Push opens an out-of-band message: n values must follow.
func (w *Writer) Push(n int) {
	if w.Proto == 3 {
		w.header('>', int64(n))
	} else {
		w.header('*', int64(n))
	}
}

// Attribute opens an attribute of n pairs, to be followed by the value it belongs to. RESP2 has
// none; the caller must write none to such a client.
func (w *Writer) Attribute(n int) { w.header('|', int64(n)) }

// Bool writes a boolean, in RESP2 as 1 or 0.
func (w *Writer) Bool(v bool) {
	switch {
	case w.Proto == 3 && v:
		w.Buf = append(w.Buf, "#t\r\n"...)
	case w.Proto == 3:
		w.Buf = append(w.Buf, "#f\r\n"...)
	case v:
		w.Int(1)
	default:
		w.Int(0)
	}
}

// Double writes a floating-point number with 17 digits, in RESP2 as a bulk string.
func (w *Writer) Double(f float64) {
	var a [32]byte
	s := AppendDouble(a[:0], f)
	if w.Proto != 3 {
		w.Bulk(s)
		return
	}
	w.Buf = append(append(append(w.Buf, ','), s...), '\r', '\n')
}

// AppendDouble appends f as Redis 7.0 prints doubles: 17 significant digits without trailing
// zeros, "inf", "-inf" or "nan".
func AppendDouble(dst []byte, f float64) []byte {
	switch {
	case math.IsInf(f, 1):
		return append(dst, "inf"...)
	case math.IsInf(f, -1):
		return append(dst, "-inf"...)
	case math.IsNaN(f):
		return append(dst, "nan"...)
	case f == math.Trunc(f) && math.Abs(f) < 1e15 && (f != 0 || !math.Signbit(f)):
		return strconv.AppendInt(dst, int64(f), 10)
	}
	return strconv.AppendFloat(dst, f, 'g', 17, 64)
}

// BigNumber writes an integer of any size given in decimal, in RESP2 as a bulk string.
func (w *Writer) BigNumber(decimal string) {
	if w.Proto != 3 {
		w.BulkString(decimal)
		return
	}
	w.Buf = append(append(append(w.Buf, '('), decimal...), '\r', '\n')
}

// Verbatim writes text with a format of three letters ("txt", "mkd"), in RESP2 as a bulk string.
func (w *Writer) Verbatim(format, text string) {
	if w.Proto != 3 {
		w.BulkString(text)
		return
	}
	w.header('=', int64(len(text)+4))
	w.Buf = append(append(w.Buf, format...), ':')
	w.Buf = append(append(w.Buf, text...), '\r', '\n')
}

// Raw appends bytes that are RESP already.
func (w *Writer) Raw(b []byte) { w.Buf = append(w.Buf, b...) }

// AppendCommand appends the command as an array of bulk strings, the form in which it travels to
// servers, replicas and the append-only file.
func AppendCommand(dst []byte, args ...[]byte) []byte {
	w := Writer{Buf: dst}
	w.Array(len(args))
	for _, a := range args {
		w.Bulk(a)
	}
	return w.Buf
}

// AppendCommandStrings is AppendCommand for strings.
func AppendCommandStrings(dst []byte, args ...string) []byte {
	w := Writer{Buf: dst}
	w.Array(len(args))
	for _, a := range args {
		w.BulkString(a)
	}
	return w.Buf
}
