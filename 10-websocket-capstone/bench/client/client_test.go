package client

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
)

func TestOnRealRedis(t *testing.T) {
	addr := redistest.Start(t, t.TempDir())
	require.NoError(t, Ping(t.Context(), addr))
	c, err := Dial(t.Context(), addr)
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	value, known := c.Config("appendfsync")
	require.True(t, known)
	require.Equal(t, "everysec", value)
	_, known = c.Config("no-such-setting")
	require.False(t, known)
	require.Equal(t, "master", c.Info("replication")["role"])

	add := func(i int, args []string) []string { return append(args, "INCR", "n") }
	require.NoError(t, c.Fill(3*inFlight+1, add))
	v, err := c.Ask("GET", "n")
	require.NoError(t, err)
	require.Equal(t, "1501", string(v.Str), "each of them once")

	_, err = c.Ask("INCR", "n", "x")
	require.ErrorContains(t, err, "wrong number of arguments")
	require.ErrorContains(t, c.Fill(2, func(int, []string) []string { return []string{"LPUSH", "n", "x"} }), "filling: WRONGTYPE")
}

func TestSockets(t *testing.T) {
	require.NoError(t, Ping(t.Context(), redistest.StartSocket(t)))
}

func TestEnds(t *testing.T) {
	require.ErrorContains(t, Ping(t.Context(), redistest.Answering(t, "+HELLO\r\n")), `the server says "HELLO"`)
	ctx, cancel := context.WithCancel(t.Context())
	c, err := Dial(ctx, redistest.Answering(t, ""))
	require.NoError(t, err)
	cancel()
	_, err = c.Ask("PING")
	require.Error(t, err, "the end of the context is the end of the connection")
	_, err = Once(t.Context(), redistest.Answering(t, ""), time.Millisecond, "PING")
	require.Error(t, err)
}
