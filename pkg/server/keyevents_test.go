package server

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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
	seed := *diffSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d: repeat with -diff.seed=%d", seed, seed)
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
