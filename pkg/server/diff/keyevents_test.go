package diff

import (
	"byor/pkg/redistest"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// redistest.Listener is somebody who is subscribed to all keyspace events of a server.
// heard returns the events since the last call, "channel message" each. What has happened is behind it in the stream
// when the reply to a command comes.
// What the scripts of TestDiffScripts do to keys is called, and told in the order, as in Redis. When a key expires
// that nobody looks at is not up to a script.
func TestKeyEventsOfEveryScript(t *testing.T) {
	files, err := filepath.Glob("testdata/scripts/*.txt")
	require.NoError(t, err)
	redis := startRedis(t)
	ours := startServer(t)
	heard := 0
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".txt")
		if name == "client_kill" { // it would kill the redistest.Listener
			continue
		}
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		t.Run(name, func(t *testing.T) {
			sc := newScript(t, "2", ours, redis)
			sc.deaf = true
			a, b := redistest.Listen(t, ours, "KEg$lshzetdmn"), redistest.Listen(t, redis, "KEg$lshzetdmn")
			sc.run(string(text), func() {
				want := b.Heard()
				heard += len(want)
				require.Equal(t, want, a.Heard(), sc.where)
			})
		})
	}
	require.Greater(t, heard, 3000)
}

// The same of the random commands.
func TestKeyEventsOfRandomCommands(t *testing.T) {
	seed := seedOfDiffs(t)
	redis := startRedis(t)
	ours := startServer(t)
	for name, generate := range generators {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, uint64(len(name))))
			a, b := redistest.Connect(t, ours), redistest.Connect(t, redis)
			a.Do("FLUSHALL")
			b.Do("FLUSHALL")
			x, y := redistest.Listen(t, ours, "KEg$lshzetdmn"), redistest.Listen(t, redis, "KEg$lshzetdmn")
			for range *diffCount / 5 {
				args := generate(r)
				a.Send(args...)
				b.Send(args...)
				a.Read()
				b.Read()
				require.Equal(t, y.Heard(), x.Heard(), "seed %d: %q", seed, args)
			}
		})
	}
}

// Events are messages in the stream of a client that hears of what it does itself, in the place where they came about.
func TestOwnKeyEvents(t *testing.T) {
	redis := startRedis(t)
	ours := startServer(t)
	var got [2][]string
	for i, addr := range []string{redis, ours} {
		c := redistest.Connect(t, addr)
		c.Do("HELLO 3")
		c.Want("CONFIG SET notify-keyspace-events KEA", "+OK")
		c.Do("PSUBSCRIBE __key*__:*")
		for _, line := range []string{"SET k v", "INCR n", "LPUSH l a b", "LPOP l", "DEL k", "EXPIRE n 100", "SADD s a"} {
			c.Send(redistest.Words(t, line)...)
		}
		c.Send("PING", "end")
		for {
			v := c.Read()
			if got[i] = append(got[i], redistest.Show(v)); v.Kind == resp.BulkString && string(v.Str) == "end" {
				break
			}
		}
	}
	require.Equal(t, got[0], got[1])
	require.True(t, slices.Contains(got[1], `>["pmessage" "__key*__:*" "__keyspace@0__:k" "set"]`))
}

// The letters of notify-keyspace-events, as they are taken and as they are shown.
func TestKeyEventLetters(t *testing.T) {
	ours, theirs := redistest.Connect(t, startServer(t)), redistest.Connect(t, startRedis(t))
	for _, letters := range []string{"KEA", "KEg", "AKE", "An", "Amn", "Kmg", "KEn", "g$lshzxetdnmKE", "g$lshzxet", "KEmn", "mK", "q", "KEA@", "'K E'", "''"} {
		for _, line := range []string{"CONFIG SET notify-keyspace-events " + letters, "CONFIG GET notify-keyspace-events"} {
			require.Equal(t, redistest.Show(theirs.Do(line)), redistest.Show(ours.Do(line)), line)
		}
	}
}

// Each class alone, and each kind of channel alone.
func TestKeyEventClasses(t *testing.T) {
	theirs, ours := startRedis(t), startServer(t)
	x, y := redistest.Listen(t, ours, "''"), redistest.Listen(t, theirs, "''")
	a, b := redistest.Connect(t, ours), redistest.Connect(t, theirs)
	heard := 0
	for _, letters := range []string{"g", "$", "l", "s", "h", "z", "t", "d", "m", "n", "A", "Am", "g$"} {
		for _, kind := range []string{"K", "E", "KE", ""} {
			for _, line := range []string{"CONFIG SET notify-keyspace-events " + kind + letters, "FLUSHALL", "SET k v EX 100", "APPEND k v", "RPUSH l 1 2", "LMOVE l m LEFT RIGHT",
				"SADD s a", "SMOVE s u a", "HSET h f v", "ZADD z 1 a", "ZPOPMIN z", "XADD x MAXLEN 1 * a b", "XADD x MAXLEN 1 * a b", "XGROUP CREATE x g 0", "GET none", "MGET none k l",
				"DEL k", "RENAME l l2", "COPY l2 l3", "SELECT 1", "SET k v", "MOVE k 2", "SELECT 0", "MULTI", "SET a 1", "DEL a", "EXEC", "EVAL \"redis.call('set', 'lua', 1)\" 0", "PFADD p a",
				"PFCOUNT p", "SORT l3 STORE sorted", "EXPIREAT sorted 1", "RESTORE r 0 \"\\x00\\x03abc\\x0a\\x00\\xbe\\x04\\x6b\\x17\\x4a\\xab\\xcd\\x7f\"", "GETEX lua PERSIST", "GETEX lua EX 10", "GETEX lua PERSIST", "GETEX lua PXAT 1"} {
				a.Do(line)
				b.Do(line)
			}
			want := y.Heard()
			require.Equal(t, want, x.Heard(), kind+letters)
			heard += len(want)
		}
	}
	require.Greater(t, heard, 300)
}

// A key expires when somebody meets it, or by itself; one that makes room for others is evicted.
// A replica has events of its own, of what its master says: keys do not expire there, they are deleted.
