package server

import (
	"io"
	"net"
	"sync/atomic"

	"byor/pkg/certs"
)

// What INFO says of the traffic: bytes, and how often the system was asked to read and to write. A loop counts for
// itself and tells of it once a turn, so that no two threads share a counter; all the others share theirs.

// traffic is what went over the connections.
type traffic struct {
	reads, writes   int64
	in, out         int64 // bytes of clients
	replIn, replOut int64 // bytes of the link to the master, and to replicas
}

func (t traffic) minus(u traffic) traffic {
	return traffic{
		t.reads - u.reads, t.writes - u.writes, t.in - u.in, t.out - u.out, t.replIn - u.replIn, t.replOut - u.replOut,
	}
}

// trafficCounters are the shared ones.
type trafficCounters struct{ reads, writes, in, out, replIn, replOut atomic.Int64 }

func (t *trafficCounters) wrote(n int) {
	t.writes.Add(1)
	t.out.Add(int64(n))
}

// published is what a loop has told of itself.
type published struct{ reads, writes, in, out atomic.Int64 }

func (p *published) store(t *traffic) {
	p.reads.Store(t.reads)
	p.writes.Store(t.writes)
	p.in.Store(t.in)
	p.out.Store(t.out)
}

// trafficNow returns what there was since the server has begun, and the reads and writes among it that more than one
// thread shares: those of the loops beside the first.
func (s *Server) trafficNow() (all, threaded traffic) {
	c := &s.traffic
	all = traffic{c.reads.Load(), c.writes.Load(), c.in.Load(), c.out.Load(), c.replIn.Load(), c.replOut.Load()}
	for i, l := range s.loops {
		p := &l.published
		reads, writes := p.reads.Load(), p.writes.Load()
		all.reads, all.writes = all.reads+reads, all.writes+writes
		all.in, all.out = all.in+p.in.Load(), all.out+p.out.Load()
		if i > 0 {
			threaded.reads, threaded.writes = threaded.reads+reads, threaded.writes+writes
		}
	}
	return all, threaded
}

// selfCounting is a connection that counts what it reads.
type selfCounting interface{ countsReads() }

// countedReads returns the source of a client's commands.
func (s *Server) countedReads(conn net.Conn) io.Reader {
	if _, ok := conn.(selfCounting); ok {
		return conn
	}
	return countedReader{conn, s}
}

type countedReader struct {
	net.Conn
	s *Server
}

func (r countedReader) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.s.traffic.reads.Add(1)
	r.s.traffic.in.Add(int64(n))
	return n, err
}

// countedReplica is the connection to a replica, and countedLink that to the master.
type (
	countedReplica struct {
		net.Conn
		s *Server
	}
	countedLink struct {
		net.Conn
		s *Server
	}
)

// Close may be called with a lock held.
func (l countedLink) Close() error {
	certs.HangUp(l.Conn)
	return nil
}

func (r countedReplica) Write(b []byte) (int, error) {
	n, err := r.Conn.Write(b)
	r.s.traffic.writes.Add(1)
	r.s.traffic.replOut.Add(int64(n))
	return n, err
}

func (l countedLink) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	l.s.traffic.reads.Add(1)
	l.s.traffic.replIn.Add(int64(n))
	return n, err
}

func (l countedLink) Write(b []byte) (int, error) {
	n, err := l.Conn.Write(b)
	l.s.traffic.wrote(n)
	return n, err
}
