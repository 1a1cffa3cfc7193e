package server

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// listener is somebody who is subscribed to all keyspace events of a server.
type listener struct{ *testConn }

func listen(t testing.TB, addr, classes string) listener {
	l := listener{dial(t, addr)}
	l.want("CONFIG SET notify-keyspace-events "+classes, "+OK")
	l.do("PSUBSCRIBE __key*__:*")
	return l
}

// heard returns the events since the last call, "channel message" each. What has happened is behind it in the stream
// when the reply to a command comes.
func (l listener) heard() (events []string) {
	l.send("PING")
	for {
		m := l.read()
		if m.IsError() || string(m.Elems[0].Str) == "pong" {
			return events
		}
		events = append(events, string(m.Elems[2].Str)+" "+string(m.Elems[3].Str))
	}
}

// What the scripts of TestDiffScripts do to keys is called, and told in the order, as in Redis. When a key expires
// that nobody looks at is not up to a script.
func TestKeyEventsOfEveryScript(t *testing.T) {
	files, err := filepath.Glob("testdata/diff/*.txt")
	require.NoError(t, err)
	redis := startRedis(t)
	_, ours := startServer(t)
	heard := 0
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".txt")
		if name == "client_kill" { // it would kill the listener
			continue
		}
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		t.Run(name, func(t *testing.T) {
			sc := newScript(t, "2", ours, redis)
			sc.deaf = true
			a, b := listen(t, ours, "KEg$lshzetdmn"), listen(t, redis, "KEg$lshzetdmn")
			sc.run(string(text), func() {
				want := b.heard()
				heard += len(want)
				require.Equal(t, want, a.heard(), sc.where)
			})
		})
	}
	require.Greater(t, heard, 3000)
}

// The same of the random commands.
func TestKeyEventsOfRandomCommands(t *testing.T) {
	seed := seedOfDiffs(t)
	redis := startRedis(t)
	_, ours := startServer(t)
	for name, generate := range generators {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, uint64(len(name))))
			a, b := dial(t, ours), dial(t, redis)
			a.do("FLUSHALL")
			b.do("FLUSHALL")
			x, y := listen(t, ours, "KEg$lshzetdmn"), listen(t, redis, "KEg$lshzetdmn")
			for range *diffCount / 5 {
				args := generate(r)
				a.send(args...)
				b.send(args...)
				a.read()
				b.read()
				require.Equal(t, y.heard(), x.heard(), "seed %d: %q", seed, args)
			}
		})
	}
}

// Events are messages in the stream of a client that hears of what it does itself, in the place where they came about.
func TestOwnKeyEvents(t *testing.T) {
	redis := startRedis(t)
	_, ours := startServer(t)
	var got [2][]string
	for i, addr := range []string{redis, ours} {
		c := dial(t, addr)
		c.do("HELLO 3")
		c.want("CONFIG SET notify-keyspace-events KEA", "+OK")
		c.do("PSUBSCRIBE __key*__:*")
		for _, line := range []string{"SET k v", "INCR n", "LPUSH l a b", "LPOP l", "DEL k", "EXPIRE n 100", "SADD s a"} {
			c.send(words(t, line)...)
		}
		c.send("PING", "end")
		for {
			v := c.read()
			if got[i] = append(got[i], show(v)); v.Kind == resp.BulkString && string(v.Str) == "end" {
				break
			}
		}
	}
	require.Equal(t, got[0], got[1])
	require.True(t, slices.Contains(got[1], `>["pmessage" "__key*__:*" "__keyspace@0__:k" "set"]`))
}

// The letters of notify-keyspace-events, as they are taken and as they are shown.
func TestKeyEventLetters(t *testing.T) {
	ours, theirs := dial(t, second(startServer(t))), dial(t, startRedis(t))
	for _, letters := range []string{"KEA", "KEg", "AKE", "An", "Amn", "Kmg", "KEn", "g$lshzxetdnmKE", "g$lshzxet", "KEmn", "mK", "q", "KEA@", "'K E'", "''"} {
		for _, line := range []string{"CONFIG SET notify-keyspace-events " + letters, "CONFIG GET notify-keyspace-events"} {
			require.Equal(t, show(theirs.do(line)), show(ours.do(line)), line)
		}
	}
}

// Each class alone, and each kind of channel alone.
func TestKeyEventClasses(t *testing.T) {
	theirs, ours := startRedis(t), second(startServer(t))
	x, y := listen(t, ours, "''"), listen(t, theirs, "''")
	a, b := dial(t, ours), dial(t, theirs)
	heard := 0
	for _, letters := range []string{"g", "$", "l", "s", "h", "z", "t", "d", "m", "n", "A", "Am", "g$"} {
		for _, kind := range []string{"K", "E", "KE", ""} {
			for _, line := range []string{"CONFIG SET notify-keyspace-events " + kind + letters, "FLUSHALL", "SET k v EX 100", "APPEND k v", "RPUSH l 1 2", "LMOVE l m LEFT RIGHT",
				"SADD s a", "SMOVE s u a", "HSET h f v", "ZADD z 1 a", "ZPOPMIN z", "XADD x MAXLEN 1 * a b", "XADD x MAXLEN 1 * a b", "XGROUP CREATE x g 0", "GET none", "MGET none k l",
				"DEL k", "RENAME l l2", "COPY l2 l3", "SELECT 1", "SET k v", "MOVE k 2", "SELECT 0", "MULTI", "SET a 1", "DEL a", "EXEC", "EVAL \"redis.call('set', 'lua', 1)\" 0", "PFADD p a",
				"PFCOUNT p", "SORT l3 STORE sorted", "EXPIREAT sorted 1", "RESTORE r 0 \"\\x00\\x03abc\\x0a\\x00\\xbe\\x04\\x6b\\x17\\x4a\\xab\\xcd\\x7f\"", "GETEX lua PERSIST", "GETEX lua EX 10", "GETEX lua PERSIST", "GETEX lua PXAT 1"} {
				a.do(line)
				b.do(line)
			}
			want := y.heard()
			require.Equal(t, want, x.heard(), kind+letters)
			heard += len(want)
		}
	}
	require.Greater(t, heard, 300)
}

// A key expires when somebody meets it, or by itself; one that makes room for others is evicted.
func TestExpiredAndEvictedEvents(t *testing.T) {
	eachServer(t, []string{"--hz", "100"}, func(t *testing.T, addr string) {
		l, c := listen(t, addr, "Kxem"), dial(t, addr)
		next := func() string { m := l.read().Elems; return string(m[2].Str) + " " + string(m[3].Str) }
		c.want("SET by:itself v PX 5", "+OK")
		require.Equal(t, "__keyspace@0__:by:itself expired", next())
		c.want("DEBUG SET-ACTIVE-EXPIRE 0", "+OK")
		c.want("SET met v PX 1", "+OK")
		require.Eventually(t, func() bool { return show(c.do("GET met")) != `"v"` }, time.Minute, time.Millisecond)
		require.Equal(t, "__keyspace@0__:met expired", next())
		require.Equal(t, "__keyspace@0__:met keymiss", next())
		c.want("SELECT 3", "+OK")
		c.want("SET room v", "+OK")
		c.want("CONFIG SET maxmemory-policy allkeys-random maxmemory 1", "+OK")
		c.do("SET no room")
		require.Equal(t, "__keyspace@3__:room evicted", next())
	})
}

// A replica has events of its own, of what its master says: keys do not expire there, they are deleted.
func TestKeyEventsOfReplicas(t *testing.T) {
	t.Parallel()
	master := startRedis(t, "--hz", "100", "--repl-diskless-sync-delay", "0")
	for _, replica := range []string{startRedis(t, replicaOptions(master)...), second(startServer(t, replicaOptions(master)...))} {
		c, r := dial(t, master), dial(t, replica)
		eventually(t, r, "INFO replication", "master_link_status:up")
		l := listen(t, replica, "KAn")
		for _, line := range []string{"SET k v", "SET gone v PX 5", "LPUSH l a", "LPOP l"} {
			c.do(line)
		}
		var heard []string
		for range 10 {
			heard = append(heard, string(l.read().Elems[3].Str))
		}
		slices.Sort(heard)
		require.Equal(t, "del del expire lpop lpush new new new set set", strings.Join(heard, " "))
		c.do("FLUSHALL")
	}
}

func replicaOptions(master string) []string {
	return append([]string{"--replicaof"}, strings.Fields(hostPort(master))...)
}
