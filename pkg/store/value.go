package store

import "errors"

// ErrWrongType says that a key holds another type than the command works on. Its text is Redis's.
var ErrWrongType = errors.New("WRONGTYPE Operation against a key holding the wrong kind of value")

// What AddInt may say of a string; the texts are Redis's.
var (
	ErrNotInteger = errors.New("ERR value is not an integer or out of range")
	ErrOverflow   = errors.New("ERR increment or decrement would overflow")
)

// Type is one of Redis's types.
type Type uint8

// The types, in the order of Redis's OBJ_ constants.
const (
	TypeString Type = iota
	TypeList
	TypeSet
	TypeZSet
	TypeHash
	TypeStream
)

var typeNames = [...]string{"string", "list", "set", "zset", "hash", "stream"}

// String returns the name that the TYPE command gives.
func (t Type) String() string { return typeNames[t] }

// Value is what a key holds: one of *String, *List, *Hash, *Set, *ZSet and *Stream.
type Value interface {
	Type() Type
	// Encoding names the representation as OBJECT ENCODING does.
	Encoding() string
	// MemBytes estimates the memory of the value in O(1).
	MemBytes() int64
	// Clone returns a copy that shares nothing with the value.
	Clone() Value
	sealed()
}
