package rdb

import (
	"encoding/binary"
	"errors"
	"sync"

	"byor/pkg/store"
)

// A payload of DUMP is the type and the value as in a snapshot, the version of the format (2 bytes)
// and a checksum of all that (8 bytes), both little endian.
const dumpFooter = 2 + checksumLen

// What RESTORE answers; the texts are Redis's.
var (
	ErrBadPayload = errors.New("DUMP payload version or checksum are wrong")
	ErrBadFormat  = errors.New("Bad data format") //nolint:staticcheck // Redis writes it so
)

var packers = sync.Pool{New: func() any { return new(packer) }}

// Dump returns the payload of DUMP for a value: what Restore, here or in Redis 7.0 and newer,
// makes the value from again.
func Dump(v store.Value) []byte {
	b := Batch{buf: []byte{0}}
	b.buf[0] = byte(b.value(v))
	out := make([]byte, 0, len(b.buf)+dumpFooter)
	p := packers.Get().(*packer)
	defer packers.Put(p)
	b.pack(p, func(piece []byte) { out = append(out, piece...) })
	return appendFooter(out)
}

// Restore returns the value of a payload. The error is ErrBadPayload when the payload was changed
// or comes from a newer Redis, and wraps ErrBadFormat and a *FormatError when what it holds breaks
// a rule of the format, although the checksum is right.
func Restore(payload []byte) (v store.Value, err error) {
	content, ok := checkFooter(payload)
	if !ok || len(content) == 0 {
		return nil, ErrBadPayload
	}
	v, err = restore(content)
	if err == nil && v == nil {
		err = errors.New("the collection is empty")
	}
	if err != nil {
		return nil, errors.Join(ErrBadFormat, err)
	}
	return v, nil
}

// appendFooter appends version and checksum of a payload.
func appendFooter(payload []byte) []byte {
	payload = binary.LittleEndian.AppendUint16(payload, Version)
	return binary.LittleEndian.AppendUint64(payload, crc64(0, payload))
}

// checkFooter returns what stands before the footer of a payload, a part of it, and whether version and checksum
// are right.
func checkFooter(payload []byte) (content []byte, ok bool) {
	n := len(payload) - dumpFooter
	if n < 0 {
		return nil, false
	}
	footer := payload[n:]
	return payload[:n], binary.LittleEndian.Uint16(footer) <= Version &&
		crc64(0, payload[:n+2]) == binary.LittleEndian.Uint64(footer[2:])
}

func restore(b []byte) (v store.Value, err error) {
	defer catch(&err)
	in := &input{buf: b, end: len(b), noSum: true}
	t := valueType(in.byte("a type"))
	return in.value(t), nil
}

// EncodedLen returns how many bytes a value takes in a snapshot that is compressed.
func EncodedLen(v store.Value) int { return len(Dump(v)) - dumpFooter - 1 }

// DumpFunctions returns the payload of FUNCTION DUMP: the sources of libraries.
func DumpFunctions(sources []string) []byte {
	var b Batch
	for _, s := range sources {
		b.function(s)
	}
	p := packers.Get().(*packer)
	defer packers.Put(p)
	var out []byte
	b.pack(p, func(piece []byte) { out = append(out, piece...) })
	return appendFooter(out)
}

// Errors of FUNCTION RESTORE; the texts are Redis's.
var (
	ErrNoFunction  = errors.New("given type is not a function")
	ErrBadFunction = errors.New("failed loading the given functions payload")
)

// RestoreFunctions returns the sources in a payload of FUNCTION DUMP. The error is ErrBadPayload as for Restore,
// ErrNoFunction or ErrBadFunction.
func RestoreFunctions(payload []byte) (sources []string, err error) {
	content, ok := checkFooter(payload)
	if !ok {
		return nil, ErrBadPayload
	}
	in := &input{buf: content, end: len(content), noSum: true}
	for in.pos < in.end {
		if content[in.pos] != opFunction2 {
			return nil, ErrNoFunction
		}
		in.pos++
		source, err := functionSource(in)
		if err != nil {
			return nil, ErrBadFunction
		}
		sources = append(sources, string(source))
	}
	return sources, nil
}
