package server

import (
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

var aTime = regexp.MustCompile(`1[0-9]{12}(-[0-9]+)?`)

// fakeReplica is a replica that keeps no data: it shows what a server sends to its replicas.
type fakeReplica struct {
	t    testing.TB
	conn net.Conn
	rd   *resp.CommandReader
	end  int // marks set so far
}

// followFake attaches a fake replica and reads the snapshot away.
func followFake(t testing.TB, addr string) *fakeReplica {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	f := &fakeReplica{t: t, conn: conn, rd: resp.NewCommandReader(conn)}
	conn.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(conn, "REPLCONF capa psync2\r\n")
	require.Equal(t, "+OK", f.line())
	io.WriteString(conn, "PSYNC ? -1\r\n")
	require.Contains(t, f.line(), "+FULLRESYNC ")
	size, err := strconv.Atoi(strings.TrimPrefix(f.line(), "$"))
	require.NoError(t, err)
	_, err = io.CopyN(io.Discard, f.rd, int64(size))
	require.NoError(t, err)
	return f
}

// line reads an answer. Empty lines only say that the server is alive.
func (f *fakeReplica) line() string {
	for {
		line, err := f.rd.ReadLine()
		require.NoError(f.t, err)
		if len(line) > 0 {
			return string(line)
		}
	}
}

// upTo makes c's server write a mark and returns the effects that came before it, each on a line, with
// times as "T". What only keeps the link alive is left out.
func (f *fakeReplica) upTo(c *testConn) []string {
	f.t.Helper()
	f.end++
	mark := fmt.Sprintf("SET mark %d", f.end)
	c.want(mark, "+OK")
	f.conn.SetDeadline(time.Now().Add(time.Minute))
	effects := []string{}
	for {
		args, err := f.rd.ReadCommand()
		require.NoError(f.t, err)
		b := make([]string, len(args))
		for i, a := range args {
			b[i] = string(a)
		}
		line := aTime.ReplaceAllString(strings.Join(b, " "), "T")
		switch name := strings.ToLower(b[0]); {
		case line == mark:
			return effects
		case name != "ping" && name != "replconf":
			effects = append(effects, line)
		}
	}
}

// wantOpen requires that the server has not ended the link.
func (f *fakeReplica) wantOpen() {
	f.t.Helper()
	f.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, err := f.rd.ReadCommand()
	var ne net.Error
	require.ErrorAs(f.t, err, &ne)
	require.True(f.t, ne.Timeout(), "%v", err)
}

// wantClosed requires that the server ends the link.
func (f *fakeReplica) wantClosed() {
	f.t.Helper()
	f.conn.SetReadDeadline(time.Now().Add(time.Minute))
	for {
		if _, err := f.rd.ReadCommand(); err != nil {
			ne, ok := err.(net.Error)
			require.False(f.t, ok && ne.Timeout(), "the server did not end the link")
			return
		}
	}
}
