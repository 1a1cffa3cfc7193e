package server

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"byor/pkg/certs"
	"byor/pkg/config"
)

// TLS. A connection shakes hands in a goroutine of its own, outside of the lock and within a time; then it is a
// connection as any other, which a goroutine serves: what an event loop would need of it, to read as much as there is
// and not to wait, is not in Go's reach. Whoever has not shaken hands yet takes a place among maxclients, as in Redis.

// secure is what a server knows of TLS. Guarded by the engine's lock.
type secure struct {
	certs         certs.Keeper // safe without the lock
	certsErr      error        // of the start
	webTLS        string       // see Options
	handshakes    int          // under way
	handshaking   context.Context
	endHandshakes context.CancelFunc
}

// startCerts loads the files for TLS, if there is somebody who needs them.
func (s *Server) startCerts(web string) {
	s.webTLS = web
	s.handshaking, s.endHandshakes = context.WithCancel(context.Background())
	if err := s.loadCerts(); err != nil {
		s.certsErr = fmt.Errorf("Failed to configure TLS: %w", err) //nolint:staticcheck // Redis's words
	}
}

func (s *Server) loadCerts() error {
	settings, wanted := s.cfg.Certs(s.webTLS)
	if !wanted {
		s.certs.Use(nil)
		return nil
	}
	b, err := certs.Load(settings)
	if err == nil {
		s.certs.Use(b)
	}
	return err
}

// certsChanged carries CONFIG SET of parameters about TLS to those who connect from now on. It reads the files even
// if their names are what they were. When one of them is wrong, all stays as it was.
func (s *Server) certsChanged(set []*config.Param) error {
	i := slices.IndexFunc(set, (*config.Param).IsTLS)
	if i < 0 {
		return nil
	}
	if err := s.loadCerts(); err != nil {
		s.logf(levelWarning, "%v", err)
		return configFailure{set[i].Name, "Unable to update TLS configuration. Check server logs."}
	}
	return nil
}

// renewCerts loads the files anew, outside of the lock.
func (s *Server) renewCerts() {
	s.eng.Enter()
	settings, wanted := s.cfg.Certs(s.webTLS)
	s.eng.Unlock()
	if !wanted {
		return
	}
	b, err := certs.Load(settings)
	s.eng.Enter()
	defer s.eng.Unlock()
	if now, wanted := s.cfg.Certs(s.webTLS); !wanted || now != settings {
		return // CONFIG SET was faster, and has loaded others
	}
	if err != nil {
		s.logf(levelWarning, "%v. The old certificates stay.", err)
		return
	}
	s.certs.Use(b)
	s.logf(levelNotice, "The certificates were loaded anew.")
}

// Certs returns the certificates in use, which change as CONFIG SET and SIGHUP ask, or why there are none.
func (s *Server) Certs() (*certs.Keeper, error) {
	s.eng.Enter()
	defer s.eng.Unlock()
	return &s.certs, s.certsErr
}

// welcome makes a client of a socket at a port for TLS, in the background.
func (s *Server) welcome(conn net.Conn) {
	if !s.beginHandshake() {
		conn.Close() // without a word, since it could not be read yet
		return
	}
	s.serving.Add(1)
	go func() {
		defer s.serving.Done()
		addr := conn.RemoteAddr()
		tc, err := s.certs.Accept(s.handshaking, conn)
		s.eng.Enter()
		s.handshakes--
		if err != nil {
			s.stats.connections++
		}
		s.eng.Unlock()
		if err != nil {
			s.logf(levelWarning, "Error accepting a client connection: %v (addr=%s)", err, addr)
			return
		}
		s.serveConn(s.wrap(tc))
	}()
}

// beginHandshake takes a place among the clients.
func (s *Server) beginHandshake() bool {
	s.eng.Enter()
	defer s.eng.Unlock()
	if len(s.clients)+s.handshakes >= int(s.cfg.MaxClients) {
		s.stats.connections++
		s.stats.rejectedConnections++
		return false
	}
	s.handshakes++
	return true
}

// dialMaster connects to a master, by TLS if tls-replication says so.
func (s *Server) dialMaster(ctx context.Context, addr string, timeout time.Duration) (net.Conn, error) {
	s.eng.Enter()
	byTLS := s.cfg.TLSReplication
	s.eng.Unlock()
	if byTLS {
		return s.certs.Dial(ctx, "tcp", addr, timeout)
	}
	d := net.Dialer{Timeout: timeout}
	return d.DialContext(ctx, "tcp", addr)
}

// dialOther returns how MIGRATE connects: by TLS if tls-cluster says so, as in Redis, where a cluster uses it most. The
// engine's lock must be held.
func (s *Server) dialOther() func(network, addr string, timeout time.Duration) (net.Conn, error) {
	if !s.cfg.TLSCluster {
		return nil
	}
	return func(network, addr string, timeout time.Duration) (net.Conn, error) {
		return s.certs.Dial(context.Background(), network, addr, timeout)
	}
}
