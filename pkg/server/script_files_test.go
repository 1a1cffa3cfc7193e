//go:build unix

package server

import (
	"byor/pkg/redistest"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Functions are a part of the data set: they stand in files and go to replicas, ours and Redis's.

// describe returns what a server says of its libraries, which must be the same wherever they come from.
func describeFunctions(c *testConn) string {
	c.t.Helper()
	c.do("HELLO 3")
	v := c.do("FUNCTION LIST WITHCODE")
	c.do("HELLO 2")
	for i := range v.Elems { // a map: the second of the third pair
		redistest.SortElems(&v.Elems[i].Elems[5])
	}
	return show(v)
}

func loadFunctions(c *testConn) {
	c.t.Helper()
	c.send("FUNCTION", "LOAD", twoFunctions)
	require.Equal(c.t, `"counters"`, show(c.read()))
	c.send("FUNCTION", "LOAD", "#!lua name=gone\nredis.register_function('gone', function() end)")
	require.Equal(c.t, `"gone"`, show(c.read()))
	c.want("FCALL up 1 n 5", ":5")
	c.want("FUNCTION DELETE gone", "+OK")
}

// each of the ways in which a data set is kept.
var filesOfFunctions = map[string]struct {
	options []string
	keep    string // the command that makes the file; "": it is there already
}{
	"snapshot":          {nil, "SAVE"},
	"log":               {[]string{"--appendonly", "yes", "--appendfsync", "always"}, ""},
	"log with a base":   {[]string{"--appendonly", "yes", "--appendfsync", "always"}, "BGREWRITEAOF"},
	"log with commands": {[]string{"--appendonly", "yes", "--appendfsync", "always", "--aof-use-rdb-preamble", "no"}, "BGREWRITEAOF"},
}

func TestFunctionsInFiles(t *testing.T) {
	t.Parallel()
	type start = func(testing.TB, string, ...string) *process
	servers := map[string]start{"redis": launchRedis, "ours": launchOurs}
	for kind, f := range filesOfFunctions {
		for writer, write := range servers {
			for reader, read := range servers {
				t.Run(kind+"/"+writer+" to "+reader, func(t *testing.T) {
					dir := t.TempDir()
					p := write(t, dir, f.options...)
					c := p.dial()
					loadFunctions(c)
					if f.keep != "" {
						require.False(t, c.do(f.keep).IsError())
						c.becomes("aof_rewrite_in_progress", "0")
						c.becomes("aof_rewrite_scheduled", "0")
					}
					want := describeFunctions(c)
					require.Contains(t, want, "counters")
					p.kill()
					c = read(t, dir, f.options...).dial()
					require.Equal(t, want, describeFunctions(c))
					c.want("FCALL_RO look 1 n", `"5"`)
					c.want("FCALL up 1 n", ":6")
					c.want("DEBUG RELOAD", "+OK")
					require.Equal(t, want, describeFunctions(c))
				})
			}
		}
	}
}

// A snapshot that is loaded into the data there is adds its libraries to those there are.
func TestFunctionsOfASnapshotAreAdded(t *testing.T) {
	for kind, start := range map[string]func(testing.TB, string, ...string) *process{"redis": launchRedis, "ours": launchOurs} {
		t.Run(kind, func(t *testing.T) {
			c := start(t, t.TempDir(), "--enable-debug-command", "yes").dial()
			loadFunctions(c)
			want := describeFunctions(c)
			c.want("SAVE", "+OK")
			c.want("FLUSHALL", "+OK")
			c.want("DEBUG RELOAD NOSAVE NOFLUSH", "-ERR Error trying to load the RDB dump")
			require.Equal(t, want, describeFunctions(c))
			c.want("DEBUG RELOAD NOSAVE NOFLUSH MERGE", "+OK")
			require.Equal(t, want, describeFunctions(c))
			c.want("FUNCTION FLUSH", "+OK")
			c.send("FUNCTION", "LOAD", "#!lua name=other\nredis.register_function('another', function() return 1 end)")
			require.Equal(t, `"other"`, show(c.read()))
			c.want("DEBUG RELOAD NOSAVE NOFLUSH MERGE", "+OK")
			c.want("FCALL another 0", ":1")
			c.want("FCALL_RO look 1 n", `"5"`)
		})
	}
}

func TestFunctionDumpIsUnderstood(t *testing.T) {
	redis, ours := dial(t, startRedis(t)), dial(t, second(startServer(t)))
	for _, pair := range [][2]*testConn{{redis, ours}, {ours, redis}} {
		from, to := pair[0], pair[1]
		from.do("FUNCTION FLUSH")
		to.do("FUNCTION FLUSH")
		loadFunctions(from)
		payload := string(from.do("FUNCTION DUMP").Str)
		to.send("FUNCTION", "RESTORE", payload)
		require.Equal(t, "+OK", show(to.read()))
		require.Equal(t, describeFunctions(from), describeFunctions(to))
		to.send("FUNCTION", "RESTORE", payload)
		require.Equal(t, "-ERR Library counters already exists", show(to.read()))
		for _, policy := range []string{"REPLACE", "FLUSH"} {
			to.send("FUNCTION", "RESTORE", payload, policy)
			require.Equal(t, "+OK", show(to.read()))
			require.Equal(t, describeFunctions(from), describeFunctions(to))
		}
		to.do("FUNCTION FLUSH")
		to.send("FUNCTION", "LOAD", "#!lua name=other\nredis.register_function('LOOK', function() end)")
		require.Equal(t, `"other"`, show(to.read()))
		for _, policy := range []string{"APPEND", "REPLACE"} {
			to.send("FUNCTION", "RESTORE", payload, policy)
			require.Equal(t, "-ERR Function look already exists", show(to.read()))
		}
		to.want("FCALL look 0", "$(nil)")
		to.send("FUNCTION", "RESTORE", payload, "FLUSH")
		require.Equal(t, "+OK", show(to.read()))
		require.Equal(t, describeFunctions(from), describeFunctions(to))
		to.want("FUNCTION DELETE counters", "+OK")
	}
}

// somethingOfEach is a script whose effects depend on what is there, on the time, and on chance.
const somethingOfEach = `
local n = redis.call('incr', KEYS[1])
redis.call('zadd', KEYS[2], n, ARGV[1])
redis.call('rpush', KEYS[3], ARGV[1], n / 3)
if n % 3 == 0 then redis.call('lpop', KEYS[3]) end
redis.call('sadd', KEYS[4], ARGV[1], 'x' .. n)
if n % 5 == 0 then redis.call('spop', KEYS[4]) end
redis.call('hset', KEYS[5], ARGV[1], redis.call('time')[2], 'r' .. math.random(10), n)
redis.call('xadd', KEYS[6], 'maxlen', '~', 50, '*', 'n', n)
redis.call('set', KEYS[7], n, 'px', 5 + n % 50)
redis.call('select', n % 3)
redis.call('set', 'other', n)
if n % 7 == 0 then redis.call('pexpire', KEYS[5], 1000) end
if n % 11 == 0 then return redis.call('nosuch') end
return n`

// scriptLoad runs scripts and functions from several clients until stop is closed.
func scriptLoad(t testing.TB, addr string, stop chan struct{}) *sync.WaitGroup {
	var wg sync.WaitGroup
	for client := range 4 {
		c := dial(t, addr)
		wg.Add(1)
		go func() {
			defer wg.Done()
			r := rand.New(rand.NewPCG(uint64(client), 1))
			for {
				select {
				case <-stop:
					return
				default:
				}
				args := []string{"EVAL", somethingOfEach, "7"}
				for _, name := range []string{"n", "z", "l", "s", "h", "st", "v"} {
					args = append(args, name+strconv.Itoa(r.IntN(3)))
				}
				c.send(append(args, fmt.Sprintf("m%d", r.IntN(20)))...)
				if v := c.read(); v.IsError() && !strings.Contains(string(v.Str), "Unknown Redis command") {
					t.Errorf("%s", show(v))
				}
				c.send("FCALL", "up", "1", "counter")
				if v := c.read(); v.IsError() {
					t.Errorf("%s", show(v))
				}
			}
		}()
	}
	return &wg
}

// TestReplicasOfScripts: a replica has the data and the functions of its master, which runs scripts before, during and
// after the synchronization.
func TestReplicasOfScripts(t *testing.T) {
	type start = func(testing.TB) string
	redis := func(t testing.TB) string { return startRedis(t, "--repl-diskless-sync-delay", "0") }
	ours := func(t testing.TB) string { return second(startServer(t)) }
	for name, pair := range map[string][2]start{"ours follows redis": {redis, ours}, "redis follows ours": {ours, redis}, "ours follows ours": {ours, ours}} {
		t.Run(name, func(t *testing.T) {
			master, replica := pair[0](t), pair[1](t)
			m, r := dial(t, master), dial(t, replica)
			loadFunctions(m)
			stop := make(chan struct{})
			load := scriptLoad(t, master, stop)
			r.want("REPLICAOF "+hostPort(master), "+OK")
			eventually(t, r, "INFO replication", "master_link_status:up")
			m.send("FUNCTION", "LOAD", "#!lua name=later\nredis.register_function('later', function() return 'later' end)")
			require.Equal(t, `"later"`, show(m.read()))
			before := number(t, m.info("total_commands_processed"))
			require.Eventually(t, func() bool { return number(t, m.info("total_commands_processed")) > before+2000 }, time.Minute, 10*time.Millisecond)
			close(stop)
			load.Wait()
			sameData(t, m, r)
			require.ElementsMatch(t, functionNames(m), functionNames(r))
			require.Equal(t, []string{"counters", "later"}, functionNames(r))
			r.want("FCALL later 0", "-READONLY You can't write against a read only replica.")
			r.want("FCALL_RO look 1 nothing", "$(nil)")
			r.want("EVAL 'return redis.call(\"set\", \"x\", 1)' 0", "-READONLY You can't write against a read only replica. script: "+shaInReply(r)+", on @user_script:1.")
			r.want("EVAL 'return redis.call(\"get\", \"nothing\")' 0", "$(nil)")
			m.want("FUNCTION FLUSH", "+OK")
			eventually(t, r, "FUNCTION LIST", "*[]")
		})
	}
}

func shaInReply(c *testConn) string {
	return string(c.do(`SCRIPT LOAD 'return redis.call("set", "x", 1)'`).Str)
}

func number(t testing.TB, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	require.NoError(t, err)
	return n
}

// functionNames returns the names of the libraries, in order.
func functionNames(c *testConn) (names []string) {
	v := c.do("FUNCTION LIST")
	for _, l := range v.Elems {
		names = append(names, string(l.Elems[1].Str))
	}
	if len(names) == 2 && names[0] > names[1] {
		names[0], names[1] = names[1], names[0]
	}
	return names
}

// TestScriptsWriteTheLog: redis.log joins what is text, at the level that it is given.
func TestScriptsWriteTheLog(t *testing.T) {
	s, log, err := boot(t, t.TempDir(), "--loglevel", "debug")
	require.NoError(t, err)
	for level, mark := range map[string]string{"DEBUG": ".", "VERBOSE": "-", "NOTICE": "*", "WARNING": "#"} {
		ask(t, s, `EVAL "redis.log(redis.LOG_`+level+`, 'one', 2, {}, '%d three')" 0`)
		require.Contains(t, log.String(), " "+mark+" one 2 %d three\n")
	}
}
