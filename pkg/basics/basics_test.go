package basics

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/resp"
	"byor/pkg/store"
)

const nowMs = 1_700_000_000_000

var handlers = map[string]Handler{
	"get": Get, "set": Set, "del": Del, "exists": Exists, "incr": Incr, "dbsize": DBSize, "flushall": FlushAll, "persist": Persist,
	"expire": Expire, "pexpire": Expire, "expireat": Expire, "pexpireat": Expire, "ttl": TTL, "pttl": TTL,
}

// do executes line on db and returns the reply on the wire, or the error, and the effect as a line.
func do(db *store.DB, line string) (reply, effect string) {
	args := bytes.Fields([]byte(line))
	w := resp.NewWriter(nil)
	e, err := handlers[strings.ToLower(string(args[0]))](db, w, args)
	if err != nil {
		return "-" + err.Error() + string(w.Buf), string(bytes.Join(e, []byte(" ")))
	}
	return strings.TrimSuffix(string(w.Buf), "\r\n"), string(bytes.Join(e, []byte(" ")))
}

const (
	notInteger = "-ERR value is not an integer or out of range"
	badSet     = "-ERR invalid expire time in 'set' command"
	syntax     = "-ERR syntax error"
)

// script is executed from top to bottom; the clock stands still. The replies are those of Redis.
var script = []struct{ line, reply, effect string }{
	{"GET a", "$-1", ""},
	{"SET a 1", "+OK", "SET a 1"},
	{"GET a", "$1\r\n1", ""},
	{"INCR a", ":2", "INCR a"},
	{"INCR n", ":1", "INCR n"},
	{"SET s text", "+OK", "SET s text"},
	{"INCR s", notInteger, ""},
	{"SET big 9223372036854775807", "+OK", "SET big 9223372036854775807"},
	{"INCR big", "-ERR increment or decrement would overflow", ""},
	{"GET big", "$19\r\n9223372036854775807", ""},
	{"SET a 5 NX", "$-1", ""},
	{"SET z 5 XX", "$-1", ""},
	{"SET a 5 xx", "+OK", "SET a 5 xx"},
	{"SET a 5 NX XX", syntax, ""},
	{"SET a 5 EX", syntax, ""},
	{"SET a 5 EX 100 KEEPTTL", syntax, ""},
	{"SET a 5 EX 100 PX 100", syntax, ""},
	{"SET a 5 EX x", notInteger, ""},
	{"SET a 5 EX 0", badSet, ""},
	{"SET a 5 EX 9223372036854775807", badSet, ""},
	{"SET a 5 PX 9223372036854775807", badSet, ""},
	{"TTL a", ":-1", ""},
	{"TTL none", ":-2", ""},
	{"PTTL none", ":-2", ""},
	{"SET e 1 EX 100", "+OK", "SET e 1 PXAT 1700000100000"},
	{"TTL e", ":100", ""},
	{"PTTL e", ":100000", ""},
	{"SET e 2 KEEPTTL", "+OK", "SET e 2 KEEPTTL"},
	{"TTL e", ":100", ""},
	{"SET e 3", "+OK", "SET e 3"},
	{"TTL e", ":-1", ""},
	{"SET e 4 PX 1500", "+OK", "SET e 4 PXAT 1700000001500"},
	{"TTL e", ":2", ""},
	{"EXPIRE e 50", ":1", "PEXPIREAT e 1700000050000"},
	{"PEXPIRE e 70000", ":1", "PEXPIREAT e 1700000070000"},
	{"EXPIREAT e 1700000060", ":1", "PEXPIREAT e 1700000060000"},
	{"PEXPIREAT e 1700000061000", ":1", "PEXPIREAT e 1700000061000"},
	{"TTL e", ":61", ""},
	{"PERSIST e", ":1", "PERSIST e"},
	{"PERSIST e", ":0", ""},
	{"PERSIST none", ":0", ""},
	{"EXPIRE none 5", ":0", ""},
	{"EXPIRE e x", notInteger, ""},
	{"EXPIRE e x NX", "-ERR Unsupported option NX", ""},
	{"EXPIRE e 9223372036854775807", "-ERR invalid expire time in 'expire' command", ""},
	{"PEXPIRE e 9223372036854775807", "-ERR invalid expire time in 'pexpire' command", ""},
	{"SET f 1 EXAT 32503680000", "+OK", "SET f 1 PXAT 32503680000000"},
	{"SET f 1 PXAT 32503680001000", "+OK", "SET f 1 PXAT 32503680001000"},
	{"EXPIRE n -1", ":1", "DEL n"},
	{"EXISTS n", ":0", ""},
	{"EXISTS a a none", ":2", ""},
	{"DEL s none", ":1", "DEL s none"},
	{"DEL s", ":0", ""},
	{"DBSIZE", ":4", ""},
	{"FLUSHALL ASYNC", "+OK", "FLUSHALL ASYNC"},
	{"DBSIZE", ":0", ""},
}

func TestScript(t *testing.T) {
	data := store.New(2)
	data.SetNow(nowMs)
	for i, s := range script {
		reply, effect := do(data.DB(0), s.line)
		require.Equal(t, s.reply, reply, "%d: %s", i, s.line)
		require.Equal(t, s.effect, effect, "%d: %s", i, s.line)
	}
}

// The effects alone, executed at another time, make the same data.
func TestEffectsMeanTheSameLater(t *testing.T) {
	first, second := store.New(1), store.New(1)
	first.SetNow(nowMs)
	second.SetNow(nowMs + 5000)
	second.Expiry = store.KeepExpired          // as when a log is loaded
	for _, s := range script[:len(script)-2] { // without FLUSHALL
		if _, effect := do(first.DB(0), s.line); effect != "" {
			do(second.DB(0), effect)
		}
	}
	first.SetNow(nowMs + 5000)
	require.Equal(t, 4, second.DB(0).Len())
	first.DB(0).Each(func(e *store.Entry) bool {
		for _, ask := range []string{"GET ", "PTTL "} {
			want, _ := do(first.DB(0), ask+e.Key())
			got, _ := do(second.DB(0), ask+e.Key())
			require.Equal(t, want, got, ask+e.Key())
		}
		return true
	})
}

// While a log is loaded, a deadline that has passed is kept: the log says DEL when it is time.
func TestPastDeadlineWhileLoading(t *testing.T) {
	data := store.New(1)
	data.SetNow(nowMs)
	data.Expiry = store.KeepExpired
	do(data.DB(0), "SET k v")
	_, effect := do(data.DB(0), "PEXPIREAT k 1")
	require.Equal(t, "PEXPIREAT k 1", effect)
	require.Equal(t, 1, data.DB(0).Len())
}

func TestOtherTypesAreRefused(t *testing.T) {
	data := store.New(1)
	data.DB(0).Set([]byte("l"), store.NewList())
	for _, line := range []string{"GET l", "INCR l"} {
		reply, effect := do(data.DB(0), line)
		require.Equal(t, "-WRONGTYPE Operation against a key holding the wrong kind of value", reply, line)
		require.Empty(t, effect, line)
	}
}

func TestFlushAllEmptiesEveryDatabase(t *testing.T) {
	data := store.New(2)
	do(data.DB(1), "SET k v")
	do(data.DB(0), "FLUSHALL")
	require.Zero(t, data.DB(1).Len())
}

func TestSelect(t *testing.T) {
	data := store.New(16)
	db, err := Select(data, []byte("15"))
	require.NoError(t, err)
	require.Same(t, data.DB(15), db)
	for _, index := range []string{"16", "-1", "4294967296"} {
		_, err = Select(data, []byte(index))
		require.ErrorIs(t, err, ErrDBIndex, index)
	}
	_, err = Select(data, []byte("x"))
	require.ErrorIs(t, err, ErrNotInteger)
}

func TestUnknownCommand(t *testing.T) {
	long := strings.Repeat("x", 200)
	require.EqualError(t, UnknownCommand([][]byte{[]byte("FOO"), []byte("bar"), []byte("b")}),
		"ERR unknown command 'FOO', with args beginning with: 'bar' 'b' ")
	require.EqualError(t, UnknownCommand([][]byte{[]byte(long), []byte(long), []byte("b")}),
		"ERR unknown command '"+long[:128]+"', with args beginning with: '"+long[:128]+"' ")
	require.EqualError(t, WrongArity("get"), "ERR wrong number of arguments for 'get' command")
}

// The sweeper finds what nobody asks for, in every database, more than a bite of it; and it leaves
// alone what is frozen.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		data, frozen := store.New(2), true
		data.SetNow(time.Now().UnixMilli())
		for i := range 3*bite + 1 {
			db := data.DB(1)
			db.SetExpire(db.SetString([]byte{byte(i), byte(i >> 8)}, []byte("v"), false), data.Now()+50)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			Sweep(ctx, &mu, data, func() bool { return frozen })
			close(done)
		}()
		look := func() int {
			time.Sleep(250 * time.Millisecond) // of the bubble's clock
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return data.DB(1).Len()
		}
		require.Equal(t, 3*bite+1, look())
		mu.Lock()
		frozen = false
		mu.Unlock()
		require.Zero(t, look())
		cancel()
		<-done
	})
}
