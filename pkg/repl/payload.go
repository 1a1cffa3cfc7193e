package repl

import (
	"bytes"
	"errors"
	"io"
)

// markLen is the length of the mark that ends a snapshot of unknown length.
const markLen = 40

// eofReader reads what lies before a mark. It keeps back what could be the beginning of the mark, and
// what it has read behind the mark, see rest.
type eofReader struct {
	src  io.Reader
	mark []byte
	buf  []byte // buf[pos:] was read and not yet handed out
	pos  int
	safe int  // buf[pos:safe] certainly belongs to the snapshot
	done bool // buf[safe:] begins with the mark
}

func newEOFReader(src io.Reader, mark []byte) *eofReader {
	return &eofReader{src: src, mark: bytes.Clone(mark), buf: make([]byte, 0, 64<<10)}
}

func (r *eofReader) Read(p []byte) (int, error) {
	for r.safe == r.pos {
		if r.done {
			return 0, io.EOF
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.buf[r.pos:r.safe])
	r.pos += n
	return n, nil
}

// fill reads once. It is called when everything safe was handed out, so fewer bytes than a mark has
// are left to be moved to the front.
func (r *eofReader) fill() error {
	r.buf = r.buf[:copy(r.buf, r.buf[r.pos:])]
	r.pos = 0
	n, err := r.src.Read(r.buf[len(r.buf):cap(r.buf)])
	r.buf = r.buf[:len(r.buf)+n]
	if i := bytes.Index(r.buf, r.mark); i >= 0 {
		r.safe, r.done = i, true
		return nil
	}
	r.safe = max(0, len(r.buf)-markLen+1)
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// rest returns what was read behind the mark, once Read has returned io.EOF. A master that keeps to
// the rules sends nothing there.
func (r *eofReader) rest() []byte { return r.buf[r.safe+markLen:] }

// exactReader reads n bytes and calls it an unexpected end if the source has fewer.
type exactReader struct {
	src  io.Reader
	left int64
}

func (r *exactReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.src.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if errors.Is(err, io.EOF) && r.left > 0 {
		err = io.ErrUnexpectedEOF
	} else if r.left == 0 {
		err = nil
	}
	return n, err
}

// recorder remembers the bytes that a parser has read, so that the bytes of a command can be had
// beside its arguments: a replica that has replicas hands them on as they are.
type recorder struct {
	src io.Reader
	raw []byte
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.src.Read(p)
	r.raw = append(r.raw, p[:n]...)
	return n, err
}

// take returns the first n bytes and forgets them. They are valid until the next Read.
func (r *recorder) take(n int64) []byte {
	b := r.raw[:n:n]
	r.raw = r.raw[n:]
	return b
}
