package server

import (
	"bytes"
	"io"
	"testing"
	"time"

	"byor/pkg/rdb"

	"github.com/stretchr/testify/require"
)

// toolSync asks for a snapshot as redis-cli --rdb and --functions-rdb do, and returns the keys and libraries in it.
func toolSync(t *testing.T, addr string, more ...string) (keys, libraries int) {
	c := dial(t, addr)
	c.want("REPLCONF capa eof", "+OK")
	c.want("REPLCONF rdb-only 1", "+OK")
	if len(more) > 0 {
		c.send(append([]string{"REPLCONF", "rdb-filter-only"}, more...)...)
		require.Equal(t, "+OK", show(c.read()))
	}
	c.send("SYNC")
	c.conn.SetReadDeadline(time.Now().Add(time.Minute))
	all, err := io.ReadAll(c.conn)
	require.NoError(t, err)
	all = bytes.TrimLeft(all, "\n") // it was kept waiting
	head, body, _ := bytes.Cut(all, []byte("\r\n"))
	mark, streamed := bytes.CutPrefix(head, []byte("$EOF:"))
	require.True(t, streamed, "%q", head)
	body, whole := bytes.CutSuffix(body, mark)
	require.True(t, whole)
	require.NoError(t, rdb.NewReader(bytes.NewReader(body)).Read(rdb.Handler{
		Entry:    func(*rdb.Entry) error { keys++; return nil },
		Function: func([]byte) error { libraries++; return nil },
	}))
	return keys, libraries
}

// A tool gets the part of the data that it asks for, straight to its connection, which ends then.
func TestSnapshotForATool(t *testing.T) {
	theirs := startRedis(t, "--repl-diskless-sync-delay", "0")
	_, ours := startServer(t)
	for _, addr := range []string{theirs, ours} {
		c := dial(t, addr)
		c.do("DEBUG POPULATE 50")
		c.want(`FUNCTION LOAD "#!lua name=l\nredis.register_function('f', function() return 1 end)"`, `"l"`)
		for _, want := range []struct {
			keys, libraries int
			parts           []string
		}{{50, 1, nil}, {0, 1, []string{"functions"}}, {0, 1, []string{" Functions functions"}}, {0, 0, []string{""}}} {
			keys, libraries := toolSync(t, addr, want.parts...)
			require.Equal(t, want.keys, keys, "%v %q", addr == ours, want.parts)
			require.Equal(t, want.libraries, libraries, "%v %q", addr == ours, want.parts)
		}
		c.want("REPLCONF rdb-filter-only 'functions keys'", "-ERR Unsupported rdb-filter-only option: keys")
		c.want("REPLCONF rdb-only x", "-ERR value is not an integer or out of range")
		c.want("REPLCONF rdb-filter-only functions", "+OK")
		c.want("SYNC", "-ERR Filtered replica requires EOF capability")
		c.want("PING", "+PONG")
	}
}
