package store

import (
	"encoding/binary"
	"errors"
	"unsafe"
)

// Listpack is a sequence of strings and integers in one block of memory, byte for byte what
// Redis's listpack.c builds, so that a snapshot stores and loads it as it is.
//
// The block is a header (total bytes and number of entries, little endian), the entries, and
// 0xFF. An entry is its encoding and data, followed by their length written so that it can be read
// backwards; that is what makes walking from the tail possible. A small collection in one block
// beats any structure of pointers: there is one allocation, and the processor reads it in a line.
//
// Redis moves everything behind the place of a change. Here the block may have spare room before
// as well as behind it, and the shorter side is moved: a push or a pop at the head of a list is
// as cheap as at its tail.
//
// Entries are named by their position, a byte offset into the block; -1 is no entry. Changing the
// block invalidates positions behind the change and slices handed out. Use NewListpack or
// ParseListpack: the zero value is not a listpack.
//
// It is two words, less than a slice, since the block knows its own length: a million small
// hashes have a million of these.
type Listpack struct {
	mem *byte  // the first of cap bytes
	off uint32 // where in them the block begins
	cap uint32
}

const (
	lpHeader      = 6
	lpEOF         = 0xFF
	lpMaxFrame    = 10      // what an entry takes besides its bytes: its encoding, and its length behind them
	lpCountMax    = 65535   // written for "count the entries to know"
	lpSafetyLimit = 1 << 30 // Redis's bound for one block
)

// ErrCorrupt says that a blob in one of Redis's encodings breaks the rules of the encoding.
var ErrCorrupt = errors.New("store: malformed encoding")

// emptyBlock is the block of all listpacks that are new. Nothing is written to it: it has no room.
var emptyBlock = [lpHeader + 1]byte{0: lpHeader + 1, lpHeader: lpEOF}

// NewListpack returns an empty listpack.
func NewListpack() Listpack { return Listpack{&emptyBlock[0], 0, uint32(len(emptyBlock))} }

// expect makes room for so many bytes of entries in a listpack that is new, so that it gets its memory at once.
func (lp *Listpack) expect(entries int) {
	if lp.mem == &emptyBlock[0] {
		lp.rebase(lpHeader+1+entries, false)
	}
}

// entrySize returns what an entry takes.
func (e Elem) entrySize() int {
	n := e.dataSize()
	return n + backlenSize(n)
}

// newListpackCap has capacity bytes of memory, with the block at one end of it.
func newListpackCap(capacity int, atEnd bool) Listpack {
	mem, off := make([]byte, capacity), 0
	if atEnd {
		off = capacity - lpHeader - 1
	}
	mem[off], mem[off+lpHeader] = lpHeader+1, lpEOF
	return listpackIn(mem, off)
}

// ParseListpack checks that b is a well-formed listpack and takes ownership of it. Integers that
// somebody has stored as strings become integers, since equal entries must be equal bytes.
func ParseListpack(b []byte) (Listpack, error) {
	if len(b) < lpHeader+1 || int64(binary.LittleEndian.Uint32(b)) != int64(len(b)) {
		return Listpack{}, ErrCorrupt
	}
	p, n, canonical := lpHeader, 0, true
	for p < len(b)-1 && b[p] != lpEOF {
		size := lpCheckEntry(b[p : len(b)-1])
		if size < 0 {
			return Listpack{}, ErrCorrupt
		}
		canonical = canonical && (b[p] < 0x80 || lpAt(b, p).canonical())
		p += size
		n++
	}
	count := int(binary.LittleEndian.Uint16(b[4:]))
	if p != len(b)-1 || b[p] != lpEOF || count != lpCountMax && count != n {
		return Listpack{}, ErrCorrupt
	}
	lp := listpackIn(b, 0)
	if !canonical {
		old := lp
		lp = NewListpack()
		for p := old.First(); p >= 0; p = old.Next(p) {
			lp.Append(old.At(p).Bytes())
		}
	}
	return lp, nil
}

// listpackIn returns the listpack whose block begins at off of mem.
func listpackIn(mem []byte, off int) Listpack {
	return Listpack{unsafe.SliceData(mem), uint32(off), uint32(cap(mem))}
}

// memory returns all bytes that the listpack has.
func (lp *Listpack) memory() []byte { return unsafe.Slice(lp.mem, lp.cap) }

// block returns those of them that are the block: as many as it says at its beginning.
func (lp *Listpack) block() []byte {
	p := unsafe.Add(unsafe.Pointer(lp.mem), lp.off)
	return unsafe.Slice((*byte)(p), binary.LittleEndian.Uint32((*[4]byte)(p)[:]))
}

// Bytes returns the block, valid until the listpack changes. It must not be written to.
func (lp *Listpack) Bytes() []byte { return lp.block() }

// size returns the length of the block in bytes.
func (lp *Listpack) size() int {
	p := unsafe.Add(unsafe.Pointer(lp.mem), lp.off)
	return int(binary.LittleEndian.Uint32((*[4]byte)(p)[:]))
}

// memBytes is the memory held, spare room included.
func (lp *Listpack) memBytes() int64 { return int64(lp.cap) }

// clone returns a copy that shares nothing.
func (lp *Listpack) clone() Listpack {
	return listpackIn(append([]byte(nil), lp.block()...), 0)
}

// len returns the number of entries. Beyond 65534 the header cannot tell: they are counted.
func (lp *Listpack) len() int {
	b := lp.block()
	n := int(binary.LittleEndian.Uint16(b[4:]))
	if n != lpCountMax {
		return n
	}
	n = 0
	for p := lpHeader; b[p] != lpEOF; p = lpNext(b, p) {
		n++
	}
	return n
}

// At returns the entry at position p.
func (lp *Listpack) At(p int) Elem { return lpAt(lp.block(), p) }

// First returns the position of the first entry.
func (lp *Listpack) First() int {
	if lp.block()[lpHeader] == lpEOF {
		return -1
	}
	return lpHeader
}

// last returns the position of the last entry.
func (lp *Listpack) last() int { return lp.prev(lp.size() - 1) }

// Next returns the position of the entry after the one at p.
func (lp *Listpack) Next(p int) int {
	b := lp.block()
	if p = lpNext(b, p); b[p] == lpEOF {
		return -1
	}
	return p
}

// prev returns the position of the entry before the one at p.
func (lp *Listpack) prev(p int) int {
	if p == lpHeader {
		return -1
	}
	size, back := backlen(lp.block()[:p])
	return p - size - back
}

// index returns the position of entry i, counted from the end when it is negative.
func (lp *Listpack) index(i int) int {
	n := lp.len()
	if i < 0 {
		i += n
	}
	if i < 0 || i >= n {
		return -1
	}
	if i < n/2 {
		p, b := lpHeader, lp.block()
		for ; i > 0; i-- {
			p = lpNext(b, p)
		}
		return p
	}
	p := lp.size() - 1
	for ; i < n; i++ {
		p = lp.prev(p)
	}
	return p
}

// find returns the position of the first entry equal to v at or after position p, looking at one
// entry and then skipping skip others, or -1. p may be -1, too.
func (lp *Listpack) find(p int, v []byte, skip int) int {
	if p < 0 {
		return -1
	}
	want, b := newElem(v), lp.block()
	for b[p] != lpEOF {
		if lpAt(b, p).equal(want) {
			return p
		}
		for i := 0; i <= skip && b[p] != lpEOF; i++ {
			p = lpNext(b, p)
		}
	}
	return -1
}

// Append adds v at the end.
func (lp *Listpack) Append(v []byte) { lp.put(lp.size()-1, 0, newElem(v)) }

// appendInt adds n at the end.
func (lp *Listpack) appendInt(n int64) { lp.put(lp.size()-1, 0, Elem{n: n}) }

// prepend adds v at the beginning.
func (lp *Listpack) prepend(v []byte) { lp.put(lpHeader, 0, newElem(v)) }

// insertBefore adds v before the entry at p, which is the position of the new entry then.
func (lp *Listpack) insertBefore(p int, v []byte) { lp.put(p, 0, newElem(v)) }

// insertAfter adds v after the entry at p and returns the position of the new entry.
func (lp *Listpack) insertAfter(p int, v []byte) int {
	p = lpNext(lp.block(), p)
	lp.put(p, 0, newElem(v))
	return p
}

// replace replaces the entry at p by v.
func (lp *Listpack) replace(p int, v []byte) {
	lp.put(p, lpNext(lp.block(), p)-p, newElem(v))
}

// delete removes n entries from position p on; the one behind them is at p then. It returns how
// many it removed.
func (lp *Listpack) delete(p, n int) int {
	b := lp.block()
	end, done := p, 0
	for ; done < n && b[end] != lpEOF; done++ {
		end = lpNext(b, end)
	}
	lp.splice(p, end-p, 0)
	lp.count(-done)
	return done
}

// concat appends all entries of other.
func (lp *Listpack) concat(other *Listpack) {
	n, body := lp.len()+other.len(), other.block()
	if len(body) == lpHeader+1 {
		return
	}
	body = body[lpHeader : len(body)-1]
	p := lp.size() - 1
	b := lp.splice(p, 0, len(body))
	copy(b[p:], body)
	binary.LittleEndian.PutUint16(b[4:], uint16(min(n, lpCountMax)))
}

// put writes an entry over the del bytes at p, which are one entry or none.
func (lp *Listpack) put(p, del int, e Elem) {
	data := e.dataSize()
	b := lp.splice(p, del, data+backlenSize(data))
	appendBacklen(appendData(b[p:p], e), data)
	if del == 0 {
		lp.count(1)
	}
}

// count adds to the header's number of entries.
func (lp *Listpack) count(delta int) {
	b := lp.block()
	if n := int(binary.LittleEndian.Uint16(b[4:])); n != lpCountMax && delta != 0 {
		binary.LittleEndian.PutUint16(b[4:], uint16(min(n+delta, lpCountMax)))
	}
}

// splice makes room for ins bytes in place of the del bytes at p, and returns the block.
func (lp *Listpack) splice(p, del, ins int) []byte {
	if del == 0 && ins == 0 {
		return lp.block()
	}
	n, grow := lp.size(), ins-del
	nearHead := p < n-p-del
	if grow > 0 {
		lp.reserve(grow, nearHead)
	}
	mem, off := lp.memory(), int(lp.off)
	if nearHead && off >= grow { // move what stands before p
		copy(mem[off-grow:], mem[off:off+p])
		off -= grow
		lp.off = uint32(off)
	} else {
		copy(mem[off+p+ins:], mem[off+p+del:off+n])
	}
	binary.LittleEndian.PutUint32(mem[off:], uint32(n+grow))
	if grow < 0 && len(mem) > 4*(n+grow)+64 {
		lp.rebase(n+grow+(n+grow)/4, false)
	}
	return lp.block()
}

// reserve makes sure of n spare bytes before the block when nearHead, else behind it. It slides
// the block within its memory only when that leaves room for the next changes too.
func (lp *Listpack) reserve(n int, nearHead bool) {
	size, off := lp.size(), int(lp.off)
	back := int(lp.cap) - off - size
	if nearHead && off >= n || !nearHead && back >= n {
		return
	}
	if off+back < n+spare(size)/2 {
		lp.rebase(size+n+spare(size+n), nearHead)
		return
	}
	mem, to := lp.memory(), 0
	if nearHead {
		to = len(mem) - size
	}
	copy(mem[to:to+size], lp.block())
	lp.off = uint32(to)
}

// spare returns how much room a block of size bytes gets besides, when it has to move anyway. A small one gets
// none: to move it costs little, and a million of them would cost much.
func spare(size int) int {
	if size <= smallBlock {
		return 0
	}
	return size / 4
}

// smallBlock is the size in bytes up to which a block is small.
const smallBlock = 128

// rebase moves the block to new memory of about capacity bytes, rounded up to what the allocator
// hands out anyway.
func (lp *Listpack) rebase(capacity int, atEnd bool) {
	mem := append([]byte(nil), make([]byte, capacity)...)
	mem = mem[:cap(mem)]
	to := 0
	if atEnd {
		to = len(mem) - lp.size()
	}
	copy(mem[to:], lp.block())
	*lp = listpackIn(mem, to)
}
