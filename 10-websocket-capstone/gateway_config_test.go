package main

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/config"
	"byor/pkg/resp"
	"byor/pkg/server"
)

// A command that was renamed is judged by what it does: a new name opens no door.
func TestRenamedCommandsAreJudgedByTheirOldNames(t *testing.T) {
	renamings := []string{"--rename-command", "CONFIG", "cfg", "--rename-command", "PUBLISH", "tell", "--rename-command", "SUBSCRIBE", "hear", "--rename-command", "multi", "begin"}
	cfg := config.Default()
	require.NoError(t, cfg.ParseArgs(renamings))
	g := startGateway(t, func(o *gatewayOptions) { o.Born, o.MaxSubscriptions = cfg.BornName, 1 }, renamings...)
	p, q := g.dial(protoJSON), g.dial(protoRESP)
	p.expect(`{"id":1,"op":"cmd","args":["CFG","GET","x"]}`, denied(1, "administrative commands are denied over WebSocket"))
	p.expect(`{"id":2,"op":"cmd","args":["Tell","__presence__:room","x"]}`, denied(2, "presence is announced by the server only"))
	p.expect(`{"id":3,"op":"cmd","args":["hear","x"]}`, denied(3, "use the operation sub"))
	p.expect(`{"id":4,"op":"cmd","args":["begin"]}`, `{"id":4,"result":"OK"}`)
	p.say(`{"id":5,"op":"sub","channels":["x"]}`)
	require.Contains(t, p.hear(), `"error"`, "a transaction is known by any name")
	q.raw(command("cfg", "GET", "x"))
	q.hearRaw(refusedRaw(t, "CFG", "administrative commands are denied over WebSocket"))
	q.raw(command("hear", "a") + command("hear", "b"))
	q.hearRaw("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n" + refusedRaw(t, "HEAR", "too many subscriptions"))
}

// CONFIG REWRITE keeps the gateway's lines as they are.
func TestConfigRewriteKeepsTheGatewaysSettings(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "redis.conf")
	lines := "port 0\nhttp-port 0\n# mine\nws-allow-commands config|get flushall\nws-ping 20\n"
	require.NoError(t, os.WriteFile(file, []byte(lines), 0o644))
	o := defaultGatewayOptions()
	cfg := config.Default()
	cfg.Others, cfg.OtherNames = o.Set, o.Has
	require.NoError(t, cfg.ParseArgs([]string{file, "--dir", dir, "--save", ""}))
	srv := server.New(cfg, server.Options{Log: server.LogTo(io.Discard)})
	require.NoError(t, srv.Start())
	t.Cleanup(func() { _ = srv.Shutdown(context.Background(), server.ShutdownMode{NoSave: true, Now: true}) })
	conn, err := dialInMemory(srv.ServeConn)(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "CONFIG REWRITE\r\n")
	require.NoError(t, err)
	v, err := resp.NewReader(conn).ReadValue()
	require.NoError(t, err)
	require.Equal(t, "OK", string(v.Str))
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(b), lines), string(b))
	o, cfg = defaultGatewayOptions(), config.Default()
	cfg.Others = o.Set
	require.NoError(t, cfg.ParseArgs([]string{file}))
	require.Equal(t, 20*time.Second, o.Ping)
}
