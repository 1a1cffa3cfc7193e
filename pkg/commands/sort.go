package commands

import (
	"bytes"
	"math"
	"math/big"
	"slices"

	"byor/pkg/engine"
	"byor/pkg/store"
)

func init() {
	engine.Register("generic", []engine.Command{
		{Name: "sort", Arity: -2, Flags: engine.Write | engine.DenyOOM | engine.MovableKeys, Keys: engine.At(1, 1, 1), KeysOf: sortKeys, Handler: cmdSort},
		{Name: "sort_ro", Arity: -2, Flags: engine.ReadOnly | engine.MovableKeys, Keys: engine.At(1, 1, 1), Handler: cmdSort},
	})
}

// sortKeys finds the key behind STORE, too. Those that BY and GET read depend on the data.
func sortKeys(args [][]byte) []int {
	pos := []int{1}
	for i := 2; i < len(args); i++ {
		switch a := args[i]; {
		case engine.IsWord(a, "limit"):
			i += 2
		case engine.IsWord(a, "get") || engine.IsWord(a, "by"):
			i++
		case engine.IsWord(a, "store") && i+1 < len(args):
			i++
			pos = append(pos[:1], i)
		}
	}
	return pos
}

// sorting is a parsed SORT.
type sorting struct {
	desc, alpha bool
	offset      int64
	count       int64  // -1: all
	by          []byte // nil: the elements themselves
	unsorted    bool   // BY a pattern without "*"
	gets        [][]byte
	dest        []byte // nil: the elements are replied
}

func parseSort(c *engine.Call) (o sorting, ok bool) {
	o.count = -1
	for i := 2; i < len(c.Args); i++ {
		left := len(c.Args) - i - 1
		switch {
		case c.Is(i, "asc"):
			o.desc = false
		case c.Is(i, "desc"):
			o.desc = true
		case c.Is(i, "alpha"):
			o.alpha = true
		case c.Is(i, "limit") && left >= 2:
			if o.offset, ok = c.IntArg(i + 1); !ok {
				return o, false
			}
			if o.count, ok = c.IntArg(i + 2); !ok {
				return o, false
			}
			i += 2
		case c.Is(i, "store") && left >= 1 && c.Cmd.Name == "sort":
			i++
			o.dest = c.Args[i]
		case c.Is(i, "by") && left >= 1:
			i++
			o.by = c.Args[i]
			o.unsorted = bytes.IndexByte(o.by, '*') < 0
			if !o.unsorted && !c.ReadsAnyKey() {
				c.Fail("ERR BY option of SORT denied due to insufficient ACL permissions.")
				return o, false
			}
		case c.Is(i, "get") && left >= 1:
			i++
			if !c.ReadsAnyKey() {
				c.Fail("ERR GET option of SORT denied due to insufficient ACL permissions.")
				return o, false
			}
			o.gets = append(o.gets, c.Args[i])
		default:
			c.Fail(engine.ErrSyntax)
			return o, false
		}
	}
	return o, true
}

// window returns which of n elements LIMIT leaves: from start on, up to but without end.
func (o *sorting) window(n int) (start, end int) {
	size := int64(n)
	from := min(max(o.offset, 0), size)
	count := min(max(o.count, -1), size)
	if count < 0 || from+count > size {
		return int(from), n
	}
	return int(from), int(from + count)
}

// sortItem is an element and what it is sorted by.
type sortItem struct {
	elem   []byte
	score  float64
	weight []byte // with ALPHA
	absent bool   // with ALPHA and BY: there is no such key
}

func cmdSort(c *engine.Call) {
	o, ok := parseSort(c)
	if !ok {
		return
	}
	items, isSet, ok := sortItems(c)
	if !ok {
		return
	}
	if o.unsorted && isSet && (o.dest != nil || c.Session().Has(engine.ModeScript)) {
		// A set has no order of its own, and what is stored, or what a script may store, must be the same everywhere.
		o.unsorted, o.alpha, o.by = false, true, nil
	}
	if o.unsorted {
		if o.desc && !isSet {
			slices.Reverse(items)
		}
	} else {
		if !weigh(c, &o, items) {
			c.Fail("ERR One or more scores can't be converted into double")
			return
		}
		slices.SortStableFunc(items, o.compare)
	}
	start, end := o.window(len(items))
	items = items[start:end]
	if o.dest != nil {
		sortStore(c, &o, items)
		return
	}
	c.Reply.Array(len(items) * max(1, len(o.gets)))
	for _, it := range items {
		if len(o.gets) == 0 {
			c.Reply.Bulk(it.elem)
		}
		for _, pattern := range o.gets {
			if b, ok := sortLookup(c, pattern, it.elem); ok {
				c.Reply.Bulk(b)
			} else {
				c.Reply.Null()
			}
		}
	}
}

// sortItems returns the elements of the list, set or sorted set to be sorted.
func sortItems(c *engine.Call) (items []sortItem, isSet, ok bool) {
	e := c.DB.Lookup(c.Args[1])
	if !c.Found(c.Args[1], e != nil) {
		return nil, false, true
	}
	add := func(b []byte) bool {
		items = append(items, sortItem{elem: append([]byte{}, b...)})
		return true
	}
	switch v := e.Value().(type) {
	case *store.List:
		v.Each(add)
	case *store.Set:
		isSet = true
		v.Each(add)
	case *store.ZSet:
		v.Each(func(m []byte, _ float64) bool { return add(m) })
		v.Unpack() // as Redis does, which OBJECT ENCODING shows
		c.DB.Changed(e)
	default:
		c.Fail(engine.ErrWrongType)
		return nil, false, false
	}
	return items, isSet, true
}

// weigh finds out what each element is sorted by. It reports false when that should be a number and
// is none; an absent one counts as 0.
func weigh(c *engine.Call, o *sorting, items []sortItem) bool {
	numbers := true
	for i := range items {
		it := &items[i]
		it.weight = it.elem
		if o.by != nil {
			b, ok := sortLookup(c, o.by, it.elem)
			if !ok {
				it.weight, it.absent = nil, true
				continue
			}
			it.weight = b
		}
		if !o.alpha {
			weight := engine.CString(it.weight)
			f, n, outOfRange := engine.Strtod(string(weight))
			it.score = f
			numbers = numbers && n == len(weight) && !outOfRange && !math.IsNaN(f) && !underflows(weight, f)
		}
	}
	return numbers
}

func (o *sorting) compare(a, b sortItem) int {
	if o.desc {
		a, b = b, a
	}
	switch {
	case o.alpha && a.absent != b.absent:
		return btoi(b.absent) - btoi(a.absent)
	case o.alpha:
		return bytes.Compare(a.weight, b.weight)
	case a.score < b.score:
		return -1
	case a.score > b.score:
		return 1
	}
	return bytes.Compare(a.elem, b.elem)
}

// sortLookup returns the string that pattern names with elem in place of its first "*": "#" is the
// element, "key_*" a string, "key_*->field" a field of a hash.
func sortLookup(c *engine.Call, pattern, elem []byte) ([]byte, bool) {
	if string(pattern) == "#" {
		return elem, true
	}
	prefix, rest, found := bytes.Cut(pattern, []byte("*"))
	if !found {
		return nil, false
	}
	postfix, field, isHash := bytes.Cut(rest, []byte("->"))
	if isHash && len(field) == 0 {
		postfix, isHash = rest, false
	}
	key := slices.Concat(prefix, elem, postfix)
	e := c.DB.Lookup(key)
	if !c.Found(key, e != nil) {
		return nil, false
	}
	if isHash {
		if h, ok := e.Value().(*store.Hash); ok {
			return h.Get(field)
		}
		return nil, false
	}
	if v, ok := e.Value().(*store.String); ok {
		return v.View(), true
	}
	return nil, false
}

// sortStore makes a list of the result.
func sortStore(c *engine.Call, o *sorting, items []sortItem) {
	l := store.NewList()
	for _, it := range items {
		if len(o.gets) == 0 {
			l.PushTail(it.elem)
		}
		for _, pattern := range o.gets {
			b, _ := sortLookup(c, pattern, it.elem)
			l.PushTail(b)
		}
	}
	if l.Len() == 0 {
		c.Del(o.dest)
	} else {
		c.As(engine.ClassList, "sortstore").Set(o.dest, l)
		c.Counts(l.Len())
	}
	c.Reply.Int(int64(l.Len()))
}

// underflows reports whether C's strtod, which read f from b, also says that it lost digits because f is
// so small. SORT minds that, nobody else does.
func underflows(b []byte, f float64) bool {
	const smallestNormal = 0x1p-1022
	if f == 0 || math.Abs(f) >= smallestNormal {
		return false
	}
	exact, ok := new(big.Rat).SetString(string(bytes.TrimSpace(b)))
	return !ok || exact.Cmp(new(big.Rat).SetFloat64(f)) != 0
}
