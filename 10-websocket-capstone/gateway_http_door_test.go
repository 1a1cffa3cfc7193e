package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The door for plain HTTP requests: which pages may ask, who must log in, and how much of it there may be.

// pagesThatAsk are what browsers say of the pages whose requests they send.
var pagesThatAsk = []struct {
	origin, site string
	allowed      bool
}{
	{"", "", true}, {"", "same-origin", true}, {"", "none", true}, {"own", "same-origin", true}, {"own", "", true},
	{"https://friend.example", "cross-site", true},
	{"", "cross-site", false}, {"", "same-site", false}, {"", "something", false}, {"http://evil.example", "", false},
	{"http://evil.example", "cross-site", false}, {"null", "cross-site", false}, {"http://localhost:1", "same-site", false},
	{"https://friend.example.evil.example", "", false},
}

// Whatever a page of another site can send without being asked first must not be executed.
func TestHTTPOfOtherPages(t *testing.T) {
	g := startHTTP(t, func(o *gatewayOptions) {
		o.Origins = []string{"friend.example"}
		o.Hosts = []string{"redis.example"}
	})
	own := g.http.URL
	runs := int64(0)
	for _, c := range pagesThatAsk {
		if c.origin == "own" {
			c.origin = own
		}
		var headers []string
		if c.origin != "" {
			headers = append(headers, "Origin", c.origin)
		}
		if c.site != "" {
			headers = append(headers, "Sec-Fetch-Site", c.site)
		}
		status, allowOrigin := 403, ""
		if c.allowed {
			status, allowOrigin = 200, c.origin
			runs += 2
		}
		for _, r := range []*http.Response{first(g.ask("POST", "/c/INCR/runs", "", headers...)), first(g.post(`["INCR","runs"]`, headers...)), first(g.ask("GET", "/c/GET/runs", "", headers...))} {
			require.Equal(t, status, r.StatusCode, c)
			require.Equal(t, allowOrigin, r.Header.Get("Access-Control-Allow-Origin"), c)
			require.Empty(t, r.Header.Get("Access-Control-Allow-Credentials"))
			require.Contains(t, r.Header.Get("Vary"), "Origin")
		}
		r := first(g.ask("OPTIONS", "/c", "", append(headers, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization, content-type")...))
		require.Equal(t, allowOrigin, r.Header.Get("Access-Control-Allow-Origin"), c)
		if !c.allowed {
			require.Equal(t, 403, r.StatusCode, c)
			require.Empty(t, r.Header.Get("Access-Control-Allow-Methods"), c)
			continue
		}
		require.Equal(t, 204, r.StatusCode, c)
		require.Equal(t, c.origin != "", strings.Contains(r.Header.Get("Access-Control-Allow-Headers"), "Authorization"), c)
	}
	require.Equal(t, fmt.Sprint(runs), string(g.engineDo("GET", "runs").Str), "nothing else was executed")
	r := first(g.ask("GET", "/c/PING", "", "Origin", own, "Origin", "http://evil.example"))
	require.Equal(t, 403, r.StatusCode, "two origins")
	r = first(g.ask("GET", "/c/PING", "", "Host", "evil.example"))
	require.Equal(t, 403, r.StatusCode, "a rebound name")
	r = first(g.ask("GET", "/c/PING", "", "Host", "redis.example"))
	require.Equal(t, 200, r.StatusCode)
	require.Zero(t, g.places())
}

func first(r *http.Response, _ string) *http.Response { return r }

func basic(user, pass string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+pass))
}

func TestHTTPLogin(t *testing.T) {
	g := startHTTP(t, withPassword, "--requirepass", "secret", "--user ann on >p:w +get +set +command|info ~a*")
	for _, c := range []struct {
		header string
		status int
		user   string
	}{
		{"", 401, ""}, {basic("default", "secret"), 200, "default"}, {basic("", "secret"), 200, "default"}, {"Bearer secret", 200, "default"},
		{"bearer  secret", 200, "default"}, {"basic " + strings.TrimPrefix(basic("default", "secret"), "Basic "), 200, "default"},
		{basic("default", "wrong"), 401, ""}, {"Bearer wrong", 401, ""}, {basic("nobody", "secret"), 401, ""}, {"Bearer ann:p:w", 401, ""},
		{"Basic", 401, ""}, {"Basic !", 401, ""}, {"Basic " + base64.StdEncoding.EncodeToString([]byte("secret")), 401, ""}, {"Digest x", 401, ""}, {"secret", 401, ""},
	} {
		var headers []string
		if c.header != "" {
			headers = []string{"Authorization", c.header}
		}
		r, body := g.ask("GET", "/c/PING", "", headers...)
		require.Equal(t, c.status, r.StatusCode, "%s: %s", c.header, body)
		if c.status == 401 {
			require.Equal(t, `Bearer realm="redis"`, r.Header.Get("WWW-Authenticate"))
			require.NotContains(t, body, "secret")
			continue
		}
		_, body = g.ask("POST", "/c/CLIENT/INFO.txt", "", headers...)
		require.Contains(t, body, " user="+c.user+" ")
	}
	require.EqualValues(t, 4, g.requests.failedLogins.Load(), "of those that had a password")
	ann := []string{"Authorization", basic("ann", "p:w")}
	require.Equal(t, 200, first(g.ask("POST", "/c/SET/a/1", "", ann...)).StatusCode)
	r, body := g.ask("GET", "/c/GET/b", "", ann...)
	require.Equal(t, 403, r.StatusCode)
	require.JSONEq(t, `{"error":{"code":"NOPERM","message":"`+lacksKey+`","retry":false}}`, body)
	require.Equal(t, 403, first(g.ask("POST", "/c/DEL/a", "", ann...)).StatusCode)
	require.Equal(t, 403, first(g.ask("GET", "/c/GET/a?db=1", "", ann...)).StatusCode, "SELECT is a command")
	r, body = g.ask("GET", "/c/PING", "", "Authorization", "Bearer secret", "Authorization", "Bearer secret")
	require.Equal(t, 401, r.StatusCode, body)
}

// A password has no place in a URL, whatever it is called there and whether or not it is right.
func TestHTTPPasswordInURL(t *testing.T) {
	g := startHTTP(t, withPassword, "--requirepass", "secret")
	for _, name := range secretParameters {
		r, body := g.ask("GET", "/c/PING?"+name+"=secret", "", "Authorization", "Bearer secret")
		require.Equal(t, 400, r.StatusCode)
		require.Contains(t, body, "must not stand in a URL")
	}
	conn, err := net.Dial("tcp", g.http.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = fmt.Fprintf(conn, "GET http://default:secret@127.0.0.1/c/PING HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
	require.NoError(t, err)
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.Contains(t, readAll(t, r), "must not stand in a URL")
	require.Equal(t, 400, r.StatusCode)
}

// Who guesses passwords soon has to wait, with the right one too.
func TestHTTPFailedLogins(t *testing.T) {
	g := startHTTP(t, withPassword, "--requirepass", "secret")
	for i := range failedLoginsBurst {
		require.Equal(t, 401, first(g.ask("GET", "/c/PING", "", "Authorization", fmt.Sprint("Bearer ", i))).StatusCode)
	}
	r, body := g.ask("GET", "/c/PING", "", "Authorization", "Bearer secret")
	require.Equal(t, 429, r.StatusCode)
	require.Contains(t, body, "too many failed logins")
	require.NotEmpty(t, r.Header.Get("Retry-After"))
	require.Equal(t, 401, first(g.ask("GET", "/c/PING", "")).StatusCode)
	require.EqualValues(t, failedLoginsBurst, g.requests.failedLogins.Load())
}

func TestHTTPRate(t *testing.T) {
	g := startHTTP(t, func(o *gatewayOptions) { o.OpsRate, o.OpsBurst = 0.001, 3 })
	for range 3 {
		require.Equal(t, 200, first(g.ask("GET", "/c/PING", "")).StatusCode)
	}
	r, body := g.ask("GET", "/c/PING", "")
	require.Equal(t, 429, r.StatusCode)
	require.JSONEq(t, `{"error":{"code":"RATE","message":"too many operations a second; wait a moment","retry":true}}`, body)
	require.NotEmpty(t, r.Header.Get("Retry-After"))
}

func TestAddressBook(t *testing.T) {
	now := time.Unix(1, 0)
	b := addressBook{rate: 10, burst: 2}
	one, two := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	require.Zero(t, b.operation(one, now))
	require.Zero(t, b.operation(one, now))
	require.Equal(t, 100*time.Millisecond, b.operation(one, now))
	require.Zero(t, b.operation(two, now), "another address")
	require.Zero(t, b.operation(one, now.Add(100*time.Millisecond)))
	for range failedLoginsBurst {
		require.Zero(t, b.mayLogIn(one, now), "asking costs nothing")
		b.failedLogin(one, now)
	}
	require.Equal(t, 6*time.Second, b.mayLogIn(one, now).Round(time.Millisecond))
	require.Zero(t, b.mayLogIn(two, now))
	for i := range 2 * maxAddresses {
		now = now.Add(time.Millisecond)
		b.operation(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32), now)
		b.operation(two, now)
	}
	require.Len(t, b.known, maxAddresses)
	require.Contains(t, b.known, two, "it is in use")
	require.NotContains(t, b.known, one)
	for remote, want := range map[string]string{"192.0.2.1:99": "192.0.2.1/32", "[::ffff:192.0.2.1]:99": "192.0.2.1/32", "[2001:db8::1]:5": "2001:db8::/64",
		"[2001:db8::ffff]:5": "2001:db8::/64", "[fe80::1%eth0]:5": "fe80::/64"} {
		require.Equal(t, want, addressOf(&http.Request{RemoteAddr: remote}).String())
	}
	require.False(t, addressOf(&http.Request{RemoteAddr: "@"}).IsValid())
}

// Each request has a session of its own: whatever one has done to it, the next one does not find.
func TestHTTPSessionsShareNothing(t *testing.T) {
	g := startHTTP(t, withPassword, "--requirepass", "secret", "--user ann on >pw +@all ~* &*")
	secret, ann := []string{"Authorization", "Bearer secret"}, []string{"Authorization", basic("ann", "pw")}
	require.Equal(t, 200, first(g.ask("POST", "/c/SET/k/here?db=3", "", ann...)).StatusCode)
	_, body := g.ask("GET", "/c/GET/k?db=3", "", secret...)
	require.JSONEq(t, `{"result":"here"}`, body)
	_, body = g.ask("GET", "/c/GET/k", "", secret...)
	require.JSONEq(t, `{"result":null}`, body)
	_, body = g.ask("POST", "/c/CLIENT/INFO.txt", "", secret...)
	for _, want := range []string{" db=0 ", " user=default ", " name=http ", " multi=-1 ", " sub=0 "} {
		require.Contains(t, body, want)
	}
	for _, db := range []string{"99", "x", ""} {
		require.Equal(t, 400, first(g.ask("GET", "/c/GET/k?db="+db, "", secret...)).StatusCode, db)
	}
	require.Equal(t, 401, first(g.ask("GET", "/c/GET/k", "")).StatusCode, "nobody has logged in for others")
	g.eventually(func() bool { return strings.Count(string(g.engineDo("CLIENT", "LIST").Str), "name=http") == 0 }, "the sessions are gone")
}

// No more requests than there are places; the rest is told to come back.
func TestHTTPPlaces(t *testing.T) {
	g := startHTTP(t, func(o *gatewayOptions) { o.MaxConnections = 2 })
	done := make(chan string, 2)
	for range 2 {
		go func() {
			_, body := g.ask("POST", "/c/BLPOP/q/0", "")
			done <- body
		}()
	}
	g.blocked("2")
	r, body := g.ask("GET", "/c/PING", "")
	require.Equal(t, 503, r.StatusCode, body)
	require.Equal(t, "1", r.Header.Get("Retry-After"))
	status, _ := g.upgrade()
	require.Equal(t, 503, status, "WebSockets and requests share the places")
	g.engineDo("RPUSH", "q", "a", "b")
	<-done
	<-done
	g.eventually(func() bool { return g.places() == 0 }, "the places are free again")
	require.Equal(t, 200, first(g.ask("GET", "/c/PING", "")).StatusCode)
}

// A body that does not come in time costs the request, and not more.
func TestHTTPSlowBody(t *testing.T) {
	g := startHTTP(t, func(o *gatewayOptions) { o.ReadTimeout = 50 * time.Millisecond })
	conn, err := net.Dial("tcp", g.http.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "POST /c HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n[\"SET\"")
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.Equal(t, 408, r.StatusCode)
	g.eventually(func() bool { return g.places() == 0 }, "the place is free")
}

func TestHTTPMetrics(t *testing.T) {
	g := startHTTP(t, nil)
	g.ask("GET", "/c/PING", "")
	g.ask("GET", "/c/GET", "")
	g.ask("GET", "/c/GET", "")
	_, body := g.get("/metrics")
	for _, want := range []string{"\nbyor_http_requests_total{code=\"200\"} 1\n", "\nbyor_http_requests_total{code=\"400\"} 2\n", "\nbyor_http_streams 0\n", "\nbyor_http_failed_logins_total 0\n"} {
		require.Contains(t, body, want)
	}
}

func TestLatch(t *testing.T) {
	var l latch
	require.False(t, l.Load())
	before := l.Ending()
	require.NoError(t, before.Err())
	require.False(t, l.Swap(true))
	require.True(t, l.Swap(true))
	require.Error(t, before.Err())
	require.Error(t, l.Ending().Err(), "it is on")
	l.Store(false)
	require.False(t, l.Load())
	require.NoError(t, l.Ending().Err(), "it may go on again")
	l.Store(true)
	require.Error(t, l.Ending().Err())
	var m latch
	m.Store(true)
	require.Error(t, m.Ending().Err())
}
