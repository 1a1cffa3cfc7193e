package server

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// Those who look on: MONITOR, the statistics, and subscribers, one of which is the client that runs the script.

const twoFunctions = "#!lua name=counters\n" +
	"redis.register_function('up', function(keys, args) return redis.call('incrby', keys[1], args[1] or 1) end)\n" +
	"redis.register_function{function_name='look', callback=function(keys) return redis.call('get', keys[1]) end, flags={'no-writes'}, description='looks'}"

var watchedScripts = []string{
	"redis.call('set', 'a', 'x') redis.call('select', 3) redis.pcall('incr', 'a', 'x') return redis.call('get', 'a')",
	"redis.call('set', 'a', 'x') return redis.call('incr', 'a')", "redis.call('set', 'a', 'x') return redis.pcall('incr', 'a')",
	"return redis.call('incr')", "redis.pcall('incr') return 1", "redis.pcall('incr', 'a') return 1", "redis.pcall('incr', 'a') error('x')",
	"error('x')", "return {err='CODE x'}", "return redis.call({})", "redis.pcall('nosuch') return 1", "return redis.call('multi')",
	"return redis.call('config', 'get', 'x')", "return redis.call('object', 'encoding', 'a')",
}

var monitored = regexp.MustCompile(`^\+[0-9.]+ \[(\d+) (127.0.0.1:\d+|lua)\] (.*)$`)

var tookUs = regexp.MustCompile(`usec=\d+,usec_per_call=[\d.]+,`)

func TestScriptsAreShownAndCounted(t *testing.T) {
	seen := map[string][]string{}
	for name, addr := range map[string]string{"redis": startRedis(t), "ours": second(startServer(t))} {
		m, c := dial(t, addr), dial(t, addr)
		c.want("CONFIG RESETSTAT", "+OK")
		m.want("MONITOR", "+OK")
		c.send("FUNCTION", "LOAD", twoFunctions)
		require.Equal(t, `"counters"`, show(c.read()))
		for _, s := range watchedScripts {
			c.send("EVAL", s, "0")
			c.read()
		}
		c.want("FCALL up 1 n 5", ":5")
		c.do("FCALL up 1 a 5")
		c.want("SCRIPT EXISTS the-end", "*[:0]")
		for line := ""; !strings.Contains(line, "the-end"); {
			parts := monitored.FindStringSubmatch(show(m.read()))
			require.NotNil(t, parts)
			if parts[2] != "lua" {
				parts[2] = "client"
			}
			line = strings.Join(parts[1:], " ")
			seen[name] = append(seen[name], line)
		}
		counted := strings.Split(tookUs.ReplaceAllString(string(c.do("INFO commandstats").Str), ""), "\r\n")
		slices.Sort(counted)
		seen[name] = append(seen[name], counted...)
	}
	require.Equal(t, seen["redis"], seen["ours"])
}

// TestScriptPublishesToItsOwnClient: the messages come before the reply, and in the client's protocol.
func TestScriptPublishesToItsOwnClient(t *testing.T) {
	eachServer(t, nil, func(t *testing.T, addr string) {
		c, other := dial(t, addr), dial(t, addr)
		c.do("HELLO 3")
		require.Equal(t, `>["subscribe" "ch" :1]`, show(c.do("SUBSCRIBE ch")))
		require.Equal(t, `*["subscribe" "ch" :1]`, show(other.do("SUBSCRIBE ch")))
		long := strings.Repeat("x", 5000) // which subscribers share
		for _, payload := range []string{"short", long} {
			c.send("EVAL", "redis.call('publish', 'ch', ARGV[1]) local r = redis.call('publish', 'ch', ARGV[1]) return {r, redis.call('echo', 'behind')}", "0", payload)
			var got []resp.Value
			for range 3 {
				got = append(got, c.read())
			}
			require.Equal(t, `>["message" "ch" "`+payload+`"]`, show(got[0]))
			require.Equal(t, `>["message" "ch" "`+payload+`"]`, show(got[1]))
			require.Equal(t, `*[:2 "behind"]`, show(got[2]))
			for range 2 {
				require.Equal(t, `*["message" "ch" "`+payload+`"]`, show(other.read()))
			}
		}
	})
}

// TestNestedReplies: tables in tables end where Redis's stack does.
func TestNestedReplies(t *testing.T) {
	redis, ours := startRedis(t), second(startServer(t))
	for _, script := range []string{
		"local a = {} a[1] = a return a", "local a = {} a.map = a return a", "local a = {} a.map = {x=a} return a",
		"local a = {} a.set = {[a]=true} return a", "local a = {} a.map = {[a]=1} return a",
		"local a = {} for i = 1, 7994 do a = {a} end return a", "local a = {} for i = 1, 7995 do a = {a} end return a",
		"local a = {} for i = 1, 3000 do a = {1, a, 2} end return a",
	} {
		require.Equal(t, rawReply(t, redis, script), rawReply(t, ours, script), script)
	}
}

// rawReply returns the bytes of the reply to a script. The reader of values does not go so deep.
func rawReply(t testing.TB, addr, script string) string {
	c := dial(t, addr)
	c.send("EVAL", script, "0")
	c.send("ECHO", "the end")
	var all []byte
	for buf := make([]byte, 64<<10); !strings.HasSuffix(string(all), "$7\r\nthe end\r\n"); {
		n, err := c.conn.Read(buf)
		require.NoError(t, err)
		all = append(all, buf[:n]...)
	}
	return string(all)
}
