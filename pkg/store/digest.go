package store

import (
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
)

// Digest is what DEBUG DIGEST computes: 160 bits that say whether two data sets are the same,
// whatever server, order or encoding they are in. It covers every key and value and whether a key
// has an expiry time, but not which, nor the groups of a stream.
//
// Where an order matters, contents are mixed in: the digest becomes the hash of itself with the
// new hash. Where none does (keys, members), hashes are only combined by exclusive or.
type Digest [sha1.Size]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

func (d *Digest) xor(b []byte) {
	for i, c := range sha1.Sum(b) {
		d[i] ^= c
	}
}

func (d *Digest) mix(b []byte) {
	d.xor(b)
	*d = sha1.Sum(d[:])
}

func (d *Digest) mixUint32(n uint32) { d.mix(binary.BigEndian.AppendUint32(nil, n)) }

// Digest returns the digest of all databases. It takes time in proportion to the data.
func (s *Store) Digest() Digest {
	var d Digest
	for i, db := range s.dbs {
		if db.Len() == 0 {
			continue
		}
		d.mixUint32(uint32(i))
		db.Each(func(e *Entry) bool {
			var one Digest
			one.mix(view(e.Key()))
			one.value(db, e)
			d.xor(one[:])
			return true
		})
	}
	return d
}

// ValueDigest returns the digest of one entry without its key, as DEBUG DIGEST-VALUE does.
func (db *DB) ValueDigest(e *Entry) Digest {
	var d Digest
	d.value(db, e)
	return d
}

// redisType maps a Type to Redis's OBJ_ constant, which is part of what is hashed.
var redisType = map[Type]uint32{TypeString: 0, TypeList: 1, TypeSet: 2, TypeZSet: 3, TypeHash: 4, TypeStream: 6}

func (d *Digest) value(db *DB, e *Entry) {
	d.mixUint32(redisType[e.Value().Type()])
	switch v := e.Value().(type) {
	case *String:
		d.mix(v.View())
	case *List:
		v.Each(func(b []byte) bool { d.mix(b); return true })
	case *Set:
		v.Each(func(b []byte) bool { d.xor(b); return true })
	case *ZSet:
		v.Each(func(m []byte, score float64) bool { d.pair(m, digestScore(score)); return true })
	case *Hash:
		v.Each(func(f, val []byte) bool { d.pair(f, val); return true })
	case *Stream:
		v.Range(StreamID{}, MaxStreamID, func(e *StreamEntry) bool { d.streamEntry(e); return true })
	}
	if e.HasExpiry() {
		d.xor([]byte("!!expire!!"))
	}
}

// pair adds two strings that belong together, in no order with other pairs.
func (d *Digest) pair(a, b []byte) {
	var one Digest
	one.mix(a)
	one.mix(b)
	d.xor(one[:])
}

func (d *Digest) streamEntry(e *StreamEntry) {
	id := strconv.AppendUint(nil, e.ID.Ms, 10)
	d.mix(strconv.AppendUint(append(id, '.'), e.ID.Seq, 10))
	for i := range e.Len() {
		name, value := e.Field(i)
		d.mix(name.Bytes())
		d.mix(value.Bytes())
	}
}

// digestScore formats as C's "%.17g".
func digestScore(f float64) []byte {
	if math.IsInf(f, 0) {
		if f > 0 {
			return []byte("inf")
		}
		return []byte("-inf")
	}
	return strconv.AppendFloat(nil, f, 'g', 17, 64)
}
