package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// lineOf returns the fields of CLIENT LIST about a client, nil when it is gone.
func lineOf(admin *testConn, id int64) map[string]string {
	text := strings.TrimSpace(string(admin.do(fmt.Sprint("CLIENT LIST ID ", id)).Str))
	if text == "" {
		return nil
	}
	of := map[string]string{}
	for _, f := range strings.Fields(text) {
		k, v, _ := strings.Cut(f, "=")
		of[k] = v
	}
	return of
}

func wire(args ...string) string { return string(resp.AppendCommandStrings(nil, args...)) }

// stays reports whether the server serves the input, or closes the connection. If there is a part that is to
// come behind a blocked BLPOP of the list, that is sent when the client is blocked, and the BLPOP served
// when all of it has come.
func stays(admin *testConn, addr, in, behind string) bool {
	t := admin.t
	c := dial(t, addr)
	id := c.do("CLIENT ID").Int
	end := wire("ECHO", "the end")
	if behind == "" {
		go io.WriteString(c.conn, in+end) // which ends when the connection does
	} else {
		_, err := io.WriteString(c.conn, in)
		require.NoError(t, err)
		require.Eventually(t, func() bool { return lineOf(admin, id)["flags"] == "b" }, time.Minute, time.Millisecond)
		go io.WriteString(c.conn, behind)
		require.Eventually(t, func() bool {
			line := lineOf(admin, id)
			n, _ := strconv.Atoi(line["qbuf"])
			return line == nil || n >= len(behind)
		}, time.Minute, time.Millisecond)
		admin.do("LPUSH list v")
		defer admin.do("DEL list")
		go io.WriteString(c.conn, end)
	}
	c.conn.SetReadDeadline(time.Now().Add(time.Minute))
	for {
		v, err := c.rd.ReadValue()
		if ne := net.Error(nil); errors.As(err, &ne) {
			require.False(t, ne.Timeout(), "neither served nor closed")
		}
		if err != nil {
			return false
		}
		if string(v.Str) == "the end" {
			return true
		}
	}
}

// What counts against the limit is what waits to be parsed, as in Redis: arguments that were parsed do not
// count, except behind a command that blocks, where nothing is parsed.
func TestQueryBufferLimitCountsWhatIsNotParsed(t *testing.T) {
	const limit = 1 << 20
	half := strings.Repeat("x", 500_000)
	set := func(whole int) string { // a SET of so many bytes
		return wire("SET", "a", strings.Repeat("x", whole-len(wire("SET", "a", half+half))+len(half+half)))
	}
	many := []string{"DEL"}
	for i := range 100_000 {
		many = append(many, fmt.Sprint("key:", i))
	}
	pings := func(n int) string { return strings.Repeat(wire("PING"), n) }
	waits := wire("BLPOP", "list", "0")
	const near = 100_000 // at the limit itself it depends on how the bytes arrive, here and there
	cases := []struct{ name, in, behind string }{
		{"large arguments, together over the limit", wire("MSET", "a", half, "b", half, "c", half), ""},
		{"many arguments", wire(many...), ""},
		{"an argument that fits", wire("SET", "a", strings.Repeat("x", limit-near)), ""},
		{"one with something behind it", wire("SET", "a", strings.Repeat("x", limit-near)) + pings(5000), ""},
		{"one that does not fit", wire("SET", "a", strings.Repeat("x", limit+near)), ""},
		{"one that does not fit, of several", wire("MSET", "a", half, "b", strings.Repeat("x", limit+near), "c", half), ""},
		{"many commands", pings(100_000), ""},
		{"blocked: a command that fits", waits, set(limit - near)},
		{"blocked: one that does not", waits, set(limit + near)},
		{"blocked: commands that fit", waits, pings((limit - near) / 14)},
		{"blocked: too many", waits, pings((limit + near) / 14)},
		{"blocked: parsed arguments", waits, wire("MSET", "a", half, "b", half, "c", half)},
		{"blocked in a pipeline", pings(3) + waits + pings(3), pings((limit - near) / 14)},
		{"blocked in a pipeline: too many", pings(3) + waits + pings(3), pings((limit + near) / 14)},
	}
	run := func(addr string) map[string]bool {
		admin := dial(t, addr)
		admin.want("CONFIG SET client-query-buffer-limit 1mb", "+OK")
		got := map[string]bool{}
		for _, tc := range cases {
			got[tc.name] = stays(admin, addr, tc.in, tc.behind)
		}
		return got
	}
	want := run(startRedis(t))
	bothTransports(t, func(t *testing.T, options ...string) {
		_, addr := startServer(t, options...)
		require.Equal(t, want, run(addr))
	})
}

// Behind a command that blocks nothing is parsed: all that comes is in the input buffer. A command that
// CLIENT PAUSE holds back has left it.
func TestClientListCountsWhatWaitsBehindABlockedCommand(t *testing.T) {
	ins := map[string]string{
		"half": "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$1000\r\nxx", "header": "*3\r\n$3\r\nSE", "inline": "PING\r\nPING\r\nPI",
		"commands and half": strings.Repeat(wire("PING"), 3) + "*3\r\n$3\r\nSET\r\n$3\r\nk",
		"large":             "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$900000\r\n" + strings.Repeat("x", 200_000),
	}
	run := func(addr string) map[string]string {
		admin := dial(t, addr)
		got := map[string]string{}
		look := func(name string, id int64, n int) {
			require.Eventually(t, func() bool {
				line := lineOf(admin, id)
				got[name] = fmt.Sprint(line["flags"], " ", line["qbuf"], " ", line["argv-mem"])
				return line["qbuf"] == strconv.Itoa(n)
			}, time.Minute, time.Millisecond, name)
		}
		for name, in := range ins {
			c := dial(t, addr)
			id := c.do("CLIENT ID").Int
			c.send("BLPOP", "list", "0")
			require.Eventually(t, func() bool { return lineOf(admin, id)["flags"] == "b" }, time.Minute, time.Millisecond)
			_, err := io.WriteString(c.conn, in)
			require.NoError(t, err)
			look(name, id, len(in))
		}
		c := dial(t, addr)
		id := c.do("CLIENT ID").Int
		admin.want("CLIENT PAUSE 100000 WRITE", "+OK")
		_, err := io.WriteString(c.conn, wire("SET", "a", "b")+ins["commands and half"])
		require.NoError(t, err)
		look("paused", id, len(ins["commands and half"]))
		admin.want("CLIENT UNPAUSE", "+OK")
		require.Equal(t, "+OK", show(c.read()))
		return got
	}
	want := run(startRedis(t))
	bothTransports(t, func(t *testing.T, options ...string) {
		_, addr := startServer(t, options...)
		require.Equal(t, want, run(addr))
	})
}
