package server

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// eachServer runs a test on a real Redis and on ours: on one event loop, on several, and with a goroutine a connection.
func eachServer(t *testing.T, options []string, test func(t *testing.T, addr string)) {
	t.Run("redis", func(t *testing.T) { test(t, startRedis(t, options...)) })
	t.Run("loop", func(t *testing.T) { test(t, second(startServer(t, options...))) })
	t.Run("loops", func(t *testing.T) { test(t, second(startServer(t, append(options, "--io-threads", "3")...))) })
	t.Run("goroutines", func(t *testing.T) { test(t, second(startServer(t, append(options, "--io-threads", "0")...))) })
}

const (
	busyScript   = "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
	busyFunction = "-BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
	unkillable   = "-UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command."
)

// busyWith sends a command on a connection of its own and waits until another hears that the server is busy.
func busyWith(t *testing.T, addr, refusal string, command ...string) (runs, other *testConn) {
	runs, other = dial(t, addr), dial(t, addr)
	runs.send(command...)
	require.Eventually(t, func() bool { return show(other.do("PING")) == refusal }, time.Minute, time.Millisecond)
	return runs, other
}

// TestBusyScript: a script without end lets others know, and one of them ends it.
func TestBusyScript(t *testing.T) {
	eachServer(t, []string{"--busy-reply-threshold", "50"}, func(t *testing.T, addr string) {
		before := dial(t, addr)
		before.want("SET k v", "+OK")
		watching := dial(t, addr)
		watching.want("WATCH k", "+OK")
		runs, other := busyWith(t, addr, busyScript, "EVAL", "while true do redis.call('get', 'k') end", "0")
		for _, c := range []*testConn{before, other, dial(t, addr)} {
			for _, line := range []string{"GET k", "SET k w", "INFO", "EVAL 'return 1' 0", "SCRIPT LOAD x", "FCALL f 0", "EXEC", "FUNCTION STATS",
				"FUNCTION KILL", "SHUTDOWN", "CONFIG GET save", "FLUSHALL", "SUBSCRIBE x"} {
				if line != "EXEC" {
					c.want(line, busyScript)
				}
			}
			c.want("NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: ")
			c.want("GET", "-ERR wrong number of arguments for 'get' command")
			c.want("MULTI", "+OK")
			c.want("GET k", busyScript)
			c.want("DISCARD", "+OK")
			c.want("MULTI", "+OK")
			c.want("WATCH k", "-ERR WATCH inside MULTI is not allowed")
			c.want("RESET", "+RESET")
			c.want("WATCH k", "+OK")
			c.want("UNWATCH", "+OK")
		}
		// A transaction that has met the busy server is not executed afterwards.
		other.want("MULTI", "+OK")
		other.want("SET k half", busyScript)
		dial(t, addr).want("SCRIPT KILL", "+OK")
		require.Contains(t, show(runs.read()), "-ERR Script killed by user with SCRIPT KILL... script: ")
		require.Eventually(t, func() bool { return show(before.do("GET k")) == `"v"` }, time.Minute, time.Millisecond)
		other.want("SET k half", "+QUEUED")
		other.want("EXEC", "-EXECABORT Transaction discarded because of previous errors.")
		before.want("SCRIPT KILL", "-NOTBUSY No scripts in execution right now.")
		before.want("GET k", `"v"`)
		watching.want("MULTI", "+OK")
		watching.want("SET k w", "+QUEUED")
		watching.want("EXEC", "*[+OK]")
		runs.want("EVAL 'return redis.call(\"get\", \"k\")' 0", `"w"`)
	})
}

// TestKillIsNotCaught: pcall does not help against SCRIPT KILL, and what comes behind in the pipeline runs.
func TestKillIsNotCaught(t *testing.T) {
	eachServer(t, []string{"--busy-reply-threshold", "50"}, func(t *testing.T, addr string) {
		runs, other := busyWith(t, addr, busyScript, "EVAL", "while true do pcall(function() while true do end end) end", "0")
		runs.send("SET", "behind", "1")
		runs.send("EVAL", "return redis.call('incr', 'behind')", "0")
		other.want("SCRIPT KILL", "+OK")
		require.Contains(t, show(runs.read()), "-ERR Script killed by user with SCRIPT KILL... script: ")
		require.Equal(t, "+OK", show(runs.read()))
		require.Equal(t, ":2", show(runs.read()))
	})
}

// TestUnkillable: once a script has written, it goes on to its end.
func TestUnkillable(t *testing.T) {
	t.Parallel()
	const script = "redis.call('set', 'k', 1) local t = redis.call('time') local function ms(t) return t[1] * 1000 + t[2] / 1000 end " +
		"while ms(redis.call('time')) < ms(t) + 1000 do end return redis.call('incr', 'k')"
	eachServer(t, []string{"--busy-reply-threshold", "50"}, func(t *testing.T, addr string) {
		waiting := dial(t, addr)
		waiting.send("BLPOP", "queue", "0.5") // whose time is over meanwhile
		eventually(t, dial(t, addr), "INFO clients", "blocked_clients:1")
		runs, other := busyWith(t, addr, busyScript, "EVAL", script, "0")
		other.want("SCRIPT KILL", unkillable)
		other.want("GET k", busyScript)
		require.Equal(t, ":2", show(runs.read()))
		require.Equal(t, "*(nil)", show(waiting.read()))
		other.want("GET k", `"2"`)
	})
}

// TestBusyFunction is the same for functions, of which FUNCTION STATS tells.
func TestBusyFunction(t *testing.T) {
	eachServer(t, []string{"--busy-reply-threshold", "50"}, func(t *testing.T, addr string) {
		c := dial(t, addr)
		c.send("FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('forever', function() while true do end end)")
		require.Equal(t, `"lib"`, show(c.read()))
		runs, other := busyWith(t, addr, busyFunction, "FCALL", "forever", "1", "k", "a")
		c.want("SCRIPT KILL", busyFunction)
		stats := show(other.do("FUNCTION STATS"))
		require.Contains(t, stats, `*["running_script" *["name" "forever" "command" *["FCALL" "forever" "1" "k" "a"] "duration_ms" :`)
		c.want("FUNCTION KILL", "+OK")
		require.Contains(t, show(runs.read()), "-ERR Script killed by user with SCRIPT KILL... script: forever, on @user_function:2.")
		c.want("FUNCTION KILL", "-NOTBUSY No scripts in execution right now.")
	})
}

// TestNothingHappensMeanwhile: while a script is busy, no key expires, no replica gets anything, and nothing is saved that
// is half done.
func TestNothingHappensMeanwhile(t *testing.T) {
	t.Parallel()
	const script = "redis.call('set', 'a', 1) local n = redis.call('exists', 'short') for i = 1, 1e9 do if i % 1000 == 0 and redis.call('exists', 'short') ~= n then return 'it went' end " +
		"if i % 1000 == 0 and tonumber(redis.call('time')[1]) >= tonumber(ARGV[1]) + 2 then break end end redis.call('set', 'b', 1) return n"
	eachServer(t, []string{"--busy-reply-threshold", "50"}, func(t *testing.T, addr string) {
		c := dial(t, addr)
		replica := replicaOf(t, addr)
		now := string(c.do("TIME").Elems[0].Str)
		c.want("SET short v PX 400", "+OK")
		runs, other := busyWith(t, addr, busyScript, "EVAL", script, "0", now)
		other.want("BGSAVE", busyScript)
		require.Equal(t, ":1", show(runs.read()))
		var stream []string
		for len(stream) == 0 || stream[len(stream)-1] != "EXEC" {
			if cmd := replica.next(); cmd != "PING" && !strings.HasPrefix(cmd, "SELECT") && !strings.HasPrefix(cmd, "SET short") {
				stream = append(stream, cmd)
			}
		}
		require.Equal(t, []string{"MULTI", "set a 1", "set b 1", "EXEC"}, stream)
	})
}

// TestBusyServerAnswersItsProcess: what the program around the server asks does not wait for the script.
func TestBusyServerAnswersItsProcess(t *testing.T) {
	s, addr := startServer(t, "--busy-reply-threshold", "50", "--requirepass", "")
	runs, other := busyWith(t, addr, busyScript, "EVAL", "while true do end", "0")
	asked := make(chan bool)
	go func() {
		asked <- !s.Stopping() && s.Password() == "" && s.Done() != nil
	}()
	require.True(t, <-asked)
	other.want("PING", busyScript)
	other.want("SCRIPT KILL", "+OK")
	require.True(t, runs.read().IsError())
}
