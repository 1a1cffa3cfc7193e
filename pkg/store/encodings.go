package store

import "sync/atomic"

// EncodingLimits says up to which size collections keep their compact encodings. Each field has
// the name and the meaning of a Redis parameter; a value that grows beyond its limit changes its
// encoding and never changes back.
//
// It is safe for concurrent use: a value looks at its limit when it grows.
type EncodingLimits struct {
	HashMaxListpackEntries atomic.Int64 // hash-max-listpack-entries
	HashMaxListpackValue   atomic.Int64 // hash-max-listpack-value, bytes
	SetMaxIntsetEntries    atomic.Int64 // set-max-intset-entries
	ZSetMaxListpackEntries atomic.Int64 // zset-max-listpack-entries
	ZSetMaxListpackValue   atomic.Int64 // zset-max-listpack-value, bytes
	// ListMaxListpackSize is list-max-listpack-size: elements a node, or -1 to -5 for 4 to 64 KB.
	ListMaxListpackSize  atomic.Int64
	StreamNodeMaxBytes   atomic.Int64 // stream-node-max-bytes of a node's listpack; 0 is no limit
	StreamNodeMaxEntries atomic.Int64 // stream-node-max-entries; 0 is no limit
	// ListPackedThreshold is the size in bytes from which on a list element has a node of its own
	// without a listpack (DEBUG QUICKLIST-PACKED-THRESHOLD).
	ListPackedThreshold atomic.Int64
}

// DefaultListPackedThreshold is Redis's, far beyond any element that is usual.
const DefaultListPackedThreshold = 1 << 30

// Encodings are the limits of this process, as in Redis: values know no store, and a limit is
// a matter of memory, not of meaning.
var Encodings EncodingLimits

func init() { Encodings.Reset() }

// Reset sets all limits to Redis's defaults.
func (l *EncodingLimits) Reset() {
	l.HashMaxListpackEntries.Store(512)
	l.HashMaxListpackValue.Store(64)
	l.SetMaxIntsetEntries.Store(512)
	l.ZSetMaxListpackEntries.Store(128)
	l.ZSetMaxListpackValue.Store(64)
	l.ListMaxListpackSize.Store(-2)
	l.StreamNodeMaxBytes.Store(4096)
	l.StreamNodeMaxEntries.Store(100)
	l.ListPackedThreshold.Store(DefaultListPackedThreshold)
}

var _ = [...]Value{(*String)(nil), (*List)(nil), (*Hash)(nil), (*Set)(nil), (*ZSet)(nil)}
