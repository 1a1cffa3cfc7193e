package main

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"byor/pkg/certs"
	"byor/pkg/redistest"
)

// secureGateway starts a gateway with TLS, whose certificate a has signed.
func secureGateway(t *testing.T, a *redistest.Authority, change func(o *gatewayOptions)) *testGateway {
	t.Helper()
	return startGateway(t, func(o *gatewayOptions) {
		o.TLS, o.Certs = true, &certs.Keeper{}
		if change != nil {
			change(o)
		}
		renew(t, o, a)
	})
}

// renew loads a new certificate, as a reload would.
func renew(t *testing.T, o *gatewayOptions, a *redistest.Authority) {
	t.Helper()
	p := a.Sign("gateway")
	b, err := certs.Load(certs.Settings{CertFile: p.Cert, KeyFile: p.Key, CACertFile: a.File, AuthClients: certs.AuthYes, Web: o.AskCerts, SessionCaching: true})
	require.NoError(t, err)
	o.Certs.Use(b)
}

// secureDial opens a WebSocket over TLS.
func (g *testGateway) secureDial(proto string, with *tls.Config) *peer {
	g.t.Helper()
	d := websocket.Dialer{HandshakeTimeout: patience, TLSClientConfig: with, Subprotocols: []string{proto}}
	require.True(g.t, strings.HasPrefix(g.url(), "wss://"))
	c, _, err := d.Dial(g.url(), nil)
	require.NoError(g.t, err)
	g.t.Cleanup(func() { _ = c.Close() })
	require.NoError(g.t, c.SetReadDeadline(time.Now().Add(patience)))
	return &peer{Conn: c, t: g.t}
}

func TestSecureWebSocket(t *testing.T) {
	a := redistest.NewAuthority(t)
	g := secureGateway(t, a, nil)
	with := a.Trusting()
	client := http.Client{Transport: &http.Transport{TLSClientConfig: with, ForceAttemptHTTP2: true}}
	r, err := client.Get(g.http.URL + "/healthz")
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1", r.Proto)
	_ = r.Body.Close()

	p, sub, raw := g.secureDial(protoJSON, with), g.secureDial(protoJSON, with), g.secureDial(protoRESP, with)
	raw.raw(command("SET", "k", "v"))
	raw.hearRaw("+OK\r\n")
	p.expect(`{"id":1,"op":"cmd","args":["GET","k"]}`, `{"id":1,"result":"v"}`)
	sub.expect(`{"id":1,"op":"sub","channels":["c"]}`, `{"id":1,"result":{"subscribed":["c"]}}`)
	large := strings.Repeat("x", 60<<10)
	for range 20 {
		g.engineDo("PUBLISH", "c", large)
	}
	for range 20 {
		sub.expect("", `{"push":"message","channel":"c","data":"`+large+`"}`)
	}

	// A new certificate is for who comes next.
	serial := func() string {
		conn, err := tls.Dial("tcp", g.http.Listener.Addr().String(), with)
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	before := serial()
	renew(t, &g.opts, a)
	require.NotEqual(t, before, serial())
	p.expect(`{"id":2,"op":"ping"}`, `{"id":2,"result":"PONG"}`)
}

// Plain text gets no page and no socket. A page of another host is refused as without TLS.
func TestSecureGatewayRefuses(t *testing.T) {
	a := redistest.NewAuthority(t)
	g := secureGateway(t, a, nil)
	addr := g.http.Listener.Addr().String()
	r, err := http.Get("http://" + addr + "/")
	require.NoError(t, err)
	said, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	_ = r.Body.Close()
	require.Equal(t, http.StatusBadRequest, r.StatusCode)
	require.Equal(t, "Client sent an HTTP request to an HTTPS server.\n", string(said))
	_, _, err = websocket.DefaultDialer.Dial("ws://"+addr+"/ws", nil)
	require.ErrorIs(t, err, websocket.ErrBadHandshake)
	d := websocket.Dialer{TLSClientConfig: a.Trusting()}
	for _, header := range []http.Header{{"Origin": {"https://evil.example"}}, {"Host": {"evil.example"}}} {
		_, r, err := d.Dial(g.url(), header)
		require.ErrorIs(t, err, websocket.ErrBadHandshake)
		require.Equal(t, http.StatusForbidden, r.StatusCode)
	}
	_, _, err = d.Dial(g.url(), http.Header{"Origin": {g.http.URL}})
	require.NoError(t, err)
}

func TestSecureGatewayAsksForCertificates(t *testing.T) {
	a, other := redistest.NewAuthority(t), redistest.NewAuthority(t)
	g := secureGateway(t, a, func(o *gatewayOptions) { o.AskCerts = certs.AuthYes })
	g.secureDial(protoJSON, a.Trusting(a.Sign("browser"))).expect(`{"id":1,"op":"ping"}`, `{"id":1,"result":"PONG"}`)
	p := other.Sign("browser")
	foreign, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	require.NoError(t, err)
	for _, shown := range []*tls.Certificate{{}, &foreign} {
		with := a.Trusting()
		with.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return shown, nil }
		d := websocket.Dialer{TLSClientConfig: with}
		_, _, err := d.Dial(g.url(), nil)
		require.Error(t, err)
		require.NotErrorIs(t, err, websocket.ErrBadHandshake, "it ends before HTTP")
	}
}

// The last word gets through TLS: to who stalls, in the middle of a message, and to who has sent too much.
func TestLastWordsOverTLS(t *testing.T) {
	a := redistest.NewAuthority(t)
	g := secureGateway(t, a, func(o *gatewayOptions) {
		o.WriteTimeout, o.CloseTimeout, o.MaxQueue = 100*time.Millisecond, time.Minute, 64<<20
	})
	p := g.secureDial(protoJSON, a.Trusting())
	g.eventually(func() bool { return len(g.open()) == 1 }, "it is in")
	require.NoError(t, g.open()[0].unsent.Conn.(*net.TCPConn).SetWriteBuffer(16<<10)) // little is soon full
	flooded(t, 60<<10)(g, p)
	require.NoError(t, p.SetReadDeadline(time.Now().Add(patience)))
	code, messages := p.readToTheEnd()
	require.Equal(t, closeSlow, code)
	for _, m := range messages { // none, where the time was over before the first was begun
		require.Contains(t, m, `{"push":"message","channel":"c","data":"`)
	}
	g.eventually(func() bool { return len(g.open()) == 0 }, "it is gone")

	p = g.secureDial(protoJSON, a.Trusting())
	p.say(`"` + strings.Repeat("x", 8*g.opts.MaxMessage) + `"`)
	p.expectClose(websocket.CloseMessageTooBig)
}

// The page in a real browser: over https it takes wss, and works.
func TestPageOverTLS(t *testing.T) {
	a := redistest.NewAuthority(t)
	g := secureGateway(t, a, nil)
	b := openTab(t, "about:blank")
	var nothing any
	b.call("Security.setIgnoreCertificateErrors", map[string]any{"ignore": true}, &nothing) // it does not know the authority
	b.call("Page.navigate", map[string]any{"url": g.http.URL + "/"}, &nothing)
	g.eventually(func() bool { return len(g.open()) > 0 }, "the page is connected")
	require.Equal(t, "true", b.eval(`location.protocol === "https:" && window.isSecureContext`))
	g.eventually(func() bool { return g.metrics.operations.Load() > 0 }, "it asks the engine")
}
