package store

import (
	"encoding/binary"
	"unsafe"
)

// Entry is a key with its value. It is valid until the key is deleted, or given another value.
//
// It is one piece of memory: this head, then the value, then the key. A string of up to some
// hundred bytes stands there itself. So a small string costs one allocation, and 24 bytes besides
// key and value. Any other value is a pointer.
type Entry struct {
	node            // kind is one of the holds…
	access   uint32 // last access in seconds, modulo 2^32; under LFU see lfu.go
	epoch    uint32 // of the snapshot that has it, see Store.epoch
	deadline int32  // 1 + index into table.due, 0 for none
	size     uint32 // of a string that stands here: its length; else what Store.mem counts, in 16 bytes
}

// What an entry holds.
const (
	holdsInt   = iota // an integer in 8 bytes
	holdsBytes        // a string's bytes
	holdsOwn          // nothing, it is an ownString
	holdsValue        // a pointer to a value of the first type; the others follow in the order of Type
)

const (
	entryHead = int(unsafe.Sizeof(Entry{}))
	refHead   = int64(unsafe.Sizeof(refEntry{}))
	minRoom   = 8    // for a value: any integer fits
	maxInside = 1000 // bytes of head, value and key up to which a string stands in its entry
)

// refEntry is an Entry with a pointer to its value, and its key or a string of it behind.
type refEntry struct {
	Entry
	value unsafe.Pointer // of the type that kind says
}

// refEntries makes those with room for keys of 16, 32, … bytes, which fill Go's size classes.
var refEntries = [...]func() *refEntry{
	newRoomy[refEntry, [16]byte], newRoomy[refEntry, [32]byte], newRoomy[refEntry, [48]byte],
	newRoomy[refEntry, [64]byte], newRoomy[refEntry, [80]byte], newRoomy[refEntry, [96]byte],
}

// Key returns the key.
func (e *Entry) Key() string { return e.key() }

// Value returns the value. To change it, get it from Edit.
func (e *Entry) Value() Value {
	if e.kind < holdsValue {
		return (*String)(e)
	}
	p := e.ref().value
	switch Type(e.kind - holdsValue) {
	case TypeString:
		return (*String)(p)
	case TypeList:
		return (*List)(p)
	case TypeSet:
		return (*Set)(p)
	case TypeZSet:
		return (*ZSet)(p)
	case TypeHash:
		return (*Hash)(p)
	}
	return (*Stream)(p)
}

// pointerTo is the reverse of Value.
func pointerTo(v Value) unsafe.Pointer {
	switch v := v.(type) {
	case *String:
		return unsafe.Pointer(v)
	case *List:
		return unsafe.Pointer(v)
	case *Set:
		return unsafe.Pointer(v)
	case *ZSet:
		return unsafe.Pointer(v)
	case *Hash:
		return unsafe.Pointer(v)
	case *Stream:
		return unsafe.Pointer(v)
	}
	panic("store: a value of no type")
}

// ref returns an entry that does not hold its value itself as what it is then.
func (e *Entry) ref() *refEntry { return (*refEntry)(unsafe.Pointer(e)) }

// room returns the bytes that a value has which stands in the entry.
func (e *Entry) room() []byte { return behind(e, entryHead, int(e.keyAt)-entryHead) }

// staysInside reports whether a string of size bytes is to stand in the entry of its key.
func staysInside(keyLen, size int) bool { return entryHead+keyLen+size <= maxInside }

// newInside returns an entry without a value, with room for one of size bytes: what is left over
// of the piece is the value's, so that the next one fits, too. It is nil when that is too much.
func newInside(key string, size int) *Entry {
	keySize := max(len(key), 1)
	if !staysInside(len(key), size) {
		return nil
	}
	need := entryHead + max(size, minRoom) + keySize
	piece := pieceSize(need)
	e := newBytes[Entry](need)
	e.keyAt, e.keyLen = uint16(piece-keySize), uint32(len(key))
	copy(behind(e, int(e.keyAt), len(key)), key)
	return e
}

// newRef returns an entry with a pointer to v.
func newRef(key string, v Value) *Entry {
	var e *refEntry
	if i := max(len(key)-1, 0) / 16; i < len(refEntries) {
		e = refEntries[i]()
		e.keyAt, e.keyLen = uint16(refHead), uint32(len(key))
		copy(behind(&e.Entry, int(refHead), len(key)), key)
	} else {
		own := new(roomy[refEntry, string])
		own.rest = string(view(key))
		e = &own.head
		e.keyAt, e.apart = uint16(refHead), true
	}
	e.point(v)
	return &e.Entry
}

func (e *refEntry) point(v Value) { e.kind, e.value = holdsValue+uint8(v.Type()), pointerTo(v) }

// refits reports whether a value of size bytes is to stand in the room there is: it is enough, and not
// much more than it takes.
func (e *Entry) refits(size int) bool {
	room := int(e.keyAt) - entryHead
	return e.kind < holdsOwn && size <= room && room <= size+size/4+32
}

// setBytes makes b the value, if there is room.
func (e *Entry) setBytes(b []byte) {
	e.kind, e.size = holdsBytes, uint32(len(b))
	copy(e.room(), b)
}

func (e *Entry) setInt(n int64) {
	e.kind, e.size = holdsInt, 0
	binary.NativeEndian.PutUint64(e.room(), uint64(n))
}

// AccessSec returns when the entry was last looked up, in Unix seconds modulo 2^32; under LFU it is
// something else, see lfu.go, but can be copied to another entry just as well.
func (e *Entry) AccessSec() uint32 { return e.access }

// SetAccessSec sets that time.
func (e *Entry) SetAccessSec(sec uint32) { e.access = sec }

// HasExpiry reports whether the entry has an expiry time.
func (e *Entry) HasExpiry() bool { return e.deadline != 0 }

// EntryBytes returns what the accounting counts for the entry.
func (e *Entry) EntryBytes() int64 {
	if e.kind < holdsOwn {
		return slotBytes + int64(pieceSize(int(e.keyAt)+int(e.keyLen)))
	}
	return 16 * int64(e.size)
}

// measure notes what the value takes, after a change.
func (e *Entry) measure() {
	if e.kind >= holdsValue {
		e.size = uint32((slotBytes + refHead + int64(len(e.Key())) + e.Value().MemBytes() + 15) / 16)
	}
}

// What an entry costs besides its key and value: its share of the buckets, and its head.
const (
	slotBytes     = 16
	entryOverhead = int64(slotBytes + entryHead)
)
