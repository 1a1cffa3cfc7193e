package diff

import (
	"byor/pkg/redistest"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"byor/pkg/store"

	"github.com/stretchr/testify/require"
)

// TestDiffPlainListNodes works on lists whose elements, of digits too, stand in nodes of their own, as
// a low threshold makes them, and which come from a real server's DUMP.
func TestDiffPlainListNodes(t *testing.T) {
	defer store.Encodings.Reset()
	redis := startRedis(t)
	ours := startServer(t)
	a, b := redistest.Connect(t, ours), redistest.Connect(t, redis)
	for _, size := range []string{"1b", "2b", "10", "0", "4293918720", "4293918721", "-1", "x", `""`} {
		cmd := "DEBUG QUICKLIST-PACKED-THRESHOLD " + size
		require.Equal(t, redistest.Show(b.Do(cmd)), redistest.Show(a.Do(cmd)), cmd)
		if len(size) < 3 {
			seed := seedOfDiffs(t)
			randomCommands(t, rand.New(rand.NewPCG(seed, 0)), randomListCommand, *diffCount/20, ours, redis, seed)
		}
	}
	b.Do("DEBUG QUICKLIST-PACKED-THRESHOLD 1b")
	b.Do("RPUSH plain 9 8 7 x -1 9223372036854775807 007 9 12345678901")
	for _, cmd := range []string{"LPOS plain 9", "LPOS plain 9 RANK -1", "LPOS plain 9 COUNT 0", "LPOS plain 007", "LPOS plain 9223372036854775807",
		"LINSERT plain BEFORE 8 new", "LINSERT plain AFTER -1 5", "LINSERT plain AFTER 08 5", "LREM plain -1 9", "LREM plain 0 007", "LREM plain 1 12345678901",
		"LSET plain 0 77", "LPOS plain 77", "LRANGE plain 0 -1", "LTRIM plain 1 -2", "LRANGE plain 0 -1"} {
		payload := b.Do("DUMP plain")
		a.Send("RESTORE", "plain", "0", string(payload.Str), "REPLACE")
		require.Equal(t, "+OK", redistest.Show(a.Read()))
		require.Equal(t, redistest.Show(b.Do(cmd)), redistest.Show(a.Do(cmd)), cmd)
		require.Equal(t, redistest.Show(b.Do("LRANGE plain 0 -1")), redistest.Show(a.Do("LRANGE plain 0 -1")), cmd)
	}
}

// TestDiffUse sets and moves what an eviction policy knows of a key.
func TestDiffUse(t *testing.T) {
	redis := startRedis(t)
	ours := startServer(t)
	a, b := redistest.Connect(t, ours), redistest.Connect(t, redis)
	b.Do("SET x v")
	payload := string(b.Do("DUMP x").Str)
	for _, policy := range []string{"allkeys-lfu", "volatile-lfu", "allkeys-lru", "noeviction"} {
		for _, cmd := range []string{"FLUSHALL", "CONFIG SET maxmemory-policy " + policy, "CONFIG SET lfu-decay-time 0", "CONFIG SET lfu-log-factor 1000000",
			"RESTORE k 0 % FREQ 100", "OBJECT FREQ k", "RESTORE k 0 % FREQ 255 REPLACE", "OBJECT FREQ k", "RESTORE k 0 % FREQ 0 REPLACE", "OBJECT FREQ k",
			"RESTORE k 0 % FREQ 256 REPLACE", "RESTORE k 0 % FREQ -1 REPLACE", "RESTORE k 0 % REPLACE FREQ", "RESTORE k 0 % FREQ 1 IDLETIME 1 REPLACE",
			"RESTORE k 0 % IDLETIME 100000 REPLACE", "OBJECT FREQ k", "OBJECT IDLETIME k", "RESTORE k 0 % FREQ 7 REPLACE", "OBJECT IDLETIME k",
			"RESTORE k 0 % FREQ 200 REPLACE", "RENAME k r", "OBJECT FREQ r", "COPY r c", "OBJECT FREQ r", "OBJECT FREQ c",
			"MOVE r 1", "SELECT 1", "OBJECT FREQ r", "SELECT 0", "SET c w", "OBJECT FREQ c", "RESTORE k 0 % IDLETIME 3000 REPLACE", "SET k w", "OBJECT IDLETIME k",
			"RESTORE k 0 % IDLETIME 3000 REPLACE", "TOUCH k", "OBJECT IDLETIME k",
			"RESTORE e 4102444800000 % ABSTTL FREQ 33", "PEXPIRETIME e", "OBJECT FREQ e", "RESTORE i 0 % IDLETIME 100000", "DEBUG RELOAD", "OBJECT FREQ e", "PEXPIRETIME e"} {
			for _, c := range []*redistest.Client{a, b} {
				args := redistest.Words(t, cmd)
				for i := range args {
					args[i] = strings.ReplaceAll(args[i], "%", payload)
				}
				c.Send(args...)
			}
			got, want := a.Read(), b.Read()
			if strings.HasPrefix(cmd, "OBJECT IDLETIME") && got.Int-want.Int < 100 && want.Int-got.Int < 100 {
				continue
			}
			require.Equal(t, redistest.Show(want), redistest.Show(got), "%s under %s", cmd, policy)
		}
	}
}

// TestUseIsSaved carries the counters of an LFU policy over a restart, here and in a real server.
func TestUseIsSaved(t *testing.T) {
	dir := t.TempDir()
	policy := []string{"--dir", dir, "--maxmemory-policy", "allkeys-lfu", "--lfu-decay-time", "0", "--lfu-log-factor", "1000000"}
	addr := startServer(t, policy...)
	c := redistest.Connect(t, addr)
	c.Do("SET x v")
	payload := string(c.Do("DUMP x").Str)
	big := []string{"HSET", "big"}
	for i := range 2000 {
		big = append(big, fmt.Sprint("f", i), "v")
	}
	c.Send(big...)
	c.Read()
	bigPayload := string(c.Do("DUMP big").Str)
	c.Send("RESTORE", "k", "0", payload, "FREQ", "100")
	require.Equal(t, "+OK", redistest.Show(c.Read()))
	c.Send("RESTORE", "big", "0", bigPayload, "REPLACE", "FREQ", "50")
	require.Equal(t, "+OK", redistest.Show(c.Read()))
	for _, save := range []string{"SAVE", "BGSAVE"} {
		c.Do(save)
		c.Becomes("rdb_bgsave_in_progress", "0")
		c.Want("DEBUG RELOAD NOSAVE", "+OK")
		c.Want("OBJECT FREQ k", ":100")
		c.Want("OBJECT FREQ big", ":50")
		theirs := redistest.Connect(t, startRedis(t, policy...))
		theirs.Want("OBJECT FREQ k", ":100")
		theirs.Want("OBJECT FREQ big", ":50")
	}
}

// TestDiffWatch lets a client watch a key, another one run each command of testdata/watch.txt, and looks
// whether the first one's EXEC is carried out.
func TestDiffWatch(t *testing.T) {
	text, err := os.ReadFile("testdata/watch.txt")
	require.NoError(t, err)
	redis := startRedis(t)
	ours := startServer(t)
	a, b := watchTester(t, ours), watchTester(t, redis)
	for _, line := range strings.Split(string(text), "\n") {
		setup, cmd, ok := strings.Cut(line, "|")
		if !ok || line[0] == '#' {
			continue
		}
		for _, key := range []string{"k", "k2"} {
			if got, want := a(setup, cmd, key), b(setup, cmd, key); got != want {
				t.Errorf("WATCH %s: %s\nreal Redis: %s\nours:       %s", key, line, want, got)
			}
		}
	}
}

// watchTester returns a function that says what became of an EXEC after a command.
func watchTester(t *testing.T, addr string) func(setup, cmd, key string) string {
	watcher, other := redistest.Connect(t, addr), redistest.Connect(t, addr)
	return func(setup, cmd, key string) string {
		other.Do("FLUSHALL")
		for _, s := range strings.Split(setup, ";") {
			if s = strings.TrimSpace(s); s != "" {
				other.Do(s)
			}
		}
		watcher.Do("WATCH " + key)
		reply := redistest.Show(other.Do(strings.TrimSpace(cmd)))
		watcher.Do("MULTI")
		watcher.Do("PING")
		return "EXEC " + redistest.Show(watcher.Do("EXEC")) + ", " + cmd + " " + reply
	}
}

// TestNoTouch asks for CLIENT NO-TOUCH, which Redis has from 7.2 on: what such a client looks up does not
// count as used, unless it says TOUCH.
func TestNoTouch(t *testing.T) {
	addr := startServer(t, "--maxmemory-policy", "allkeys-lru")
	c := redistest.Connect(t, addr)
	c.Want("SET k v", "+OK")
	payload := string(c.Do("DUMP k").Str)
	idle := func() int64 { return c.Do("OBJECT IDLETIME k").Int }
	for _, cmd := range []string{"GET k", "SET k w", "APPEND k x", "EXISTS k", "MULTI;GET k;EXEC"} {
		c.Want("CLIENT NO-TOUCH ON", "+OK")
		c.Send("RESTORE", "k", "0", payload, "REPLACE", "IDLETIME", "3000")
		require.Equal(t, "+OK", redistest.Show(c.Read()))
		for _, part := range strings.Split(cmd, ";") {
			c.Do(part)
		}
		require.GreaterOrEqual(t, idle(), int64(3000), cmd)
	}
	c.Do("TOUCH k")
	require.Less(t, idle(), int64(3000), "TOUCH")
	c.Send("RESTORE", "k", "0", payload, "REPLACE", "IDLETIME", "3000")
	c.Read()
	c.Want("RESET", "+RESET")
	c.Do("GET k")
	require.Less(t, idle(), int64(3000), "after RESET")
}

// TestDiffEncodings gives the commands on collections small limits, so that each meets every encoding
// and the way from one to the other.
func TestDiffEncodings(t *testing.T) {
	defer store.Encodings.Reset()
	limits := []string{"--hash-max-listpack-entries", "3", "--hash-max-listpack-value", "3", "--set-max-intset-entries", "3",
		"--zset-max-listpack-entries", "3", "--zset-max-listpack-value", "3", "--stream-node-max-entries", "2", "--list-max-listpack-size", "2"}
	redis := startRedis(t, limits...)
	ours := startServer(t, limits...)
	seed := seedOfDiffs(t)
	for _, name := range slices.Sorted(maps.Keys(generators)) {
		randomCommands(t, rand.New(rand.NewPCG(seed, 0)), generators[name], *diffCount/20, ours, redis, seed)
	}
}
