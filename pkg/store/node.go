package store

import "unsafe"

// An element of a Dict is one piece of memory: a head of a few bytes, its key, and what belongs to
// the key where that is bytes, too. It takes one allocation, mostly without pointers for the
// collector to follow, and few lines of the processor's cache.
//
// Go has no type for a struct that is followed by as many bytes as it takes. This file makes such
// structs and reaches the bytes behind them, for which it needs package unsafe. Its rules: a piece
// without pointers is allocated as integers; one with pointers is allocated as a struct type that
// says where they are; all that is reached lies within the piece.

// element is what a Dict can hold: types that begin with a node.
type element interface {
	Entry | hashField | setMember | skipNode
}

// node is the head of every element.
type node struct {
	keyLen uint32
	keyAt  uint16 // where the key is, in bytes from here
	apart  bool   // the key is elsewhere: what is at keyAt is a string that points to it
	kind   uint8  // of an Entry: see there; of a skipNode: its level
}

// keyOf returns the key of an element: its very bytes, which stay as they are as long as anybody
// has them.
func keyOf[E element](e *E) string { return (*node)(unsafe.Pointer(e)).key() }

func (n *node) key() string {
	p := unsafe.Add(unsafe.Pointer(n), n.keyAt)
	if n.apart {
		return *(*string)(p)
	}
	return unsafe.String((*byte)(p), n.keyLen)
}

// behind returns size bytes of e's memory from offset at on.
func behind[E element](e *E, at, size int) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(e)), at+size)[at:]
}

// newBytes returns an element without pointers that has size bytes in all, its head included, or
// as many as pieceSize says. A key must begin within them, even an empty one.
func newBytes[E element](size int) *E {
	words := make([]uint64, pieceSize(size)/8) // as words, so that the head is aligned
	return (*E)(unsafe.Pointer(unsafe.SliceData(words)))
}

// roomy is an element with an array behind it, for one that has pointers.
type roomy[T, A any] struct {
	head T
	rest A
}

func newRoomy[T, A any]() *T { return &new(roomy[T, A]).head }

// pieceSizes has for every number of words the bytes that Go allocates for it.
var pieceSizes = func() (sizes [maxPiece/8 + 1]uint16) {
	for words := range sizes {
		sizes[words] = uint16(8 * cap(append([]uint64(nil), make([]uint64, words)...)))
	}
	return sizes
}()

// maxPiece is the size up to which memory comes in fixed sizes that are worth filling.
const maxPiece = 1024

// pieceSize returns how much memory there is in a piece of at least size bytes, which is at least 1.
func pieceSize(size int) int {
	if words := (size + 7) / 8; words < len(pieceSizes) {
		return int(pieceSizes[words])
	}
	return (size + 7) &^ 7
}

// asString is b as a string without a copy, for the length of a look-up: it must not be kept.
func asString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
