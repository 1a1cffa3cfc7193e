// Package rdb reads and writes Redis's snapshot files.
//
// A file is "REDIS", a version in four digits, a row of records that each open with one byte (an
// opcode, or the type of the key and value that follow), and a CRC64 over all of it. Lengths are
// big endian and of variable size, everything else is little endian: the first have been designed
// for the file, the rest is what a PC had in memory.
//
// Writer writes version 10, which Redis 7.0 and everything newer loads. Reader reads versions 1
// to 12 with every encoding that some Redis has written for its types. Both stream: they hold
// one entry and a buffer, however large the file is. ReadAhead holds some hundred entries, and lets
// two processors share the work.
//
// Small collections are stored as the very bytes that Redis, and package store, hold in memory
// (listpack, intset). Such a blob is checked and then taken as it is instead of being built anew
// element by element; that is most of what makes loading fast.
//
// A Reader believes nothing: what is malformed ends it with a *FormatError that says where, and no
// memory is taken for a length before the bytes have come. Values of modules, and hashes whose
// fields expire (Redis 7.4), are refused with ErrUnsupported. Reader, Writer and Batch are for one
// goroutine at a time. Writer does not sync, rename or delete: a file that must survive a crash is
// its caller's business.
//
// The format is that of Redis's rdb.c and rdb.h; https://rdb.fnordig.de/file_format.html
// describes the versions before 10.
package rdb

import (
	"errors"
	"fmt"
)

// Version is the version of the files that Writer writes and of what Dump returns.
const Version = 10

// maxVersion is the newest version that Reader reads, that of Redis 7.4.
const maxVersion = 12

// NoExpiry stands for "never" where an expiry time is asked for.
const NoExpiry = -1

// The opcodes. Every other first byte of a record is the type of a value.
const (
	opSlotInfo    = 0xf4 // 7.4: sizes of a cluster slot, a hint
	opFunction2   = 0xf5 // the source of a library
	opFunction    = 0xf6 // the same in the release candidates of 7.0
	opModuleAux   = 0xf7
	opIdle        = 0xf8 // seconds since the last access
	opFreq        = 0xf9 // logarithmic access counter
	opAux         = 0xfa // a name and a value about the file
	opResizeDB    = 0xfb // numbers of keys and of expiry times to come
	opExpireMs    = 0xfc
	opExpireSec   = 0xfd
	opSelectDB    = 0xfe
	opEOF         = 0xff
	magic         = "REDIS"
	headerLen     = 9
	checksumLen   = 8
	minCRCVersion = 5 // older files end with opEOF
)

// valueType is the first byte of a key's record.
type valueType byte

const (
	typeString         valueType = 0
	typeList           valueType = 1
	typeSet            valueType = 2
	typeZSet           valueType = 3 // scores in decimal
	typeHash           valueType = 4
	typeZSet2          valueType = 5 // scores as float64
	typeModule         valueType = 6
	typeModule2        valueType = 7
	typeHashZipmap     valueType = 9
	typeListZiplist    valueType = 10
	typeSetIntset      valueType = 11
	typeZSetZiplist    valueType = 12
	typeHashZiplist    valueType = 13
	typeQuicklist      valueType = 14 // nodes are ziplists
	typeStream         valueType = 15
	typeHashListpack   valueType = 16
	typeZSetListpack   valueType = 17
	typeQuicklist2     valueType = 18 // nodes are listpacks or single elements
	typeStream2        valueType = 19 // 7.0: with first ID, entries added, entries read
	typeSetListpack    valueType = 20 // 7.2
	typeStream3        valueType = 21 // 7.2: with a consumer's active time
	typeHashTTLPre     valueType = 22
	typeHashTTLPackPre valueType = 23
	typeHashTTL        valueType = 24 // 7.4: fields with expiry times
	typeHashTTLPack    valueType = 25
)

var typeNames = map[valueType]string{
	typeString: "string", typeList: "list", typeSet: "set", typeZSet: "sorted set", typeHash: "hash",
	typeZSet2: "sorted set", typeModule: "module value", typeModule2: "module value",
	typeHashZipmap: "hash (zipmap)", typeListZiplist: "list (ziplist)", typeSetIntset: "set (intset)",
	typeZSetZiplist: "sorted set (ziplist)", typeHashZiplist: "hash (ziplist)",
	typeQuicklist: "list (quicklist)", typeStream: "stream", typeHashListpack: "hash (listpack)",
	typeZSetListpack: "sorted set (listpack)", typeQuicklist2: "list (quicklist 2)",
	typeStream2: "stream", typeSetListpack: "set (listpack)", typeStream3: "stream",
	typeHashTTLPre:     "hash with field expiry times (7.4 before release)",
	typeHashTTLPackPre: "hash with field expiry times (listpack, 7.4 before release)",
	typeHashTTL:        "hash with field expiry times",
	typeHashTTLPack:    "hash with field expiry times (listpack)",
}

// known reports whether there is such a type.
func (t valueType) known() bool {
	return t <= typeHashTTLPack && t != 8 // which nobody has ever used
}

func (t valueType) String() string {
	if s, ok := typeNames[t]; ok {
		return s
	}
	return fmt.Sprintf("type %d", byte(t))
}

// How a string is written when its first byte's two upper bits are set.
const (
	encInt8  = 0xc0
	encInt16 = 0xc1
	encInt32 = 0xc2
	encLZF   = 0xc3
)

// The containers of a quicklist's nodes.
const (
	nodePlain  = 1
	nodePacked = 2
)

// What can be wrong with a whole file; a FormatError wraps one of them, io.ErrUnexpectedEOF, or
// what the source said.
var (
	// ErrNotRDB says that the file does not begin as a snapshot does.
	ErrNotRDB = errors.New("not a Redis snapshot")
	// ErrVersion says that a newer Redis has written the file or payload.
	ErrVersion = errors.New("version is not supported")
	// ErrChecksum says that bytes were changed after they were written.
	ErrChecksum = errors.New("checksum does not match")
	// ErrCorrupt says that what was read breaks a rule of the format.
	ErrCorrupt = errors.New("corrupt snapshot")
	// ErrUnsupported says that the file holds what this program has no type for.
	ErrUnsupported = errors.New("not supported")
)

// FormatError says where reading failed and what was expected there.
type FormatError struct {
	Offset int64  // bytes from the beginning of the file or payload
	Key    string // the key whose value was being read, if any
	Msg    string // what was expected, and what was found instead
	Err    error  // one of the errors above, io.ErrUnexpectedEOF, or the source's error
}

func (e *FormatError) Error() string {
	s := fmt.Sprintf("rdb: at byte %d", e.Offset)
	if e.Key != "" {
		s += fmt.Sprintf(", key %.60q", e.Key)
	}
	return s + ": " + e.Msg
}

// Unwrap returns Err.
func (e *FormatError) Unwrap() error { return e.Err }
