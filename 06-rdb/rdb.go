package main

// The format of dump.rdb, version 10, which every Redis 7.0 reads and writes: the header "REDIS0010",
// items that each begin with one of the bytes below, and 8 bytes of CRC-64 over all bytes before.

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc64"
	"io"
	"strconv"

	"byor/pkg/basics"
	"byor/pkg/lzf"
	"byor/pkg/store"
)

// The first byte of each item is an opcode, or the type of the value that follows.
const (
	typeString = 0x00 // key and value

	opIdle      = 0xF8 // LRU hint of the next key
	opFreq      = 0xF9 // LFU hint of the next key
	opAux       = 0xFA // a remark: name and value (who wrote the file, when, and so on)
	opResize    = 0xFB // how many keys will come
	opExpireMs  = 0xFC // deadline of the next key, 8 bytes, Unix milliseconds
	opExpireSec = 0xFD // the same in old files, 4 bytes, Unix seconds
	opSelectDB  = 0xFE // what follows belongs to this database
	opEOF       = 0xFF // the end
)

// checksum continues the CRC-64 of Redis over p. hash/crc64 has the algorithm, but turns all bits
// around before and after, and Redis does not: so we turn them back.
func checksum(crc uint64, p []byte) uint64 { return ^crc64.Update(^crc, jones, p) }

var jones = crc64.MakeTable(0x95ac9329ac4bc9b5)

// appendLength encodes a length in as few bytes as will do; the two highest bits say in how many.
func appendLength(out []byte, n uint64) []byte {
	// region: encode a length
	switch {
	case n < 1<<6: // 00xxxxxx
		return append(out, byte(n))
	case n < 1<<14: // 01xxxxxx yyyyyyyy
		return append(out, 0x40|byte(n>>8), byte(n))
	case n < 1<<32: // 10000000 and four bytes
		return binary.BigEndian.AppendUint32(append(out, 0x80), uint32(n))
	default: // 10000001 and eight bytes
		return binary.BigEndian.AppendUint64(append(out, 0x81), n)
	}
	// endregion
}

// appendEntry encodes a key with its value and deadline.
func appendEntry(out []byte, e store.SnapshotEntry) []byte {
	// region: encode an entry
	if e.ExpireMs >= 0 {
		// Numbers of fixed size are little endian here, lengths are big endian. There is no reason.
		out = binary.LittleEndian.AppendUint64(append(out, opExpireMs), uint64(e.ExpireMs))
	}
	out = append(out, typeString)
	out = append(appendLength(out, uint64(len(e.Key))), e.Key...)
	value := e.Value.(*store.String).View()
	return append(appendLength(out, uint64(len(value))), value...)
	// endregion
}

// rdbReader reads an RDB. After the first error it returns zeroes: look at err before you trust them.
type rdbReader struct {
	r   *bufio.Reader
	off int64 // bytes read
	crc uint64
	err error
}

func (r *rdbReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("offset %d: "+format, append([]any{r.off}, args...)...)
	}
}

// read returns the next n bytes. n may come from the file, and a damaged file may ask for 512 MB
// that it does not have: so memory is only taken for bytes that have come.
func (r *rdbReader) read(n uint64) []byte {
	// region: bounded reading
	if n > 512<<20 {
		r.fail("a string of %d bytes, where 512 MB are the limit", n)
	}
	var b []byte
	for left := n; left > 0 && r.err == nil; left = n - uint64(len(b)) {
		part := make([]byte, min(left, 64<<10))
		got, err := io.ReadFull(r.r, part)
		if err != nil {
			r.fail("%d more bytes expected, but only %d are there", left, got)
		}
		r.off += int64(got)
		r.crc = checksum(r.crc, part[:got])
		b = append(b, part...)
	}
	if r.err != nil {
		return make([]byte, 9) // enough for callers that look at single bytes
	}
	return b
	// endregion
}

// length reads a length, or, if special is true, how the string that follows is encoded.
func (r *rdbReader) length() (n uint64, special bool) {
	// region: decode a length
	first := r.read(1)[0]
	switch {
	case first>>6 == 0:
		return uint64(first), false
	case first>>6 == 1:
		return uint64(first&0x3F)<<8 | uint64(r.read(1)[0]), false
	case first>>6 == 3:
		return uint64(first & 0x3F), true
	case first == 0x80:
		return uint64(binary.BigEndian.Uint32(r.read(4))), false
	case first == 0x81:
		return binary.BigEndian.Uint64(r.read(8)), false
	}
	r.fail("0x%02x does not begin a length", first)
	return 0, false
	// endregion
}

// str reads a string. A real Redis saves integers and repetitive strings in fewer bytes, so a reader
// that only understands plain strings cannot read its files.
func (r *rdbReader) str() []byte {
	// region: decode a string
	n, special := r.length()
	switch {
	case !special:
		return r.read(n)
	case n == 0:
		return strconv.AppendInt(nil, int64(int8(r.read(1)[0])), 10)
	case n == 1:
		return strconv.AppendInt(nil, int64(int16(binary.LittleEndian.Uint16(r.read(2)))), 10)
	case n == 2:
		return strconv.AppendInt(nil, int64(int32(binary.LittleEndian.Uint32(r.read(4)))), 10)
	case n == 3:
		packed, _ := r.length()
		size, _ := r.length()
		out, err := lzf.Decompress(nil, r.read(packed), int(size))
		if err != nil {
			r.fail("a compressed string of %d bytes does not unpack to %d", packed, size)
		}
		return out
	}
	r.fail("string encoding %d is unknown", n)
	return nil
	// endregion
}

// readRDB reads a snapshot into the store, and not a byte more: in a log, commands may follow.
func (s *server) readRDB(in *bufio.Reader) error {
	r := &rdbReader{r: in}
	if magic := r.read(9); r.err == nil && (string(magic[:5]) != "REDIS" || string(magic[5:]) > "0010") {
		r.fail("%q is not the header of an RDB of version 10 or older", magic)
	}
	db, expireMs := s.data.DB(0), int64(-1)
	for r.err == nil {
		switch op := r.read(1)[0]; op {
		case opAux:
			r.str()
			r.str()
		// region: opcodes to pass over
		case opResize:
			r.length()
			r.length()
		case opIdle:
			r.length()
		case opFreq:
			r.read(1)
		// endregion
		// region: database, deadline, key
		case opSelectDB:
			n, _ := r.length()
			if db = s.data.DB(int(n)); db == nil {
				r.fail("database %d does not exist here", n)
			}
		case opExpireMs:
			expireMs = int64(binary.LittleEndian.Uint64(r.read(8)))
		case opExpireSec:
			expireMs = 1000 * int64(int32(binary.LittleEndian.Uint32(r.read(4))))
		case typeString:
			s.add(r, db, expireMs)
			expireMs = -1 // a deadline belongs to one key
		// endregion
		// region: the end
		case opEOF:
			want := r.crc
			if got := binary.LittleEndian.Uint64(r.read(8)); got != 0 && got != want { // 0: rdbchecksum no
				r.fail("the checksum is %016x, but the file says %016x: it is damaged", want, got)
			}
			return r.err
		default: // nothing says how long it is, so it cannot be skipped
			r.fail("%s", basics.Unreadable(op, r.str))
			// endregion
		}
	}
	return r.err
}

// add reads a key and its value into db, unless its time is over.
func (s *server) add(r *rdbReader, db *store.DB, expireMs int64) {
	key, value := r.str(), r.str()
	expired := expireMs >= 0 && expireMs <= s.data.Now() && s.data.Expiry == store.DeleteExpired
	if r.err != nil || expired {
		return
	}
	if e := db.SetString(key, value, false); expireMs >= 0 {
		db.SetExpire(e, expireMs)
	}
}
