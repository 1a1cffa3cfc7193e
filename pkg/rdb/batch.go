package rdb

import (
	"encoding/binary"
	"math"
	"strconv"

	"byor/pkg/store"
)

// Batch is entries that have been encoded and are still to be written. It separates what must be
// done while nobody changes the values from what takes long: a server encodes some entries under
// its lock, and gives the batch to Writer.Write, which compresses, sums and writes, outside of it.
// The zero value is an empty Batch. It is not safe for concurrent use.
type Batch struct {
	buf []byte
	// long are the strings in buf that may be worth compressing, in order.
	long     []span
	selected int // 1 + the database that was selected, 0 for none
}

// span is a string in a batch: its length field is buf[start:data], its bytes buf[data:end].
type span struct{ start, data, end int }

// compressMin is the length from which on Redis tries to compress a string.
const compressMin = 21

// Hint is what an eviction policy knows about a key. Redis writes it under such a policy only.
type Hint struct {
	idleSec int64
	freq    uint8
	kind    byte
}

// Idle says that a key was last used that many seconds ago.
func Idle(sec int64) Hint { return Hint{idleSec: max(sec, 0), kind: opIdle} }

// Freq is the access counter of an LFU policy.
func Freq(counter uint8) Hint { return Hint{freq: counter, kind: opFreq} }

// Len returns the number of bytes that the batch holds, before compression.
func (b *Batch) Len() int { return len(b.buf) }

// Reset empties the batch, whose memory is used again.
func (b *Batch) Reset() {
	b.buf, b.long, b.selected = b.buf[:0], b.long[:0], 0
}

// SelectDB says which database the entries that follow are in. Selecting the one that is selected
// already costs nothing.
func (b *Batch) SelectDB(db int) {
	if b.selected != db+1 {
		b.selected = db + 1
		b.buf = appendLength(append(b.buf, opSelectDB), uint64(db))
	}
}

// Resize says about how many keys, and how many with an expiry time, the selected database has.
func (b *Batch) Resize(keys, expires int) {
	b.buf = appendLength(append(b.buf, opResizeDB), uint64(keys))
	b.buf = appendLength(b.buf, uint64(expires))
}

// Entry encodes a key and its value, which expires at expireMs (Unix milliseconds) unless that is
// NoExpiry. The key must not have been written to this database before, and a collection must not
// be empty: Redis does not load such a file.
func (b *Batch) Entry(key string, v store.Value, expireMs int64, hints ...Hint) {
	typeAt := b.header(key, expireMs, hints)
	b.buf[typeAt] = byte(b.value(v))
}

// Begin announces a key and a collection of n elements that does not come whole: exactly n calls
// of Pair (TypeHash), Member (TypeSet) or Scored (TypeZSet), each with an element that has not come
// before, must follow, in this batch and those written next. Otherwise it is as Entry.
func (b *Batch) Begin(key string, t store.Type, n int, expireMs int64, hints ...Hint) {
	typeAt := b.header(key, expireMs, hints)
	switch t {
	case store.TypeHash:
		b.buf[typeAt] = byte(typeHash)
	case store.TypeSet:
		b.buf[typeAt] = byte(typeSet)
	case store.TypeZSet:
		b.buf[typeAt] = byte(typeZSet2)
	default:
		panic("rdb: a type of value that must come whole")
	}
	b.length(n)
}

// Pair encodes a field of a hash and its value.
func (b *Batch) Pair(field, value string) {
	b.text(field)
	b.text(value)
}

// Member encodes a member of a set.
func (b *Batch) Member(m string) { b.text(m) }

// Scored encodes a member of a sorted set. A reader is quickest when the highest score comes first.
func (b *Batch) Scored(m string, score float64) {
	b.text(m)
	b.float(score)
}

// header encodes what stands before a value and returns where the type goes.
func (b *Batch) header(key string, expireMs int64, hints []Hint) (typeAt int) {
	if expireMs != NoExpiry {
		b.buf = binary.LittleEndian.AppendUint64(append(b.buf, opExpireMs), uint64(expireMs))
	}
	for _, h := range hints {
		b.buf = append(b.buf, h.kind)
		if h.kind == opFreq {
			b.buf = append(b.buf, h.freq)
		} else {
			b.buf = appendLength(b.buf, uint64(h.idleSec))
		}
	}
	typeAt = len(b.buf)
	b.buf = append(b.buf, 0)
	b.text(key)
	return typeAt
}

func (b *Batch) aux(name, value string) {
	b.buf = append(b.buf, opAux)
	b.text(name)
	b.text(value)
}

func (b *Batch) function(source string) {
	b.buf = append(b.buf, opFunction2)
	b.text(source)
}

func (b *Batch) length(n int) { b.buf = appendLength(b.buf, uint64(n)) }

// text appends a string that is given as such.
func (b *Batch) text(s string) {
	if n, ok := shortInt(s); ok {
		b.integer(n)
		return
	}
	start := len(b.buf)
	b.length(len(s))
	b.mark(start, len(s))
	b.buf = append(b.buf, s...)
}

// str appends a string.
func (b *Batch) str(s []byte) {
	if len(s) <= maxIntLen {
		if n, ok := shortInt(string(s)); ok { // does not escape: no allocation
			b.integer(n)
			return
		}
	}
	b.raw(s)
}

// raw appends a string that is no integer.
func (b *Batch) raw(s []byte) {
	start := len(b.buf)
	b.length(len(s))
	b.mark(start, len(s))
	b.buf = append(b.buf, s...)
}

// mark notes that a string of n bytes follows whose length field began at start.
func (b *Batch) mark(start, n int) {
	if n >= compressMin {
		b.long = append(b.long, span{start, len(b.buf), len(b.buf) + n})
	}
}

// integer appends a string of decimal digits as the number it is.
func (b *Batch) integer(n int64) {
	switch {
	case n == int64(int8(n)):
		b.buf = append(b.buf, encInt8, byte(n))
	case n == int64(int16(n)):
		b.buf = binary.LittleEndian.AppendUint16(append(b.buf, encInt16), uint16(n))
	case n == int64(int32(n)):
		b.buf = binary.LittleEndian.AppendUint32(append(b.buf, encInt32), uint32(n))
	default:
		var digits [20]byte
		b.raw(strconv.AppendInt(digits[:0], n, 10))
	}
}

func (b *Batch) float(f float64) {
	b.buf = binary.LittleEndian.AppendUint64(b.buf, math.Float64bits(f))
}

// maxIntLen is the length of the longest decimal of 32 bits.
const maxIntLen = 11

// shortInt parses a decimal that has 32 bits and prints back as the same bytes.
func shortInt(s string) (int64, bool) {
	if len(s) == 0 || len(s) > maxIntLen || s[0] > '9' {
		return 0, false
	}
	digits := s
	if s[0] == '-' {
		digits = s[1:]
	}
	if digits == "" || digits[0] == '0' && len(s) > 1 {
		return 0, false
	}
	n := int64(0)
	for i := range len(digits) {
		c := digits[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = 10*n + int64(c)
	}
	if s[0] == '-' {
		n = -n
	}
	return n, n == int64(int32(n))
}

// appendLength appends a length in the shortest form.
func appendLength(dst []byte, n uint64) []byte {
	switch {
	case n < 1<<6:
		return append(dst, byte(n))
	case n < 1<<14:
		return append(dst, 0x40|byte(n>>8), byte(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, 0x80), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0x81), n)
}
