package rdb

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"byor/pkg/lzf"
)

// input is what is being read: a window on a source, or a payload that is in memory as a whole.
//
// Its methods return no errors: a value is read by dozens of calls, and nothing sensible can be
// done after any of them fails. They panic with a bail, which the package's entry points catch
// (see catch).
type input struct {
	src      io.Reader     // nil when buf holds everything
	br       *bufio.Reader // src if it is one: then buf is what it has buffered
	buf      []byte
	pos, end int   // what was filled and not read yet is buf[pos:end]
	base     int64 // offset of buf[0] in the file
	crc      uint64
	summed   int // crc is that of everything before buf[summed]
	noSum    bool
	srcErr   error  // what src said last; io.EOF becomes io.ErrUnexpectedEOF when bytes are missing
	key      []byte // of the entry being read, for errors
	held     []byte // see hold
	long     []byte // a string that did not fit the window
	unpacked []byte // a string that was compressed
	small    [24]byte
}

const (
	windowBytes = 64 << 10
	// keepBytes is the size up to which a scratch buffer is kept for the next string.
	keepBytes = 1 << 20
)

func newInput(src io.Reader) *input {
	if br, ok := src.(*bufio.Reader); ok && br.Size() >= minBufio {
		return &input{src: src, br: br}
	}
	return &input{src: src, buf: make([]byte, windowBytes)}
}

// minBufio is what fill may be asked for.
const minBufio = 256

// window returns how many bytes fill can make readable.
func (in *input) window() int {
	if in.br != nil {
		return in.br.Size()
	}
	return len(in.buf)
}

// bail is what input panics with.
type bail struct{ err *FormatError }

// catch turns a bail into an error. Every other panic is a bug and goes on.
func catch(err *error) {
	switch p := recover().(type) {
	case nil:
	case bail:
		*err = p.err
	default:
		panic(p)
	}
}

func (in *input) offset() int64 { return in.base + int64(in.pos) }

// fail ends the reading. The offset it names is where the next byte would have been read.
func (in *input) fail(err error, format string, args ...any) {
	in.failAt(in.offset(), err, format, args...)
}

func (in *input) failAt(offset int64, err error, format string, args ...any) {
	panic(bail{&FormatError{Offset: offset, Key: string(in.key), Msg: fmt.Sprintf(format, args...), Err: err}})
}

// corrupt is fail for what breaks a rule.
func (in *input) corrupt(format string, args ...any) { in.fail(ErrCorrupt, format, args...) }

// short fails because the source has no more bytes, or cannot deliver them.
func (in *input) short(want string) {
	if in.srcErr == nil || errors.Is(in.srcErr, io.EOF) {
		in.failAt(in.base+int64(in.end), io.ErrUnexpectedEOF, "expected %s, but the data ends here", want)
	}
	in.failAt(in.base+int64(in.end), in.srcErr, "expected %s: %v", want, in.srcErr)
}

// fill makes n bytes readable, which must fit the window, or reports false.
func (in *input) fill(n int) bool {
	if in.end-in.pos >= n {
		return true
	}
	if in.src == nil {
		return false
	}
	in.sum()
	if in.br != nil {
		return in.peek(n)
	}
	copy(in.buf, in.buf[in.pos:in.end])
	in.base += int64(in.pos)
	in.end -= in.pos
	in.pos, in.summed = 0, 0
	for empty := 0; in.end < n; {
		if in.srcErr != nil {
			return false
		}
		m, err := in.src.Read(in.buf[in.end:])
		in.end += m
		in.srcErr = err
		if m > 0 {
			empty = 0
		} else if empty++; empty > 100 && err == nil {
			in.srcErr = io.ErrNoProgress
		}
	}
	return true
}

// peek is fill for a source that has a buffer of its own.
func (in *input) peek(n int) bool {
	in.release()
	_, in.srcErr = in.br.Peek(n)
	in.buf, _ = in.br.Peek(in.br.Buffered())
	in.end = len(in.buf)
	return in.end >= n
}

// release takes what was read out of the source's own buffer.
func (in *input) release() {
	in.sum()
	_, _ = in.br.Discard(in.pos) // it has been peeked at: it is there
	in.base += int64(in.pos)
	in.buf, in.pos, in.end, in.summed = nil, 0, 0, 0
}

// sum brings the checksum up to what has been read.
func (in *input) sum() {
	if !in.noSum {
		in.crc = crc64(in.crc, in.buf[in.summed:in.pos])
	}
	in.summed = in.pos
}

// checksum returns the checksum of everything read so far.
func (in *input) checksum() uint64 {
	in.sum()
	return in.crc
}

// rest returns what follows the bytes that were read.
func (in *input) rest() io.Reader {
	if in.br != nil {
		return in.br
	}
	head := &sliceReader{in.buf[in.pos:in.end]}
	if in.src == nil {
		return head
	}
	return io.MultiReader(head, in.src)
}

type sliceReader struct{ b []byte }

func (r *sliceReader) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.b)
	r.b = r.b[n:]
	return n, nil
}

// byte reads one byte.
func (in *input) byte(want string) byte {
	if in.pos == in.end && !in.fill(1) {
		in.short(want)
	}
	b := in.buf[in.pos]
	in.pos++
	return b
}

// fixed reads n bytes, which must fit the window. They are valid until the next read.
func (in *input) fixed(n int, want string) []byte {
	if !in.fill(n) {
		in.short(want)
	}
	b := in.buf[in.pos : in.pos+n]
	in.pos += n
	return b
}

// bytes reads n bytes. They are valid until the next read.
func (in *input) bytes(n uint64, want string) []byte {
	if n <= uint64(in.end-in.pos) || in.src != nil && n <= uint64(in.window()) {
		if !in.fill(int(n)) {
			in.short(fmt.Sprintf("%d bytes of %s", n, want))
		}
		return in.fixed(int(n), want)
	}
	if cap(in.long) > keepBytes {
		in.long = nil
	}
	in.long = in.appendBytes(in.long[:0], n, want)
	return in.long
}

// owned reads n bytes into memory of their own.
func (in *input) owned(n uint64, want string) []byte {
	if n <= uint64(in.end-in.pos) {
		b := make([]byte, n)
		copy(b, in.fixed(int(n), want))
		return b
	}
	return in.appendBytes(nil, n, want)
}

// appendBytes appends n bytes to dst. Memory for them is taken as they arrive: a length is only a
// claim until the bytes are there.
func (in *input) appendBytes(dst []byte, n uint64, want string) []byte {
	if in.src == nil {
		in.pos = in.end
		in.short(fmt.Sprintf("%d bytes of %s", n, want))
	}
	if n <= keepBytes {
		dst = slices.Grow(dst, int(n))
	}
	for got := uint64(0); got < n; {
		if in.pos == in.end && !in.fill(1) {
			in.short(fmt.Sprintf("%d more bytes of %s", n-got, want))
		}
		m := int(min(n-got, uint64(in.end-in.pos)))
		dst = append(dst, in.buf[in.pos:in.pos+m]...)
		in.pos += m
		got += uint64(m)
	}
	return dst
}

// length reads a length.
func (in *input) length(want string) uint64 {
	at := in.offset()
	n, enc := in.lengthOrEncoding(want)
	if enc != 0 {
		in.failAt(at, ErrCorrupt, "expected %s, found the string encoding 0x%02x", want, enc)
	}
	return n
}

// lengthOrEncoding reads a length, or returns the byte that says in which special way a string is
// encoded. That byte is never 0.
func (in *input) lengthOrEncoding(want string) (n uint64, enc byte) {
	b := in.byte(want)
	switch b >> 6 {
	case 0:
		return uint64(b), 0
	case 1:
		return uint64(b&0x3f)<<8 | uint64(in.byte(want)), 0
	case 3:
		return 0, b
	}
	switch b {
	case 0x80:
		return uint64(binary.BigEndian.Uint32(in.fixed(4, want))), 0
	case 0x81:
		return binary.BigEndian.Uint64(in.fixed(8, want)), 0
	}
	in.failAt(in.offset()-1, ErrCorrupt, "expected %s, found the byte 0x%02x, which begins no length", want, b)
	return 0, 0
}

// str reads a string. It is valid until the next read.
func (in *input) str(want string) []byte {
	n, enc := in.lengthOrEncoding(want)
	switch enc {
	case 0:
		return in.bytes(n, want)
	case encLZF:
		if cap(in.unpacked) > keepBytes {
			in.unpacked = nil
		}
		in.unpacked = in.unpack(in.unpacked[:0], want)
		return in.unpacked
	}
	return in.intString(enc, want)
}

// blob is str with memory of its own.
func (in *input) blob(want string) []byte {
	n, enc := in.lengthOrEncoding(want)
	switch enc {
	case 0:
		return in.owned(n, want)
	case encLZF:
		return in.unpack(nil, want)
	}
	return slices.Clone(in.intString(enc, want))
}

func (in *input) intString(enc byte, want string) []byte {
	var v int64
	switch enc {
	case encInt8:
		v = int64(int8(in.byte(want)))
	case encInt16:
		v = int64(int16(binary.LittleEndian.Uint16(in.fixed(2, want))))
	case encInt32:
		v = int64(int32(binary.LittleEndian.Uint32(in.fixed(4, want))))
	default:
		in.failAt(in.offset()-1, ErrCorrupt, "expected %s, found the unknown string encoding 0x%02x", want, enc)
	}
	return strconv.AppendInt(in.small[:0], v, 10)
}

// unpack reads a compressed string and appends what it stands for to dst.
func (in *input) unpack(dst []byte, want string) []byte {
	packed := in.length("a compressed length")
	size := in.length("an uncompressed length")
	at := in.offset()
	b := in.bytes(packed, want)
	if size > lzf.MaxRatio*packed {
		in.failAt(at, ErrCorrupt, "%d compressed bytes of %s cannot become %d", packed, want, size)
	}
	dst, err := lzf.Decompress(slices.Grow(dst, int(size)), b, int(size))
	if err != nil {
		in.failAt(at, ErrCorrupt, "%s: %v", want, err)
	}
	return dst
}

func (in *input) int64LE(want string) int64 {
	return int64(binary.LittleEndian.Uint64(in.fixed(8, want)))
}

// float reads a double.
func (in *input) float(want string) float64 {
	return math.Float64frombits(binary.LittleEndian.Uint64(in.fixed(8, want)))
}

// decimal reads a score of the first sorted sets: a length and that many digits.
func (in *input) decimal(want string) float64 {
	switch n := in.byte(want); n {
	case 253:
		return math.NaN()
	case 254:
		return math.Inf(1)
	case 255:
		return math.Inf(-1)
	default:
		b := in.fixed(int(n), want)
		f, err := strconv.ParseFloat(string(b), 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			in.corrupt("expected %s, found %.40q", want, b)
		}
		return f
	}
}
