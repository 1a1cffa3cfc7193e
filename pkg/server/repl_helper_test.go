package server

import (
	"bufio"
	"bytes"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// testReplica is a replica that only looks at the stream. It acknowledges nothing by itself.
type testReplica struct {
	*testConn
	br     *bufio.Reader
	stream *resp.CommandReader
}

// replicaConn is the connection of a replica that has asked for nothing yet.
func replicaConn(t testing.TB, addr string) *testReplica {
	t.Helper()
	c := dial(t, addr)
	c.conn.SetDeadline(time.Now().Add(time.Minute))
	c.send("REPLCONF", "capa", "psync2")
	r := &testReplica{testConn: c, br: bufio.NewReader(c.conn)}
	require.Equal(t, "+OK", r.line())
	return r
}

// replicaOf asks a server for everything and reads the snapshot.
func replicaOf(t testing.TB, addr string) *testReplica {
	t.Helper()
	r := replicaConn(t, addr)
	r.send("PSYNC", "?", "-1")
	require.Contains(t, r.line(), "+FULLRESYNC ")
	n, err := strconv.Atoi(strings.TrimPrefix(r.line(), "$"))
	require.NoError(t, err)
	_, err = io.CopyN(io.Discard, r.br, int64(n))
	require.NoError(t, err)
	r.stream = resp.NewCommandReader(r.br)
	return r
}

// line reads a line that is not empty: empty ones are signs of life.
func (r *testReplica) line() string {
	for {
		line, err := r.br.ReadString('\n')
		require.NoError(r.t, err)
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
}

// next returns the next command of the stream.
func (r *testReplica) next() string {
	r.t.Helper()
	args, err := r.stream.ReadCommand()
	require.NoError(r.t, err)
	return string(bytes.Join(args, []byte(" ")))
}

// Close ends the connection.
func (r *testReplica) Close() { r.conn.Close() }

// snapshot reads a snapshot in either framing.
func (c *testReplica) snapshot(t testing.TB) string {
	header := c.line()
	if mark, ok := strings.CutPrefix(header, "$EOF:"); ok {
		var got []byte
		for buf := make([]byte, 1<<20); !strings.HasSuffix(string(got[max(0, len(got)-40):]), mark); {
			n, err := c.br.Read(buf)
			require.NoError(t, err)
			got = append(got, buf[:n]...)
		}
		return string(got[:len(got)-40])
	}
	n, err := strconv.Atoi(strings.TrimPrefix(header, "$"))
	require.NoError(t, err)
	b := make([]byte, n)
	_, err = io.ReadFull(c.br, b)
	require.NoError(t, err)
	return string(b)
}
