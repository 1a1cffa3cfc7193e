package rdb

import (
	"encoding/binary"
	"fmt"
	"io"

	"byor/pkg/lzf"
	"byor/pkg/store"
)

// Writer writes a snapshot. Its memory does not grow with the file: it holds what is to be
// written next, at most about 64 KB and one entry.
//
// A file is written in this order: Aux and Function as often as there is something to say, then for
// each database SelectDB and its entries, then Close. It is not safe for concurrent use. After an
// error every call returns that error.
type Writer struct {
	// NoCompression leaves strings as they are (rdbcompression no).
	NoCompression bool
	// NoChecksum writes zeros for the checksum (rdbchecksum no); readers take that for "none".
	NoChecksum bool

	w      io.Writer
	out    []byte
	crc    uint64
	err    error
	batch  Batch
	db     int // of the entries to come
	packer packer
}

// flushBytes is how much is gathered before it is written.
const flushBytes = 64 << 10

// NewWriter returns a Writer that has the header of a snapshot to write.
func NewWriter(w io.Writer) *Writer {
	wr := &Writer{w: w, out: make([]byte, 0, flushBytes+flushBytes/4)}
	wr.out = fmt.Appendf(wr.out, "%s%04d", magic, Version)
	return wr
}

// Aux says something about the file, under a name that readers ignore if they do not know it.
func (w *Writer) Aux(name, value string) error {
	w.batch.aux(name, value)
	return w.step()
}

// Function stores the source of a library of functions.
func (w *Writer) Function(source string) error {
	w.batch.function(source)
	return w.step()
}

// SelectDB says which database the entries that follow are in, and about how many keys, and keys
// with an expiry time, it has: readers make room for them.
func (w *Writer) SelectDB(db, keys, expires int) error {
	w.db = db
	w.batch.SelectDB(db)
	w.batch.Resize(keys, expires)
	return w.step()
}

// Entry writes a key and its value, see Batch.Entry.
func (w *Writer) Entry(key string, v store.Value, expireMs int64, hints ...Hint) error {
	w.batch.SelectDB(w.db)
	w.batch.Entry(key, v, expireMs, hints...)
	return w.step()
}

// step writes out the writer's own batch, but not before that is worth it.
func (w *Writer) step() error {
	if w.batch.Len() < flushBytes {
		return w.err
	}
	return w.flushBatch()
}

func (w *Writer) flushBatch() error {
	selected := w.batch.selected
	err := w.write(&w.batch)
	w.batch.Reset()
	w.batch.selected = selected
	return err
}

// Write writes the batch, which can be reset and used again then. It says itself which databases
// its entries are in; those given to Entry stay in the one that SelectDB named.
func (w *Writer) Write(b *Batch) error {
	if err := w.flushBatch(); err != nil {
		return err
	}
	w.batch.selected = 0 // the batch may have selected another
	return w.write(b)
}

func (w *Writer) write(b *Batch) error {
	if w.NoCompression {
		w.put(b.buf)
	} else {
		b.pack(&w.packer, w.put)
	}
	return w.err
}

func (w *Writer) put(p []byte) {
	if len(p) > flushBytes { // not worth copying
		w.flush()
		w.emit(p)
		return
	}
	w.out = append(w.out, p...)
	if len(w.out) >= flushBytes {
		w.flush()
	}
}

func (w *Writer) flush() {
	w.emit(w.out)
	w.out = w.out[:0]
}

func (w *Writer) emit(p []byte) {
	if w.err != nil || len(p) == 0 {
		return
	}
	if !w.NoChecksum {
		w.crc = crc64(w.crc, p)
	}
	n, err := w.w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	w.err = err
}

// Close writes the end of the file and its checksum. It does not close the underlying writer.
func (w *Writer) Close() error {
	w.batch.buf = append(w.batch.buf, opEOF)
	if err := w.flushBatch(); err != nil {
		return err
	}
	w.flush()
	sum := binary.LittleEndian.AppendUint64(nil, w.crc)
	w.NoChecksum = true // the checksum is not part of itself
	w.emit(sum)
	return w.err
}

// pack hands the bytes of the batch to put, piece by piece, with long strings compressed where
// that saves something.
func (b *Batch) pack(p *packer, put func([]byte)) {
	done := 0
	for _, s := range b.long {
		if packed := p.pack(b.buf[s.data:s.end]); packed != nil {
			put(b.buf[done:s.start])
			put(packed)
			done = s.end
		}
	}
	put(b.buf[done:])
}

// packer compresses strings for a file. Its memory is allocated when it is first used.
type packer struct {
	lzf *lzf.Compressor
	out []byte
}

// pack returns s compressed, with the fields that precede it, or nil when that does not save four
// bytes. It is valid until the next call.
func (p *packer) pack(s []byte) []byte {
	if p.lzf == nil {
		p.lzf = new(lzf.Compressor)
	}
	if cap(p.out) > keepBytes && len(s) < keepBytes {
		p.out = nil
	}
	// The fields go in front of what they describe, whose length must be known first.
	const room = 1 + 9 + 9
	out, ok := p.lzf.Compress(append(p.out[:0], make([]byte, room)...), s, len(s)-4)
	p.out = out
	if !ok {
		return nil
	}
	var head [room]byte
	h := appendLength(append(head[:0], encLZF), uint64(len(out)-room))
	h = appendLength(h, uint64(len(s)))
	start := room - len(h)
	copy(out[start:], h)
	return out[start:]
}
