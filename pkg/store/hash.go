package store

import (
	"math/bits"
	"unsafe"
)

// Hash is a hash value: a listpack of fields and values in turn while it is small, else a Dict.
//
// Up to some hundred fields a search through one block of memory is as fast as hashing, and takes a
// fraction of the memory; that is the usual hash, an object with a few attributes.
//
// Slices given in are copied; slices handed out must not be written to and are valid until the
// hash changes.
type Hash struct {
	lp Listpack
	d  *fields // nil while the listpack is used
}

// fields are the pairs of a large hash.
type fields struct {
	Dict[hashField]
	mem int64 // what the pairs take
}

// hashField is a field with its value: this head, then the field, then the value.
type hashField struct {
	node
	valLen uint32
}

const fieldHead = int(unsafe.Sizeof(hashField{}))

func newField(field string, value []byte) *hashField {
	f := newBytes[hashField](fieldHead + len(field) + len(value))
	f.keyAt, f.keyLen = uint16(fieldHead), uint32(len(field))
	copy(behind(f, fieldHead, len(field)), field)
	f.setValue(value)
	return f
}

// setValue sets the value, which must fit into the piece.
func (f *hashField) setValue(value []byte) {
	f.valLen = uint32(len(value))
	copy(f.value(), value)
}

func (f *hashField) value() []byte {
	return behind(f, fieldHead+int(f.keyLen), int(f.valLen))
}

// piece is the size of the piece of memory.
func (f *hashField) piece() int { return pieceSize(fieldHead + int(f.keyLen) + int(f.valLen)) }

func (f *hashField) memBytes() int64 { return slotBytes + int64(f.piece()) }

// put sets a field, which is new when there is no f.
func (d *fields) put(field string, h uint64, f *hashField, value []byte) {
	if f == nil {
		f = newField(field, value)
		d.insert(f, h)
		d.mem += f.memBytes()
		return
	}
	d.changing(f)
	if f.piece() == pieceSize(fieldHead+int(f.keyLen)+len(value)) {
		f.setValue(value)
		return
	}
	d.mem -= f.memBytes()
	old := f
	f = newField(keyOf(f), value)
	d.replace(old, f)
	d.mem += f.memBytes()
}

// NewHash returns an empty hash.
func NewHash() *Hash { return &Hash{lp: NewListpack()} }

// NewHashFromListpack returns a hash of the pairs in lp, which it takes over. The error is
// ErrCorrupt when they are no pairs, or a field comes twice.
func NewHashFromListpack(lp Listpack) (*Hash, error) {
	if !lp.distinctPairs() {
		return nil, ErrCorrupt
	}
	h := &Hash{lp: lp}
	if int64(h.Len()) > Encodings.HashMaxListpackEntries.Load() {
		h.convert(h.Len())
	}
	return h, nil
}

// distinctPairs reports whether lp is a sequence of pairs whose first entries are all different.
func (lp *Listpack) distinctPairs() bool {
	n := lp.len()
	switch {
	case n%2 != 0:
		return false
	case n > 2*fewPairs:
		return lp.distinctHashes(n)
	}
	var small [fewPairs]Elem // every small hash of a snapshot is asked this: no table for three fields
	seen, b := small[:0], lp.block()
	for p := lpHeader; b[p] != lpEOF; p = lpNext(b, lpNext(b, p)) {
		e := lpAt(b, p)
		for i := range seen {
			if seen[i].equal(e) {
				return false
			}
		}
		seen = append(seen, e)
	}
	return true
}

// fewPairs is the number of pairs up to which comparing each with each is the quickest.
const fewPairs = 8

// distinctHashes is distinctPairs for n entries that are too many to compare each with each. The
// table is on the stack for what is usual.
func (lp *Listpack) distinctHashes(n int) bool {
	var small [512]uint32 // positions of first entries, at the hash of their bytes or soon after; 0 is none
	seen := small[:]
	if n > len(small) {
		seen = make([]uint32, 1<<bits.Len(uint(n)))
	}
	b, mask := lp.block(), uint32(len(seen)-1)
	for p := lp.First(); p >= 0; p = lp.Next(lp.Next(p)) {
		e := lpAt(b, p)
		at := hashElem(e) & mask
		for ; seen[at] != 0; at = (at + 1) & mask {
			if lpAt(b, int(seen[at])).equal(e) {
				return false
			}
		}
		seen[at] = uint32(p)
	}
	return true
}

func hashElem(e Elem) uint32 {
	if e.b == nil {
		return uint32(uint64(e.n) * 0x9e3779b97f4a7c15 >> 32)
	}
	return uint32(hashBytes(e.b))
}

func (*Hash) sealed() {}

// Type returns TypeHash.
func (*Hash) Type() Type { return TypeHash }

// Encoding returns listpack or hashtable.
func (h *Hash) Encoding() string {
	if h.d == nil {
		return "listpack"
	}
	return "hashtable"
}

// Listpack returns the pairs as they are stored, or false in the other encoding.
func (h *Hash) Listpack() (*Listpack, bool) { return &h.lp, h.d == nil }

const dictBytes = 96

// MemBytes estimates the memory of the hash.
func (h *Hash) MemBytes() int64 {
	if h.d == nil {
		return 24 + h.lp.memBytes()
	}
	return 24 + dictBytes + h.d.mem
}

// Len returns the number of fields.
func (h *Hash) Len() int {
	if h.d == nil {
		return h.lp.len() / 2
	}
	return h.d.len()
}

// Clone returns a copy that shares nothing that can change.
func (h *Hash) Clone() Value {
	if h.d == nil {
		return &Hash{lp: h.lp.clone()}
	}
	c := &Hash{d: new(fields)}
	c.d.reserve(h.d.len())
	h.d.Each(func(f *hashField) bool {
		c.d.put(keyOf(f), hashOf(f), nil, f.value())
		return true
	})
	return c
}

// Expect prepares for pairs, fields and values in turn, so that a command that adds many changes the
// encoding before it begins, and a new hash gets its memory at once.
func (h *Hash) Expect(pairs [][]byte) {
	if h.d != nil {
		return
	}
	longest := 0
	for _, b := range pairs {
		longest = max(longest, len(b))
	}
	switch {
	case int64(longest) > Encodings.HashMaxListpackValue.Load():
		h.convert(h.Len() + 1)
	case h.Len() == 0:
		size := 0
		for _, b := range pairs[:min(len(pairs), expectMost)] {
			size += newElem(b).entrySize()
		}
		h.lp.expect(size)
	}
}

// Unpack goes over to a Dict with room for n fields, whatever they are.
func (h *Hash) Unpack(n int) {
	if h.d == nil {
		h.convert(n)
	}
}

// expectMost is how many entries are measured for the memory of a new listpack. It is soon too small for more.
const expectMost = 64

// Get returns the value of field.
func (h *Hash) Get(field []byte) ([]byte, bool) {
	if h.d != nil {
		if n := h.d.get(field); n != nil {
			return n.value(), true
		}
		return nil, false
	}
	p := h.lp.find(h.lp.First(), field, 1)
	if p < 0 {
		return nil, false
	}
	return h.lp.At(h.lp.Next(p)).Bytes(), true
}

// Set sets field to value and reports whether the field is new.
func (h *Hash) Set(field, value []byte) (isNew bool) {
	if h.d == nil {
		max := Encodings.HashMaxListpackValue.Load()
		if int64(len(field)) > max || int64(len(value)) > max ||
			h.lp.size()+len(field)+len(value) > lpSafetyLimit {
			h.convert(h.Len() + 1)
		}
	}
	if h.d != nil {
		sum := hashBytes(field)
		f := h.d.find(asString(field), sum)
		h.d.put(asString(field), sum, f, value)
		return f == nil
	}
	if p := h.lp.find(h.lp.First(), field, 1); p >= 0 {
		h.lp.replace(h.lp.Next(p), value)
		return false
	}
	h.lp.Append(field)
	h.lp.Append(value)
	if int64(h.Len()) > Encodings.HashMaxListpackEntries.Load() {
		h.convert(h.Len())
	}
	return true
}

// Delete removes field and reports whether it was there.
func (h *Hash) Delete(field []byte) bool {
	if h.d != nil {
		n := h.d.delete(field)
		if n == nil {
			return false
		}
		h.d.mem -= n.memBytes()
		return true
	}
	p := h.lp.find(h.lp.First(), field, 1)
	if p < 0 {
		return false
	}
	h.lp.delete(p, 2)
	return true
}

// convert goes over to a Dict with room for n fields.
func (h *Hash) convert(n int) {
	d := new(fields)
	d.reserve(n)
	h.Each(func(f, v []byte) bool {
		d.put(asString(f), hashBytes(f), nil, v)
		return true
	})
	h.d, h.lp = d, Listpack{}
}

// Each calls fn for every field and its value until it returns false.
func (h *Hash) Each(fn func(f, v []byte) bool) {
	if h.d != nil {
		h.d.Each(func(f *hashField) bool { return fn(view(keyOf(f)), f.value()) })
		return
	}
	h.lp.eachPair(func(f, v Elem) bool { return fn(f.Bytes(), v.Bytes()) })
}

func (lp *Listpack) eachPair(fn func(a, b Elem) bool) {
	for p := lp.First(); p >= 0; p = lp.Next(p) {
		a := lp.At(p)
		p = lp.Next(p)
		if !fn(a, lp.At(p)) {
			return
		}
	}
}

// Scan is one step of a walk with HSCAN's cursor: it calls fn for about count fields and returns
// the cursor to go on with, 0 at the end. A listpack is handed out whole. See Dict.scan.
func (h *Hash) Scan(cursor uint64, count int, fn func(f, v []byte)) uint64 {
	if h.d == nil {
		h.Each(func(f, v []byte) bool { fn(f, v); return true })
		return 0
	}
	return h.d.scanSome(cursor, count, func(f *hashField) { fn(view(keyOf(f)), f.value()) })
}

// Random returns a field drawn at random and its value, or false when there is none.
func (h *Hash) Random() (f, v []byte, ok bool) {
	h.Sample(1, func(a, b []byte) bool {
		f, v, ok = a, b, true
		return true
	})
	return f, v, ok
}

// Sample calls fn for n different fields drawn at random, or for all when there are fewer, until
// it returns false.
func (h *Hash) Sample(n int, fn func(f, v []byte) bool) {
	if h.d != nil {
		h.d.sample(n, func(f *hashField) bool { return fn(view(keyOf(f)), f.value()) })
		return
	}
	h.lp.samplePairs(n, func(f, v Elem) bool { return fn(f.Bytes(), v.Bytes()) })
}
