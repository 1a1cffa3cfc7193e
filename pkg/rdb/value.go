package rdb

import (
	"math"

	"byor/pkg/store"
)

// expectMost bounds how many elements room is made for because a file says that they follow.
const expectMost = 1 << 16

// value reads a value of type t. It is nil for an empty collection.
func (in *input) value(t valueType) store.Value {
	switch t {
	case typeString:
		return store.NewString(in.str("a string"))
	case typeList:
		return in.list()
	case typeListZiplist:
		return in.ziplistList()
	case typeQuicklist, typeQuicklist2:
		return in.quicklist(t)
	case typeSet:
		return in.set()
	case typeSetIntset:
		return in.intset()
	case typeSetListpack:
		return in.setListpack()
	case typeZSet, typeZSet2:
		return in.zset(t)
	case typeZSetZiplist, typeZSetListpack:
		return in.packedZSet(in.pairs(t == typeZSetZiplist))
	case typeHash:
		return in.hash()
	case typeHashZipmap:
		return in.zipmapHash()
	case typeHashZiplist, typeHashListpack:
		return in.packedHash(in.pairs(t == typeHashZiplist))
	case typeStream, typeStream2, typeStream3:
		return in.stream(t)
	case typeModule, typeModule2:
		name := moduleName(in.length("a module's ID"))
		in.fail(ErrUnsupported, "The RDB file contains module data I can't load: no matching module type '%s'", name)
	}
	in.fail(ErrUnsupported, "%s", t)
	return nil
}

// hold keeps a string over the reading of the next one.
func (in *input) hold(s []byte) []byte {
	in.held = append(in.held[:0], s...)
	return in.held
}

// nonEmpty returns v, or nil when it has no elements.
func nonEmpty[T interface {
	store.Value
	Len() int
}](v T) store.Value {
	if v.Len() == 0 {
		return nil
	}
	return v
}

func (in *input) list() store.Value {
	l := store.NewList()
	for n := in.length("a list's length"); n > 0; n-- {
		l.PushTail(in.str("a list element"))
	}
	return nonEmpty(l)
}

func (in *input) ziplistList() store.Value {
	l := store.NewList()
	at := in.offset()
	if err := eachZiplist(in.str("a list's ziplist"), l.PushTail); err != nil {
		in.failAt(at, ErrCorrupt, "%v", err)
	}
	return nonEmpty(l)
}

func (in *input) quicklist(t valueType) store.Value {
	l := store.NewList()
	for n := in.length("a number of list nodes"); n > 0; n-- {
		container := uint64(nodePacked)
		if t == typeQuicklist2 {
			container = in.length("a list node's container")
		}
		switch {
		case container == nodePlain:
			at := in.offset()
			b := in.blob("a list element")
			if len(b) == 0 {
				in.failAt(at, ErrCorrupt, "expected a list element in a node of its own, found nothing")
			}
			l.AppendPlain(b)
		case container != nodePacked:
			in.corrupt("expected a list node's container, plain (1) or packed (2), found %d", container)
		case t == typeQuicklist2:
			l.AppendListpack(in.listpack("a list node"))
		default:
			l.AppendListpack(in.ziplistAsListpack("a list node"))
		}
	}
	return nonEmpty(l)
}

// listpack reads a listpack.
func (in *input) listpack(want string) store.Listpack {
	at := in.offset()
	lp, err := store.ParseListpack(in.blob(want))
	if err != nil {
		in.failAt(at, ErrCorrupt, "%s: the listpack is malformed", want)
	}
	return lp
}

func (in *input) ziplistAsListpack(want string) store.Listpack {
	at := in.offset()
	lp := store.NewListpack()
	if err := eachZiplist(in.str(want), lp.Append); err != nil {
		in.failAt(at, ErrCorrupt, "%s: %v", want, err)
	}
	return lp
}

// pairs reads a collection of pairs from its listpack or ziplist.
func (in *input) pairs(ziplist bool) store.Listpack {
	if ziplist {
		return in.ziplistAsListpack("pairs")
	}
	return in.listpack("pairs")
}

func (in *input) set() store.Value {
	s := store.NewSet()
	n := in.length("a set's size")
	s.Expect(int(min(n, expectMost)))
	for ; n > 0; n-- {
		if m := in.str("a set member"); !s.Add(m) {
			in.corrupt("set member %.40q comes twice", m)
		}
	}
	return nonEmpty(s)
}

func (in *input) intset() store.Value {
	at := in.offset()
	ints, err := store.ParseIntset(in.blob("an intset"))
	if err != nil {
		in.failAt(at, ErrCorrupt, "a set: the intset is malformed")
	}
	if ints.Len() == 0 { // Redis does not take this for an empty key
		in.failAt(at, ErrCorrupt, "a set: the intset is empty")
	}
	return store.NewSetFromIntset(ints)
}

func (in *input) setListpack() store.Value {
	lp := in.listpack("a set")
	s := store.NewSet()
	for p := lp.First(); p >= 0; p = lp.Next(p) {
		if m := lp.At(p).Bytes(); !s.Add(m) {
			in.corrupt("set member %.40q comes twice", m)
		}
	}
	return nonEmpty(s)
}

func (in *input) zset(t valueType) store.Value {
	z := store.NewZSet()
	n := in.length("a sorted set's size")
	z.Expect(int(min(n, expectMost)), 0)
	for ; n > 0; n-- {
		m := in.hold(in.str("a sorted set member"))
		var score float64
		if t == typeZSet {
			score = in.decimal("a score")
		} else {
			score = in.float("a score")
		}
		if math.IsNaN(score) {
			in.corrupt("the score of member %.40q is not a number", m)
		}
		if !z.Add(m, score) {
			in.corrupt("sorted set member %.40q comes twice", m)
		}
	}
	return nonEmpty(z)
}

func (in *input) packedZSet(lp store.Listpack) store.Value {
	z, err := store.NewZSetFromListpack(lp)
	if err != nil {
		in.corrupt("a sorted set: expected different members with a score each, in ascending order")
	}
	return nonEmpty(z)
}

func (in *input) hash() store.Value {
	h := store.NewHash()
	n := in.length("a hash's size")
	if n > uint64(store.Encodings.HashMaxListpackEntries.Load()) {
		h.Unpack(int(min(n, expectMost))) // no listpack on the way
	}
	for ; n > 0; n-- {
		f := in.hold(in.str("a hash field"))
		if !h.Set(f, in.str("a hash value")) {
			in.corrupt("hash field %.40q comes twice", f)
		}
	}
	return nonEmpty(h)
}

func (in *input) zipmapHash() store.Value {
	h := store.NewHash()
	at := in.offset()
	err := eachZipmap(in.str("a hash's zipmap"), func(f, v []byte) {
		if !h.Set(f, v) {
			in.failAt(at, ErrCorrupt, "hash field %.40q comes twice", f)
		}
	})
	if err != nil {
		in.failAt(at, ErrCorrupt, "%v", err)
	}
	return h
}

func (in *input) packedHash(lp store.Listpack) store.Value {
	h, err := store.NewHashFromListpack(lp)
	if err != nil {
		in.corrupt("a hash: expected different fields with a value each")
	}
	return nonEmpty(h)
}

// value appends a value and returns the type to announce it by.
func (b *Batch) value(v store.Value) valueType {
	switch v := v.(type) {
	case *store.String:
		if n, ok := v.Int(); ok {
			b.integer(n)
		} else {
			b.str(v.View())
		}
		return typeString
	case *store.List:
		return b.list(v)
	case *store.Set:
		return b.set(v)
	case *store.ZSet:
		return b.zset(v)
	case *store.Hash:
		return b.hash(v)
	case *store.Stream:
		return b.stream(v)
	}
	panic("rdb: a type of value that the format does not have")
}

func (b *Batch) list(l *store.List) valueType {
	b.length(l.Nodes())
	l.EachNode(func(node []byte, plain bool) bool {
		if plain {
			b.length(nodePlain)
			b.str(node)
		} else {
			b.length(nodePacked)
			b.raw(node)
		}
		return true
	})
	return typeQuicklist2
}

func (b *Batch) set(s *store.Set) valueType {
	if ints, ok := s.Intset(); ok {
		b.raw(ints.Bytes())
		return typeSetIntset
	}
	b.length(s.Len())
	s.Each(func(m []byte) bool {
		b.str(m)
		return true
	})
	return typeSet
}

func (b *Batch) zset(z *store.ZSet) valueType {
	if lp, ok := z.Listpack(); ok {
		b.raw(lp.Bytes())
		return typeZSetListpack
	}
	b.length(z.Len())
	// The highest score comes first, so that a reader always inserts at the head of its skip list.
	z.Range(0, z.Len(), true, func(m []byte, score float64) bool {
		b.str(m)
		b.float(score)
		return true
	})
	return typeZSet2
}

func (b *Batch) hash(h *store.Hash) valueType {
	if lp, ok := h.Listpack(); ok {
		b.raw(lp.Bytes())
		return typeHashListpack
	}
	b.length(h.Len())
	h.Each(func(f, v []byte) bool {
		b.str(f)
		b.str(v)
		return true
	})
	return typeHash
}
