package server

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"byor/pkg/config"
	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

func TestParsePlain(t *testing.T) {
	for text, want := range map[string]Plain{
		"": {}, "touch=no": {Touch: true}, "clock=no,wait=no": {Clock: true, Wait: true}, "wait=no touch=yes, clock=no": {Clock: true, Wait: true},
	} {
		got, err := ParsePlain(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"touch", "touch=maybe", "speed=no", "touch=no,nosuch=no"} {
		_, err := ParsePlain(text)
		require.ErrorContains(t, err, "is not one of clock, touch and wait", text)
	}
}

// startPlain is startServer without parts of the fast path.
func startPlain(t *testing.T, plain Plain, options ...string) string {
	cfg := config.Default()
	require.NoError(t, cfg.ParseArgs(append([]string{"--port", "0", "--save", "", "--dir", t.TempDir()}, options...)))
	return second(startWith(t, cfg, Options{Plain: plain}))
}

// The fast path changes how long something takes, and nothing else: long pipelines over large collections, with other
// databases, transactions and faults among them, get the same replies with each part of it and without.
func TestFastPathChangesNoReply(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var wire []byte
	n := 0
	add := func(words ...string) {
		wire = resp.AppendCommandStrings(wire, words...)
		n++
	}
	for range 6000 {
		key, elem := fmt.Sprint("k", r.IntN(3000)), fmt.Sprint("e", r.IntN(3000))
		switch r.IntN(16) {
		case 0, 1, 2:
			add("SET", key, elem)
		case 3, 4:
			add("GET", key)
		case 5:
			add("SADD", "set", elem, key)
		case 6:
			add("HSET", "hash", elem, key)
		case 7:
			add("ZADD", "zset", "1", elem)
		case 8:
			add("HGET", "hash", elem)
		case 9:
			add("MSET", key, elem, elem, key, "a", "b", "c", "d", "e", "f")
		case 10:
			add("LPUSH", "list", elem)
		case 11:
			add("RPOP", "list")
		case 12:
			add("SELECT", fmt.Sprint(r.IntN(2)))
		case 13:
			add("ZSCORE", key, elem) // which is mostly of another type, or absent
		case 14:
			add("MULTI")
			add("INCR", "n")
			add("EXEC")
		case 15:
			add("NOSUCH", key)
		}
	}
	var want []string
	for _, plain := range []Plain{{}, {Clock: true}, {Touch: true}, {Wait: true}, {true, true, true}} {
		c := dial(t, startPlain(t, plain))
		go c.conn.Write(wire)
		got := make([]string, n)
		for i := range got {
			got[i] = show(c.read())
		}
		if want == nil {
			want = got
		}
		require.Equal(t, want, got, "%+v", plain)
	}
}

// A loop that waits and keeps its P stands in nobody's way: the collector stops it, and goroutines go on.
func TestLoopsThatWaitStopForTheCollector(t *testing.T) {
	addrs := []string{startPlain(t, Plain{}, "--io-threads", "1"), startPlain(t, Plain{}, "--io-threads", "3")}
	var clients sync.WaitGroup
	for i := range 8 {
		c := dial(t, addrs[i%2])
		clients.Go(func() {
			for range 200 {
				c.want("PING", "+PONG")
				runtime.Gosched()
			}
		})
	}
	for range 50 {
		runtime.GC()
	}
	clients.Wait()
}
