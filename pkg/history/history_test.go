package history

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"byor/pkg/store"

	"github.com/stretchr/testify/require"
)

func TestParseRule(t *testing.T) {
	for text, want := range map[string]Rule{
		"room:*=1000":   {"room:*", 1000, 0},
		"a=b=3,1h30m":   {"a=b", 3, 90 * time.Minute},
		"_x=1,1s":       {"_x", 1, time.Second},
		"*=1000000,24h": {"*", 1000000, 24 * time.Hour},
	} {
		got, err := ParseRule(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
		again, err := ParseRule(got.String())
		require.NoError(t, err)
		require.Equal(t, want, again)
	}
	for text, why := range map[string]string{
		"": "is no rule", "room:*": "is no rule", "=5": "is no rule", "a=": "number of messages", "a=0": "number of messages", "a=-1": "number of messages",
		"a=1000001": "number of messages", "a=x": "number of messages", "a=1.5": "number of messages", "a=1,": "the age", "a=1,5": "the age",
		"a=1,-1h": "the age", "a=1,1ms": "the age", "a=1,1000000h": "the age", "__key*=5": "two underscores",
	} {
		_, err := ParseRule(text)
		require.ErrorContains(t, err, why, text)
	}
	rules, err := ParseRules(" a=1   b=2,3s ")
	require.NoError(t, err)
	require.Equal(t, []Rule{{"a", 1, 0}, {"b", 2, 3 * time.Second}}, rules)
	_, err = ParseRules(strings.Repeat("a=1 ", MaxRules+1))
	require.ErrorIs(t, err, ErrTooManyRules)
}

func TestFirstRuleCounts(t *testing.T) {
	k := New([]Rule{{Pattern: "room:vip", Max: 9}, {Pattern: "room:*", Max: 3}, {Pattern: "*", Max: 1}})
	for channel, want := range map[string]int64{"room:vip": 9, "room:1": 3, "x": 1, "_x": 1} {
		require.Equal(t, want, k.ruleOf([]byte(channel)).Max, channel)
	}
	require.False(t, k.Keeps("__keyspace@0__:x"))
	var none *Keeper
	require.False(t, none.Keeps("x"))
	require.Zero(t, none.Stats())
	none.Forget()
}

// What is kept beside the data has a bound: the channels that were quiet the longest go first, and a single one that is too
// much is cut.
func TestLocalIsBounded(t *testing.T) {
	l := local{limit: 20_000}
	r := &Rule{Max: 1000}
	payload := []byte(strings.Repeat("x", 1000))
	for i := range 40 {
		l.append(int64(1000+i), r, []byte(fmt.Sprint("c", i)), payload)
		l.append(int64(1000+i), r, []byte("c0"), []byte("busy"))
		require.LessOrEqual(t, l.bytes, l.limit)
	}
	require.True(t, l.has([]byte("c0")))
	require.True(t, l.has([]byte("c39")))
	require.False(t, l.has([]byte("c1")))
	require.Greater(t, len(l.channels), 5)
	for i := range 100 {
		l.append(int64(2000+i), r, []byte("big"), payload)
		require.LessOrEqual(t, l.bytes, l.limit+4000)
	}
	require.True(t, l.has([]byte("big")))
	require.Greater(t, l.find([]byte("big")).stream.Len(), 3)
	var sum int64
	for _, at := range l.channels {
		sum += at.Value.(*localStream).bytes
	}
	require.Equal(t, sum, l.bytes)
	require.Equal(t, l.recent.Len(), len(l.channels))
	l.forgetAll()
	require.Zero(t, l.bytes)
	require.Empty(t, l.channels)
	require.EqualValues(t, 20_000, l.limit)
}

// IDs of histories beside the data are given once, also when the clock goes back or channels are forgotten, and marks lie
// between them.
func TestLocalIDs(t *testing.T) {
	var l local
	r := &Rule{Max: 3}
	var last store.StreamID
	next := func(id store.StreamID) {
		t.Helper()
		require.True(t, last.Less(id), "%v after %v", id, last)
		last = id
	}
	next(l.append(1000, r, []byte("a"), nil))
	next(l.append(1000, r, []byte("b"), nil))
	next(l.append(900, r, []byte("a"), nil))
	next(l.mark(1000))
	require.True(t, isMark(last))
	next(l.append(1000, r, []byte("a"), nil))
	require.False(t, isMark(last))
	l.forgetAll()
	next(l.append(1000, r, []byte("a"), nil))
	next(l.mark(5000))
	next(l.append(5000, r, []byte("a"), nil))
	l.top.Seq = math.MaxUint64 - 1
	last = l.top
	next(l.append(5000, r, []byte("a"), nil))
	require.False(t, isMark(last))
}

// A mark is good for as long as nothing was forgotten since.
func TestMarkIsForgotten(t *testing.T) {
	k := New([]Rule{{Pattern: "*", Max: 3}})
	r := &k.rules[0]
	k.local.start(1000)
	require.False(t, k.whole(nil, store.StreamID{Ms: 999, Seq: math.MaxUint64}, true), "a mark of the process before")
	first := k.local.mark(1000)
	require.True(t, k.whole(nil, first, true))
	k.local.append(1001, r, []byte("a"), []byte("x"))
	require.True(t, k.whole(k.local.find([]byte("a")).stream, first, true))
	k.local.forget([]byte("a"))
	require.False(t, k.whole(nil, first, true), "there was a message")
	second := k.local.mark(1002)
	require.True(t, k.whole(nil, second, true))
	k.local.append(1003, r, []byte("a"), []byte("y"))
	require.False(t, k.whole(k.local.find([]byte("a")).stream, first, true))
	require.True(t, k.whole(k.local.find([]byte("a")).stream, second, true))
	k.local.forgetAll()
	k.local.append(1004, r, []byte("a"), []byte("z"))
	require.False(t, k.whole(k.local.find([]byte("a")).stream, second, true), "a new data set: nobody knows")
}
