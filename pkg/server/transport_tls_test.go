package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/config"
	"byor/pkg/redistest"
)

// tlsServer is a server that listens by TLS alone.
type tlsServer struct {
	*Server
	t    testing.TB
	a    *redistest.Authority
	addr string
	own  redistest.Pair // the server's
	them redistest.Pair // the clients'
	log  *redistest.Buffer
}

// startTLS runs a server whose certificate a has signed.
func startTLS(t testing.TB, a *redistest.Authority, options ...string) *tlsServer {
	t.Helper()
	s := &tlsServer{t: t, a: a, own: a.Sign("server"), them: a.Sign("client"), log: &redistest.Buffer{}}
	port := itoa(redistest.Port(t))
	s.addr = "127.0.0.1:" + port
	cfg := config.Default()
	require.NoError(t, cfg.ParseArgs(append([]string{"--port", "0", "--tls-port", port, "--save", "", "--dir", t.TempDir(),
		"--tls-cert-file", s.own.Cert, "--tls-key-file", s.own.Key, "--tls-ca-cert-file", a.File, "--repl-diskless-sync-delay", "0"}, options...)))
	s.Server = New(cfg, Options{Log: LogTo(s.log)})
	require.NoError(t, s.certsErr)
	require.NoError(t, s.listen())
	require.NoError(t, s.Start())
	t.Cleanup(func() { stopServer(t, s.Server) })
	return s
}

// client connects with a certificate.
func (s *tlsServer) client() *testConn {
	s.t.Helper()
	return of(redistest.ConnectTLS(s.t, s.addr, s.a.Trusting(s.them)))
}

// serial returns the number of the certificate that the server shows.
func (s *tlsServer) serial() string {
	s.t.Helper()
	conn, err := tls.Dial("tcp", s.addr, s.a.Trusting(s.them))
	require.NoError(s.t, err)
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// args are what makes a Redis, or its command line, use TLS with a certificate of p.
func tlsArgs(prefix string, a *redistest.Authority, p redistest.Pair) []string {
	if prefix == "" {
		return []string{"--tls", "--cacert", a.File, "--cert", p.Cert, "--key", p.Key}
	}
	return []string{prefix + "cert-file", p.Cert, prefix + "key-file", p.Key, prefix + "ca-cert-file", a.File}
}

// Redis's own client gets in, and a session is what it is elsewhere.
func TestTLSClients(t *testing.T) {
	a := redistest.NewAuthority(t)
	s := startTLS(t, a)
	_, port, _ := net.SplitHostPort(s.addr)
	c := s.client()
	c.want("SET k v", "+OK")
	require.Equal(t, port, c.info("tcp_port"))
	require.Contains(t, string(c.do("CLIENT LIST").Str), "addr="+c.conn.LocalAddr().String()+" laddr="+s.addr)

	t.Run("large values", func(t *testing.T) {
		big := strings.Repeat("0123456789abcdef", 1<<18)
		c.send("SET", "big", big)
		require.Equal(t, "+OK", show(c.read()))
		for range 4 {
			c.send("GET", "big")
		}
		for range 4 {
			require.True(t, string(c.read().Str) == big)
		}
	})
	t.Run("pushed from elsewhere", func(t *testing.T) {
		sub, blocked := s.client(), s.client()
		sub.do("SUBSCRIBE ch")
		blocked.send("BLPOP", "list", "0")
		c.becomes("blocked_clients", "1")
		c.want("PUBLISH ch hi", ":1")
		c.want("RPUSH list x", ":1")
		require.Equal(t, `*["message" "ch" "hi"]`, show(sub.read()))
		require.Equal(t, `*["list" "x"]`, show(blocked.read()))
	})
	t.Run("killed", func(t *testing.T) {
		victim := s.client()
		id := show(victim.do("CLIENT ID"))[1:]
		c.want("CLIENT KILL ID "+id, ":1")
		_, err := victim.rd.ReadValue()
		require.ErrorIs(t, err, io.EOF) // a farewell, and no mere end
	})
	t.Run("redis-cli", func(t *testing.T) {
		redistest.Need(t, "redis-cli")
		out, err := exec.Command("redis-cli", append(tlsArgs("", a, s.them), "-p", port, "GET", "k")...).CombinedOutput()
		require.NoError(t, err)
		require.Equal(t, "v\n", string(out))
	})
}

// Who has to show a certificate, and whose is good enough.
func TestTLSClientCertificates(t *testing.T) {
	a, other := redistest.NewAuthority(t), redistest.NewAuthority(t)
	s := startTLS(t, a)
	good, foreign := a.Sign("good"), other.Sign("client")
	forServers := a.Sign("forservers", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	old := a.Sign("old", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	admin := s.client()
	for _, row := range []struct {
		auth  string
		pairs []redistest.Pair
		letIn bool
	}{
		{"yes", nil, false}, {"yes", []redistest.Pair{good}, true}, {"yes", []redistest.Pair{foreign}, false},
		{"yes", []redistest.Pair{forServers}, false}, {"yes", []redistest.Pair{old}, false},
		{"optional", nil, true}, {"optional", []redistest.Pair{good}, true}, {"optional", []redistest.Pair{foreign}, false},
		{"no", nil, true}, {"no", []redistest.Pair{foreign}, true},
	} {
		admin.want("CONFIG SET tls-auth-clients "+row.auth, "+OK")
		with := a.Trusting(row.pairs...)
		for i := range with.Certificates { // shown even if the server does not know who has signed it
			with.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &with.Certificates[i], nil }
		}
		require.Equal(t, row.letIn, pings(s.addr, with), "%+v", row)
	}
}

// pings reports whether a server answers. With TLS 1.3 a client hears only after its handshake that it was refused.
func pings(addr string, with *tls.Config) bool {
	conn, err := tls.Dial("tcp", addr, with)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(conn, "PING\r\n")
	b := make([]byte, 7)
	n, _ := io.ReadFull(conn, b)
	return string(b[:n]) == "+PONG\r\n"
}

// A peer that is up to no good, or to nothing.
func TestTLSHostilePeers(t *testing.T) {
	a := redistest.NewAuthority(t)
	s := startTLS(t, a, "--maxclients", "4")
	admin := s.client()
	for _, plain := range []string{"PING\r\n", "*1\r\n$4\r\nPING\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\xff\xff" + strings.Repeat("x", 1<<17), "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"} {
		conn, err := net.Dial("tcp", s.addr)
		require.NoError(t, err)
		conn.SetDeadline(time.Now().Add(time.Minute))
		io.WriteString(conn, plain)
		said, err := io.ReadAll(conn)
		conn.Close()
		var ne net.Error
		require.False(t, err != nil && asTimeout(err, &ne), "%q keeps the connection open", plain)
		require.NotContains(t, string(said), "PONG")
		require.NotContains(t, string(said), "ERR")
	}
	s.waitHandshakes(0) // the last has given its place back
	require.Eventually(t, func() bool { return strings.Contains(s.log.String(), "Error accepting a client connection: tls: ") }, time.Minute, time.Millisecond)

	// Three say nothing. They have the places of clients until they go.
	var silent []net.Conn
	for range 3 {
		conn, err := net.Dial("tcp", s.addr)
		require.NoError(t, err)
		defer conn.Close()
		silent = append(silent, conn)
	}
	s.waitHandshakes(3)
	refused := admin.info("rejected_connections")
	require.False(t, pings(s.addr, a.Trusting(s.them)))
	before, err := strconv.Atoi(refused)
	require.NoError(t, err)
	admin.becomes("rejected_connections", strconv.Itoa(before+1))
	admin.want("PING", "+PONG")
	for _, conn := range silent {
		conn.Close()
	}
	s.waitHandshakes(0)
	require.True(t, pings(s.addr, a.Trusting(s.them)))
}

func asTimeout(err error, ne *net.Error) bool {
	e, ok := err.(net.Error)
	*ne = e
	return ok && e.Timeout()
}

func (s *tlsServer) waitHandshakes(n int) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		s.eng.Enter()
		defer s.eng.Unlock()
		return s.handshakes == n
	}, time.Minute, time.Millisecond)
}

// A shutdown does not wait for those who have not shaken hands.
func TestTLSShutdownEndsHandshakes(t *testing.T) {
	s := startTLS(t, redistest.NewAuthority(t))
	conn, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	defer conn.Close()
	c := s.client()
	s.waitHandshakes(1)
	require.NoError(t, s.Shutdown(context.Background(), ShutdownMode{NoSave: true}))
	conn.SetDeadline(time.Now().Add(time.Minute))
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
	_, err = c.rd.ReadValue()
	require.ErrorIs(t, err, io.EOF)
}

// New files are for who comes next; whoever is there stays. Wrong ones change nothing.
func TestTLSReload(t *testing.T) {
	a := redistest.NewAuthority(t)
	s := startTLS(t, a)
	c := s.client()
	first := s.serial()
	a.Sign("server") // over the old one
	require.Equal(t, first, s.serial())
	c.want("CONFIG SET tls-cert-file "+s.own.Cert, "+OK")
	second := s.serial()
	require.NotEqual(t, first, second)
	a.Sign("server")
	s.Reload() // as SIGHUP does
	third := s.serial()
	require.NotEqual(t, second, third)
	require.Contains(t, s.log.String(), "The certificates were loaded anew.")

	wrong := "-ERR CONFIG SET failed (possibly related to argument '%s') - Unable to update TLS configuration. Check server logs."
	other := a.Sign("other")
	for _, set := range []string{"tls-cert-file /nowhere", "tls-key-file " + other.Key, "tls-ca-cert-file " + s.own.Key, "tls-cert-file ''", "tls-key-file ''",
		"tls-ca-cert-file ''", "tls-ca-cert-dir /nowhere", "tls-protocols TLSv7", "tls-protocols 'TLSv1.1 TLSv1.3'", "tls-key-file /dev/zero"} {
		before := show(c.do("CONFIG GET tls-*"))
		name, _, _ := strings.Cut(set, " ")
		c.want("CONFIG SET "+set, strings.Replace(wrong, "%s", name, 1))
		require.Equal(t, before, show(c.do("CONFIG GET tls-*")), set)
		require.Equal(t, third, s.serial(), set)
	}
	require.NoError(t, os.WriteFile(s.own.Key, []byte("no key"), 0o600))
	s.Reload()
	require.Equal(t, third, s.serial())
	require.Contains(t, s.log.String(), "Failed to load private key: "+s.own.Key)
	require.NotContains(t, s.log.String(), "no key\n")
	c.want("CONFIG SET tls-cert-file "+other.Cert+" tls-key-file "+other.Key, "+OK")
	require.NotEqual(t, third, s.serial())
	c.want("PING", "+PONG")
}

// A session of an authority that is not trusted any more is not resumed.
func TestTLSReloadEndsSessions(t *testing.T) {
	a, other := redistest.NewAuthority(t), redistest.NewAuthority(t)
	s := startTLS(t, a)
	with := a.Trusting(s.them)
	with.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	resumed := func() (bool, bool) {
		conn, err := tls.Dial("tcp", s.addr, with)
		if err != nil {
			return false, false
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Minute))
		io.WriteString(conn, "PING\r\n")
		n, _ := conn.Read(make([]byte, 7)) // a ticket comes before the first answer
		return conn.ConnectionState().DidResume, n == 7
	}
	for i, want := range [][2]bool{{false, true}, {true, true}} {
		did, ok := resumed()
		require.Equal(t, want, [2]bool{did, ok}, i)
	}
	admin := s.client()
	admin.want("CONFIG SET tls-session-caching no", "+OK")
	did, ok := resumed()
	require.Equal(t, [2]bool{false, true}, [2]bool{did, ok})
	admin.want("CONFIG SET tls-session-caching yes tls-session-cache-timeout 0", "+OK")
	for range 2 {
		did, ok = resumed()
		require.Equal(t, [2]bool{false, true}, [2]bool{did, ok})
	}
	admin.want("CONFIG SET tls-session-cache-timeout 300", "+OK")
	for _, want := range []bool{false, true} {
		did, ok = resumed()
		require.Equal(t, [2]bool{want, true}, [2]bool{did, ok})
	}
	admin.want("CONFIG SET tls-ca-cert-file "+other.File, "+OK")
	_, ok = resumed()
	require.False(t, ok)
}

// The port moves, goes and comes as port does.
func TestTLSPortMoves(t *testing.T) {
	a := redistest.NewAuthority(t)
	s, addr := startServer(t)
	p := a.Sign("server")
	c := dial(t, addr)
	c.want("CONFIG SET tls-port 1", "-ERR CONFIG SET failed (possibly related to argument 'tls-port') - Unable to update TLS configuration. Check server logs.")
	c.want("CONFIG SET tls-replication yes", "-ERR CONFIG SET failed (possibly related to argument 'tls-replication') - Unable to update TLS configuration. Check server logs.")
	port := itoa(redistest.Port(t))
	c.want("CONFIG SET tls-auth-clients no tls-cert-file "+p.Cert+" tls-key-file "+p.Key+" tls-port "+port, "+OK")
	old := of(redistest.ConnectTLS(t, "127.0.0.1:"+port, a.Trusting()))
	old.want("PING", "+PONG")
	next := itoa(redistest.Port(t))
	c.want("CONFIG SET tls-port "+next, "+OK")
	require.True(t, pings("127.0.0.1:"+next, a.Trusting()))
	old.want("PING", "+PONG")
	_, err := net.Dial("tcp", "127.0.0.1:"+port)
	require.Error(t, err)

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, busy, _ := net.SplitHostPort(taken.Addr().String())
	c.want("CONFIG SET port "+itoa(redistest.Port(t))+" tls-port "+busy, "-ERR CONFIG SET failed (possibly related to argument 'tls-port') - Unable to listen on this port. Check server logs.")
	c.want("CONFIG GET tls-port", `*["tls-port" "`+next+`"]`)
	s.eng.Enter()
	require.Empty(t, s.doors[0].lns, "port has gone back")
	s.eng.Unlock()
	require.True(t, pings("127.0.0.1:"+next, a.Trusting()))
	c.want("CONFIG SET tls-port 0", "+OK")
	old.want("PING", "+PONG")
	_, err = net.Dial("tcp", "127.0.0.1:"+next)
	require.Error(t, err)
}

// A server does not start without the files that it needs, and says which.
func TestTLSAtStart(t *testing.T) {
	a := redistest.NewAuthority(t)
	p := a.Sign("server")
	for options, want := range map[string]string{
		"--tls-port 1":                           "Failed to configure TLS: No tls-cert-file configured!",
		"--tls-port 1 --tls-cert-file " + p.Cert: "No tls-key-file configured!",
		"--tls-port 1 --tls-cert-file " + p.Cert + " --tls-key-file " + p.Key: "Either tls-ca-cert-file or tls-ca-cert-dir must be specified",
		"--tls-replication yes": "No tls-cert-file",
		"--tls-port 1 --tls-cert-file nowhere --tls-key-file x --tls-ca-cert-file y": "Failed to load certificate: ",
	} {
		cfg := config.Default()
		require.NoError(t, cfg.ParseArgs(append(strings.Fields(options), "--tls-auth-clients", "yes", "--dir", t.TempDir())))
		require.ErrorContains(t, New(cfg, Options{Log: LogTo(io.Discard)}).Run(context.Background()), want, options)
	}
}

// CONFIG REWRITE keeps them, and a key's password is in no log.
func TestTLSRewrite(t *testing.T) {
	a := redistest.NewAuthority(t)
	file := filepath.Join(t.TempDir(), "redis.conf")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	s := startTLS(t, a, "--slowlog-log-slower-than", "0", "--loglevel", "debug")
	s.eng.Enter()
	s.cfg.File = file
	s.eng.Unlock()
	c := s.client()
	c.want("CONFIG SET tls-key-file-pass sesame tls-client-key-file-pass sesame tls-client-cert-file "+s.own.Cert+" tls-client-key-file "+s.own.Key, "+OK")
	c.want("CONFIG SET tls-replication yes tls-cluster yes tls-dh-params-file dh.pem tls-session-cache-size 7 tls-prefer-server-ciphers yes", "+OK")
	c.want("CONFIG REWRITE", "+OK")
	require.NotContains(t, show(c.do("SLOWLOG GET")), "sesame")
	require.NotContains(t, s.log.String(), "sesame")
	read := config.Default()
	require.NoError(t, read.ParseArgs([]string{file}))
	s.eng.Enter()
	defer s.eng.Unlock()
	for _, p := range config.Params() {
		if p.IsTLS() {
			require.Equal(t, p.Get(s.cfg), p.Get(read), p.Name)
		}
	}
}

// The files that are rarely there: a directory of authorities, a locked key, another certificate for masters. And the
// versions.
func TestTLSFiles(t *testing.T) {
	redistest.Need(t, "openssl")
	a := redistest.NewAuthority(t)
	s := startTLS(t, a)
	c := s.client()
	dir := t.TempDir()
	text, err := os.ReadFile(a.File)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "authority"), text, 0o600))
	c.want("CONFIG SET tls-ca-cert-file '' tls-ca-cert-dir "+dir, "+OK")
	require.True(t, pings(s.addr, a.Trusting(s.them)))

	locked := func(p redistest.Pair) string {
		out, err := exec.Command("openssl", "pkcs8", "-topk8", "-in", p.Key, "-out", p.Key+".locked", "-passout", "pass:sesame").CombinedOutput()
		require.NoError(t, err, "%s", out)
		return p.Key + ".locked"
	}
	before := s.serial()
	p := a.Sign("locked")
	c.want("CONFIG SET tls-cert-file "+p.Cert+" tls-key-file "+locked(p)+" tls-key-file-pass sesame", "+OK")
	require.NotEqual(t, before, s.serial())

	// A master that wants to see a certificate for clients.
	_, port, _ := net.SplitHostPort(startTLS(t, a).addr)
	own := a.Sign("replica", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	forServers := a.Sign("forservers", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	c.want("CONFIG SET tls-replication yes tls-cert-file "+forServers.Cert+" tls-key-file "+forServers.Key, "+OK")
	c.want("REPLICAOF 127.0.0.1 "+port, "+OK")
	require.Eventually(t, func() bool { return strings.Contains(s.log.String(), "bad certificate") }, time.Minute, 10*time.Millisecond)
	c.want("CONFIG SET tls-client-cert-file "+own.Cert+" tls-client-key-file "+locked(own)+" tls-client-key-file-pass sesame", "+OK")
	c.becomes("master_link_status", "up")

	c.want("CONFIG SET tls-protocols TLSv1.2", "+OK")
	with := a.Trusting(s.them)
	require.True(t, pings(s.addr, with))
	with.MinVersion = tls.VersionTLS13
	require.False(t, pings(s.addr, with))
}

// halving is a connection that sends half of a write, and keeps the rest and all behind it back, while it is told to.
type halving struct {
	net.Conn
	mu   sync.Mutex
	on   bool
	kept []byte
}

func (c *halving) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.on {
		return c.Conn.Write(b)
	}
	n := len(b) / 2
	if c.kept != nil { // another record
		n = 0
	}
	c.kept = append(c.kept, b[n:]...)
	_, err := c.Conn.Write(b[:n])
	return len(b), err
}

// release sends what was kept, and ends the keeping.
func (c *halving) release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = false
	_, err := c.Conn.Write(c.kept)
	return err
}

// A blocked client is served while half of a record of its next command has come. The record is not lost: what wakes
// the reading goroutine is a deadline, and TLS goes on behind it.
func TestTLSWakesInTheMiddleOfARecord(t *testing.T) {
	s := startTLS(t, redistest.NewAuthority(t))
	nc, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	half := &halving{Conn: nc}
	conn := tls.Client(half, s.a.Trusting(s.them))
	defer conn.Close()
	c, admin := over(t, conn), s.client()
	c.want("PING", "+PONG")
	for i := range 20 {
		c.send("BLPOP", "list", "0")
		admin.becomes("blocked_clients", "1")
		half.mu.Lock()
		half.on, half.kept = true, nil
		half.mu.Unlock()
		value := strings.Repeat("x", 1000*i)
		c.send("ECHO", value) // half of it
		admin.want("RPUSH list y", ":1")
		require.Equal(t, `*["list" "y"]`, show(c.read()))
		require.NoError(t, half.release())
		require.Equal(t, value, string(c.read().Str))
	}
}

// Clients come and go and are killed, certificates change, and every reply is the right one.
func TestTLSUnderLoad(t *testing.T) {
	s := startTLS(t, redistest.NewAuthority(t))
	with := s.a.Trusting(s.them)
	with.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Add(1)
		go func() {
			defer clients.Done()
			for round := range 10 {
				conn, err := tls.Dial("tcp", s.addr, with)
				if err != nil {
					t.Error(err)
					return
				}
				conn.SetDeadline(time.Now().Add(time.Minute))
				var all bytes.Buffer
				for n := range 50 {
					all.WriteString("ECHO " + itoa(int64(i*10000+round*100+n)) + "\r\n")
				}
				conn.Write(all.Bytes())
				said, _ := io.ReadAll(io.LimitReader(conn, int64(50*len("$1\r\n0\r\n")))) // or less, for who was killed
				conn.Close()
				for n, line := range strings.Split(strings.TrimSuffix(string(said), "\r"), "\r\n") {
					want := itoa(int64(i*10000 + round*100 + n/2))
					if n%2 == 1 && !strings.HasPrefix(want, line) {
						t.Errorf("%q in the place of %q", line, want)
					}
				}
			}
		}()
	}
	over := make(chan struct{})
	go func() { clients.Wait(); close(over) }()
	admin := s.client()
	for n := 0; ; n++ {
		select {
		case <-over:
			admin.becomes("connected_clients", "1")
			s.waitHandshakes(0)
			return
		default:
			admin.want("CONFIG SET tls-cert-file "+s.own.Cert, "+OK")
			admin.do("CLIENT KILL TYPE normal SKIPME yes")
		}
	}
}
