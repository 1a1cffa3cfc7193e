package server

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// The memory of a large value that another replaces is overwritten by what comes next, from whichever client. Nothing
// that has had it may see that: not the log, not what the same command or transaction says, not a reply that waits, not
// a value that was appended to. All clients at once replace, read and change the same few keys here.
func TestReplacedLargeValuesAreOverwrittenByNobody(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		dir := t.TempDir()
		_, addr := startServer(t, append(options, "--appendonly", "yes", "--auto-aof-rewrite-percentage", "0", "--dir", dir)...)
		const clients, keys, rounds = 6, 4, 25
		done := make(chan error, clients)
		for id := range clients {
			conn := dial(t, addr)
			go func() { done <- replaceLarge(conn, id, keys, rounds) }()
		}
		for range clients {
			require.NoError(t, <-done)
		}
		c := dial(t, addr)
		before := make([][]byte, keys)
		for k := range before {
			before[k] = c.do(fmt.Sprint("GET k", k)).Str
		}
		c.want("DEBUG LOADAOF", "+OK")
		for k := range before {
			require.True(t, bytes.Equal(before[k], c.do(fmt.Sprint("GET k", k)).Str), "key %d is another one in the log", k)
		}
	})
}

// replaceLarge sends batches of commands with large values that are all of one letter, and looks at what it gets.
func replaceLarge(c *testConn, id, keys, rounds int) error {
	for round := range rounds {
		value := func(i int) string {
			return strings.Repeat(string(rune('a'+(id*7+round+i)%26)), resp.LargeBulk+(round%3)*5000+i)
		}
		key := func(i int) string { return fmt.Sprint("k", (id+round+i)%keys) }
		var wire []byte
		add := func(args ...string) { wire = resp.AppendCommandStrings(wire, args...) }
		add("SET", key(0), value(0))
		add("MSET", key(1), value(1), key(1), value(2), key(2), value(3))
		add("GET", key(1))
		add("MULTI")
		add("SET", key(3), value(4))
		add("SET", key(3), value(5))
		add("APPEND", key(3), value(5)[:100])
		add("SETRANGE", key(3), "7", value(5)[:10])
		add("GET", key(3))
		add("EXEC")
		add("GETSET", key(0), value(6))
		add("GET", key(0))
		sent := make(chan error, 1)
		go func() { _, err := c.conn.Write(wire); sent <- err }()
		for i := range 12 {
			v := c.read()
			if v.IsError() {
				return fmt.Errorf("reply %d: %s", i, v.Str)
			}
			if i == 9 {
				v = v.Elems[4]
			}
			if b := v.Str; len(b) > resp.LargeBulk && !bytes.Equal(b, bytes.Repeat(b[:1], len(b))) {
				return fmt.Errorf("reply %d has different letters", i)
			}
		}
		if err := <-sent; err != nil {
			return err
		}
	}
	return nil
}
