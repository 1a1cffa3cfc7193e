//go:build unix

package main

import (
	"crypto/tls"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
)

// The program as its users have it: one certificate for redis-cli and browsers, renewed by SIGHUP.
func testTLS(t *testing.T, bin string) {
	a := redistest.NewAuthority(t)
	server, client := a.Sign("server"), a.Sign("client")
	conf, port, page := filepath.Join(t.TempDir(), "redis.conf"), strconv.Itoa(redistest.Port(t)), strconv.Itoa(redistest.Port(t))
	log := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(conf, []byte("port 0\ntls-port "+port+"\nhttp-port "+page+"\nhttp-tls yes\nrequirepass secret\ntls-cert-file "+server.Cert+
		"\ntls-key-file "+server.Key+"\ntls-ca-cert-file "+a.File+"\nlogfile "+log+"\n"), 0o600))
	n := superviseIt(t, nil, bin, conf, "--dir", t.TempDir(), "--supervised", "systemd")
	for n.hears() != "READY=1\n" {
	}
	c := redistest.ConnectTLS(t, "127.0.0.1:"+port, a.Trusting(client))
	c.Want("AUTH secret", "+OK")
	c.Want("SET k v", "+OK")
	d := websocket.Dialer{TLSClientConfig: a.Trusting()}
	ws, _, err := d.Dial("wss://localhost:"+page+"/ws", nil)
	require.NoError(t, err)
	defer func() { _ = ws.Close() }()
	p := &peer{Conn: ws, t: t}
	p.say(`{"id":1,"op":"hello","auth":{"user":"default","pass":"secret"}}`)
	p.hear()
	p.expect(`{"id":2,"op":"cmd","args":["GET","k"]}`, `{"id":2,"result":"v"}`)

	for _, h := range []asked{
		{nil, []string{conf}, "", ""},
		{nil, []string{conf, "--tls-port", "0"}, "", ""},
		{[]string{"SSL_CERT_FILE=" + a.File}, []string{"https://127.0.0.1:" + page}, "", ""},
		{nil, []string{"https://127.0.0.1:" + page}, "", "unknown authority"},
		{[]string{"SSL_CERT_FILE=" + a.File}, []string{"rediss://:secret@127.0.0.1:" + port}, "", "certificate required"},
	} {
		h.check(t, bin)
	}
	redistest.Need(t, "redis-cli")
	out, err := exec.Command("redis-cli", "--tls", "--cacert", a.File, "--cert", client.Cert, "--key", client.Key, "-p", port, "-a", "secret", "--no-auth-warning", "GET", "k").CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "v\n", string(out))

	serial := func(port string) string {
		conn, err := tls.Dial("tcp", "127.0.0.1:"+port, a.Trusting(client))
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	require.Equal(t, serial(port), serial(page))
	before := serial(port)
	a.Sign("server")
	n.signal(syscall.SIGHUP)
	require.Contains(t, n.hears(), "RELOADING=1\n")
	require.Equal(t, "READY=1\n", n.hears())
	require.NotEqual(t, before, serial(port))
	require.Equal(t, serial(port), serial(page))
	c.Want("GET k", `"v"`)
	p.expect(`{"id":3,"op":"ping"}`, `{"id":3,"result":"PONG"}`)
	said, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Contains(t, string(said), "The certificates were loaded anew.")

	// Without the files it does not start, and says so.
	said, err = exec.Command(bin, "--http-tls", "yes", "--port", "0", "--http-port", page, "--dir", t.TempDir()).CombinedOutput()
	require.Error(t, err)
	require.Equal(t, "Failed to configure TLS: No tls-cert-file configured!\n", string(said))
}
