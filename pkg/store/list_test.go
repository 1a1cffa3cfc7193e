package store

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// setLimit changes a limit for the length of a test.
func setLimit(t *testing.T, limit interface {
	Load() int64
	Store(int64)
}, n int64) {
	old := limit.Load()
	limit.Store(n)
	t.Cleanup(func() { limit.Store(old) })
}

func listSlice(l *List) [][]byte {
	var out [][]byte
	l.Each(func(b []byte) bool { out = append(out, bytes.Clone(b)); return true })
	return out
}

// checkList compares the list with the model, and its books with what is there.
func checkList(t *testing.T, l *List, model [][]byte) {
	require.Equal(t, len(model), l.Len())
	require.True(t, slices.EqualFunc(model, listSlice(l), bytes.Equal))
	var back [][]byte
	for n := l.tail; n != nil; n = n.prev {
		for p := n.last(); p >= 0; p = n.before(p) {
			back = append(back, bytes.Clone(n.elem(p).Bytes()))
		}
	}
	slices.Reverse(back)
	require.True(t, slices.EqualFunc(model, back, bytes.Equal))
	var mem int64
	var prev *listNode
	for n := l.head; n != nil; n = n.next {
		require.Same(t, prev, n.prev)
		mem += listNodeBytes + n.memBytes()
		if !n.plain() {
			require.Equal(t, n.n, n.lp.len())
			require.Positive(t, n.n)
		}
		prev = n
	}
	require.Same(t, prev, l.tail)
	require.Equal(t, mem, l.mem)
}

func TestListAgainstASlice(t *testing.T) {
	for seed, fill := range []int64{-2, -2, 1, 3, 10, -1, -2, 128} {
		setLimit(t, &Encodings.ListMaxListpackSize, fill)
		setLimit(t, &Encodings.ListPackedThreshold, []int64{1 << 30, 60}[seed%2])
		r := testRand(uint64(seed))
		longest := []int{8, 100, 3000}[seed%3]
		l := NewList()
		var model [][]byte
		for step := range 3000 {
			listStep(t, r, l, &model, longest)
			if step%100 == 0 {
				checkList(t, l, model)
			}
		}
		checkList(t, l, model)
		checkList(t, l.Clone().(*List), model)
		copied := NewList()
		l.EachNode(func(b []byte, plain bool) bool {
			if plain {
				copied.AppendPlain(bytes.Clone(b))
				return true
			}
			lp, err := ParseListpack(bytes.Clone(b))
			require.NoError(t, err)
			copied.AppendListpack(lp)
			return true
		})
		checkList(t, copied, model)
		require.Equal(t, l.Nodes(), copied.Nodes())
		for len(model) > 0 {
			require.Equal(t, model[0], l.PopHead())
			model = model[1:]
		}
		checkList(t, l, nil)
		require.Equal(t, NewList().MemBytes(), l.MemBytes())
		require.Nil(t, l.PopHead())
		require.Nil(t, l.PopTail())
	}
}

func listStep(t *testing.T, r *rand.Rand, l *List, model *[][]byte, longest int) {
	m, v := *model, randomElement(r, longest)
	i := 0
	if len(m) > 0 {
		i = r.IntN(len(m))
		if r.IntN(4) == 0 {
			v = m[i]
		}
	}
	switch op := r.IntN(16); {
	case op < 3 || len(m) == 0:
		l.PushTail(v)
		m = append(m, v)
	case op < 6:
		l.PushHead(v)
		m = slices.Insert(m, 0, v)
	case op == 6:
		require.Equal(t, m[0], l.PopHead())
		m = m[1:]
	case op == 7:
		require.Equal(t, m[len(m)-1], l.PopTail())
		m = m[:len(m)-1]
	case op < 10:
		m = checkInsert(t, l, m, m[i], v, op == 8)
	case op == 10:
		require.True(t, l.Set(i, v))
		m[i] = v
	case op == 11:
		n := 1 + r.IntN(5)
		got := l.Delete(i, n)
		require.Equal(t, min(n, len(m)-i), got)
		m = slices.Delete(m, i, i+got)
	case op == 12:
		m = checkRemove(t, l, m, m[i], r.IntN(5)-2)
	case op == 13:
		checkFind(t, l, m, m[i], r.IntN(2) == 0, r.IntN(len(m)+2))
	case op == 14 && r.IntN(30) == 0: // what LTRIM does
		stop := min(len(m)-1, i+r.IntN(len(m)))
		l.Delete(stop+1, l.Len())
		l.Delete(0, i)
		m = slices.Clone(m[i : stop+1])
	default:
		got, ok := l.Index(i - len(m))
		require.True(t, ok)
		require.Equal(t, m[i], got)
	}
	*model = m
}

func checkInsert(t *testing.T, l *List, m [][]byte, pivot, v []byte, after bool) [][]byte {
	at := slices.IndexFunc(m, func(b []byte) bool { return bytes.Equal(b, pivot) })
	require.True(t, l.Insert(pivot, v, after))
	if after {
		at++
	}
	return slices.Insert(m, at, v)
}

func checkRemove(t *testing.T, l *List, m [][]byte, v []byte, count int) [][]byte {
	var out [][]byte
	removed := 0
	keep := func(b []byte) bool {
		if bytes.Equal(b, v) && (count == 0 || removed < max(count, -count)) {
			removed++
			return false
		}
		return true
	}
	if count < 0 {
		slices.Reverse(m)
	}
	for _, b := range m {
		if keep(b) {
			out = append(out, b)
		}
	}
	if count < 0 {
		slices.Reverse(out)
	}
	require.Equal(t, removed, l.Remove(count, bytes.Clone(v)))
	return out
}

func checkFind(t *testing.T, l *List, m [][]byte, v []byte, reverse bool, maxLen int) {
	var got, want []int
	l.Find(v, reverse, maxLen, func(i int) bool { got = append(got, i); return true })
	for k := range m {
		i := k
		if reverse {
			i = len(m) - 1 - k
		}
		if bytes.Equal(m[i], v) && (maxLen == 0 || k < maxLen) {
			want = append(want, i)
		}
	}
	require.Equal(t, want, got)
}

func TestListOutOfRange(t *testing.T) {
	l := NewList()
	_, ok := l.Index(0)
	require.False(t, ok)
	require.False(t, l.Set(0, []byte("x")))
	require.False(t, l.Insert([]byte("x"), []byte("y"), true))
	require.Zero(t, l.Delete(0, 5))
	l.PushTail([]byte("a"))
	for _, i := range []int{1, -2} {
		_, ok = l.Index(i)
		require.False(t, ok)
	}
	l.RangeElem(0, 0, func(Elem) bool { t.Fatal("asked for nothing"); return false })
	require.Equal(t, 1, l.Delete(0, 5))
	require.Zero(t, l.Len())
}

// TestListInsertionsKeepNodesFull shows that insertions in the middle do not leave small nodes.
func TestListInsertionsKeepNodesFull(t *testing.T) {
	r := testRand(1)
	l := NewList()
	l.PushTail([]byte("pivot"))
	for range 10000 {
		l.PushTail(randomElement(r, 20))
	}
	for range 5000 {
		require.True(t, l.Insert([]byte("pivot"), []byte("0123456789"), r.IntN(2) == 0))
	}
	var bytesIn int
	l.EachNode(func(b []byte, _ bool) bool { bytesIn += len(b); return true })
	require.Less(t, l.Nodes(), bytesIn/4096+2)
}

// A node that follows a full one takes little until it is filled, and is as long as others then: pushing and
// popping where a node ends must not cost a whole node each time.
func TestListNodeGrowsAtTheEnds(t *testing.T) {
	for _, head := range []bool{true, false} {
		l, push := NewList(), (*List).PushTail
		if head {
			push = (*List).PushHead
		}
		for push(l, []byte("0")); l.head == l.tail; push(l, []byte("0")) {
		}
		whole := l.MemBytes()
		require.Less(t, whole, int64(8192*5/4+8192/8))
		l.DropEnd(head)
		require.Equal(t, l.head, l.tail)
		for i := range 20_000 {
			push(l, []byte(strings.Repeat("x", i%9)))
		}
		for n := l.head; n != nil; n = n.next {
			require.LessOrEqual(t, int(n.lp.cap), 8192*5/4)
			if n != l.head && n != l.tail {
				require.Greater(t, n.lp.size(), 8192-32)
			}
		}
		for l.Len() > 1 { // and pops at the same end find what was pushed
			l.DropEnd(head)
		}
		require.Equal(t, "0", string(l.End(head).Bytes()))
	}
}
