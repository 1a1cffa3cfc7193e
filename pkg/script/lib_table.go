package script

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// The table library (ltablib.c).

func (s *state) openTable() {
	s.library("table", map[string]lua.LGFunction{
		"concat": s.tableConcat, "foreach": s.tableForeach, "foreachi": s.tableForeachi, "getn": s.tableGetn,
		"insert": s.tableInsert, "maxn": s.tableMaxn, "remove": s.tableRemove, "setn": s.tableSetn, "sort": s.tableSort,
	})
}

// length is the operator # of Lua 5.1: a border of the table. gopher-lua keeps integer keys up to
// lua.MaxArrayIndex in a list; what comes after is found as Lua finds what is not in its list.
func length(t *lua.LTable) int {
	n := t.Len()
	if n < lua.MaxArrayIndex-1 {
		return n
	}
	end := n + 1
	for t.RawGet(lua.LNumber(end)) != lua.LNil {
		n, end = end, end*2
	}
	for end-n > 1 {
		if middle := (n + end) / 2; t.RawGet(lua.LNumber(middle)) == lua.LNil {
			end = middle
		} else {
			n = middle
		}
	}
	return n
}

func rawGet(t *lua.LTable, i int) lua.LValue {
	if i > 0 && i < lua.MaxArrayIndex {
		return t.RawGetInt(i)
	}
	return t.RawGet(lua.LNumber(i))
}

func rawSet(t *lua.LTable, i int, v lua.LValue) {
	if i > 0 && i < lua.MaxArrayIndex {
		t.RawSetInt(i, v)
		return
	}
	t.RawSet(lua.LNumber(i), v)
}

func (s *state) tableGetn(L *lua.LState) int {
	L.Push(lua.LNumber(length(s.contents(s.checkTable(L, 1)))))
	return 1
}

func (s *state) tableSetn(L *lua.LState) int {
	s.checkTable(L, 1)
	s.throw(L, "'setn' is obsolete")
	return 0
}

func (s *state) tableMaxn(L *lua.LState) int {
	max := lua.LNumber(0)
	s.contents(s.checkTable(L, 1)).ForEach(func(k, _ lua.LValue) {
		if n, ok := k.(lua.LNumber); ok && n > max {
			max = n
		}
	})
	L.Push(max)
	return 1
}

func (s *state) tableInsert(L *lua.LState) int {
	t := s.checkTable(L, 1)
	e := length(s.contents(t)) + 1
	switch L.GetTop() {
	case 2:
		rawSet(s.toChange(L, t), e, L.Get(2))
	case 3:
		at := s.checkInt(L, 2)
		s.toChange(L, t)
		if at > e {
			e = at
		}
		if at == e || at < 1 || e >= lua.MaxArrayIndex {
			for i := e; i > at; i-- {
				rawSet(t, i, rawGet(t, i-1))
			}
			rawSet(t, at, L.Get(3))
		} else {
			insertInto(t, at, e, L.Get(3))
		}
	default:
		s.throw(L, "wrong number of arguments to 'insert'")
	}
	return 0
}

// insertInto moves the elements from at up by one; the last comes to e.
func insertInto(t *lua.LTable, at, e int, v lua.LValue) {
	for i := e; i > at; i-- {
		t.RawSetInt(i, t.RawGetInt(i-1))
	}
	t.RawSetInt(at, v)
}

func (s *state) tableRemove(L *lua.LState) int {
	t := s.checkTable(L, 1)
	e := length(s.contents(t))
	at := s.optInt(L, 2, e)
	if at < 1 || at > e {
		return 0
	}
	removed := rawGet(s.contents(t), at)
	s.toChange(L, t)
	for ; at < e; at++ {
		rawSet(t, at, rawGet(t, at+1))
	}
	rawSet(t, e, lua.LNil)
	L.Push(removed)
	return 1
}

func (s *state) tableConcat(L *lua.LState) int {
	t := s.contents(s.checkTable(L, 1))
	sep := s.optString(L, 2, "")
	i := s.optInt(L, 3, 1)
	last := s.optInt(L, 4, -1)
	if L.Get(4) == lua.LNil {
		last = length(t)
	}
	var b strings.Builder
	charged := 0
	for ; i <= last; i++ {
		v := rawGet(t, i)
		switch v := v.(type) {
		case lua.LString:
			b.WriteString(string(v))
		case lua.LNumber:
			b.WriteString(formatNumber(float64(v)))
		default:
			s.throw(L, "invalid value (%s) at index %d in table for 'concat'", v.Type(), i)
		}
		if i == last {
			break
		}
		b.WriteString(sep)
		if b.Len() > charged+lookEvery {
			s.charge(L, 2*b.Len())
			charged = b.Len()
		}
	}
	s.charge(L, b.Len())
	L.Push(lua.LString(b.String()))
	return 1
}

func (s *state) tableForeach(L *lua.LState) int {
	t, f := s.contents(s.checkTable(L, 1)), s.checkFunction(L, 2)
	for k, v := t.Next(lua.LNil); k != lua.LNil; k, v = t.Next(k) {
		if r := s.callValue(L, f, k, v); r != lua.LNil {
			L.Push(r)
			return 1
		}
	}
	return 0
}

func (s *state) tableForeachi(L *lua.LState) int {
	t, f := s.contents(s.checkTable(L, 1)), s.checkFunction(L, 2)
	for i, n := 1, length(t); i <= n; i++ {
		if r := s.callValue(L, f, lua.LNumber(i), rawGet(t, i)); r != lua.LNil {
			L.Push(r)
			return 1
		}
	}
	return 0
}

// sorter sorts as Lua's auxsort does, with the same comparisons in the same order: a comparison function
// that contradicts itself is found out where Lua finds it out.
type sorter struct {
	s    *state
	L    *lua.LState
	t    *lua.LTable
	less lua.LValue
}

func (s *state) tableSort(L *lua.LState) int {
	t := s.checkTable(L, 1)
	if s.behind[t] != nil {
		return 0 // of our protected tables none has elements to sort
	}
	x := sorter{s, L, t, lua.LNil}
	if L.GetTop() >= 2 && L.Get(2) != lua.LNil {
		x.less = s.checkFunction(L, 2)
	}
	L.SetTop(2)
	x.sort(1, length(t))
	return 0
}

func (x sorter) get(i int) lua.LValue    { return rawGet(x.t, i) }
func (x sorter) set(i int, v lua.LValue) { rawSet(x.t, i, v) }

func (x sorter) swap(i, j int, a, b lua.LValue) {
	x.set(i, b)
	x.set(j, a)
}

func (x sorter) lt(a, b lua.LValue) bool {
	if x.less != lua.LNil {
		return lua.LVAsBool(x.s.callValue(x.L, x.less, a, b))
	}
	switch v := a.(type) {
	case lua.LNumber:
		if w, ok := b.(lua.LNumber); ok {
			return v < w
		}
	case lua.LString:
		if w, ok := b.(lua.LString); ok {
			return v < w
		}
	}
	if v, ok := a.(*lua.LTable); ok {
		if w, ok := b.(*lua.LTable); ok && v.Metatable != lua.LNil && w.Metatable != lua.LNil {
			f := v.Metatable.(*lua.LTable).RawGetString("__lt")
			if f != lua.LNil && f == w.Metatable.(*lua.LTable).RawGetString("__lt") {
				return lua.LVAsBool(x.s.callValue(x.L, f, a, b))
			}
		}
	}
	ta, tb := a.Type().String(), b.Type().String()
	if ta == tb {
		x.s.throwPlain(x.L, "attempt to compare two "+ta+" values")
	}
	x.s.throwPlain(x.L, "attempt to compare "+ta+" with "+tb)
	return false
}

func (x sorter) sort(lo, up int) {
	for lo < up {
		if a, b := x.get(lo), x.get(up); x.lt(b, a) {
			x.swap(lo, up, a, b)
		}
		if up-lo == 1 {
			return
		}
		i := (lo + up) / 2
		if a, b := x.get(i), x.get(lo); x.lt(a, b) {
			x.swap(i, lo, a, b)
		} else if b = x.get(up); x.lt(b, a) {
			x.swap(i, up, a, b)
		}
		if up-lo == 2 {
			return
		}
		pivot := x.get(i)
		x.swap(i, up-1, pivot, x.get(up-1))
		i = x.partition(lo, up, pivot)
		if i-lo < up-i {
			x.sort(lo, i-1)
			lo = i + 1
		} else {
			x.sort(i+1, up)
			up = i - 1
		}
	}
}

// partition puts what is less than pivot, which stands at up-1, before it and returns its place.
func (x sorter) partition(lo, up int, pivot lua.LValue) int {
	i, j := lo, up-1
	for {
		var a, b lua.LValue
		for {
			i++
			if a = x.get(i); !x.lt(a, pivot) {
				break
			}
			if i > up {
				x.s.throw(x.L, "invalid order function for sorting")
			}
		}
		for {
			j--
			if b = x.get(j); !x.lt(pivot, b) {
				break
			}
			if j < lo {
				x.s.throw(x.L, "invalid order function for sorting")
			}
		}
		if j < i {
			break
		}
		x.swap(i, j, a, b)
	}
	x.swap(up-1, i, x.get(up-1), x.get(i))
	return i
}
