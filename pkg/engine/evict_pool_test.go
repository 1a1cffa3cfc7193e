package engine

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"byor/pkg/store"

	"github.com/stretchr/testify/require"
)

// filled is a store with the keys 0 to n-1 in database 0; key i was used at second i.
func filled(n int) (*store.Store, scoring) {
	st := store.New(2)
	for i := range n {
		st.DB(0).Set(fmt.Append(nil, i), store.NewString([]byte("x"))).SetAccessSec(uint32(i))
	}
	return st, func(_ *store.DB, entry *store.Entry) int64 { return -int64(entry.AccessSec()) }
}

// Of whatever is sampled, in whatever order and however often, the pool keeps the best, each once.
func TestEvictPoolKeepsTheBest(t *testing.T) {
	st, score := filled(100)
	var p evictPool
	for range 3 {
		for _, i := range rand.Perm(100) {
			entry := st.DB(0).Held(fmt.Sprint(i))
			p.add(candidate{0, entry.Key(), score(nil, entry)})
		}
	}
	for i := range poolSize {
		_, entry := p.take(st, score)
		require.Equal(t, fmt.Sprint(i), entry.Key())
	}
	require.Zero(t, p.n)
}

// What the pool remembers keeps no value alive: an entry's key is a part of the entry.
func TestEvictPoolHoldsNoEntries(t *testing.T) {
	st, score := filled(1)
	entry := st.DB(0).Held("0")
	var p evictPool
	p.add(candidate{0, entry.Key(), score(nil, entry)})
	require.Equal(t, entry.Key(), p.items[0].key)
	require.NotSame(t, unsafe.StringData(entry.Key()), unsafe.StringData(p.items[0].key))
}

// What is gone by now, or was used since it was sampled, is not evicted.
func TestEvictPoolLooksAgain(t *testing.T) {
	st, score := filled(3)
	var p evictPool
	for i := range 3 {
		p.add(candidate{0, fmt.Sprint(i), -int64(i)})
	}
	st.DB(0).Held("0").SetAccessSec(50)
	st.DB(0).Delete([]byte("1"))
	for _, want := range []string{"", "", "2"} {
		_, entry := p.take(st, score)
		require.Equal(t, want != "", entry != nil)
		if entry != nil {
			require.Equal(t, want, entry.Key())
		}
	}
}

// The scores of one policy say nothing under another.
func TestEvictPoolForgetsUnderAnotherPolicy(t *testing.T) {
	var p evictPool
	p.under("allkeys-lru")
	p.add(candidate{0, "a", 1})
	p.under("allkeys-lru")
	require.Equal(t, 1, p.n)
	p.under("allkeys-lfu")
	require.Zero(t, p.n)
}

// A quarter of the keys goes. Samples of five alone would take some thirty from the better half; with what earlier
// samples have shown, it is hardly ever one.
func TestEvictionTakesTheLeastUsed(t *testing.T) {
	e, _ := newEngine(t)
	e.Settings = Settings{MaxMemoryPolicy: "allkeys-lru", MaxMemorySamples: 5}
	const n = 2000
	for i := range n {
		e.Store.DB(0).Set(fmt.Append(nil, i), store.NewString([]byte("x"))).SetAccessSec(uint32(i))
	}
	young := 0
	for range n / 4 {
		db, entry := e.victim()
		if entry.AccessSec() >= n/2 {
			young++
		}
		db.Remove(entry)
	}
	require.Less(t, young, 15)
	for range 3 * n / 4 {
		db, entry := e.victim()
		db.Remove(entry)
	}
	_, entry := e.victim()
	require.Nil(t, entry)
}
