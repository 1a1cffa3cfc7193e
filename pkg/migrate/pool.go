package migrate

import (
	"bufio"
	"net"
	"sync"
	"time"
)

const (
	maxIdle  = 64               // connections that are kept
	idleTime = 10 * time.Second // for how long
)

// Pool keeps connections, one for each server. The zero value is ready. It is safe for concurrent use; a
// connection belongs to one Send at a time.
type Pool struct {
	mu     sync.Mutex // protects what follows
	kept   map[string]*conn
	closed bool
}

// take returns a connection that was kept, or a new one.
func (p *Pool) take(r Request) (*conn, error) {
	addr := net.JoinHostPort(r.Host, r.Port)
	p.mu.Lock()
	c := p.kept[addr]
	delete(p.kept, addr)
	p.mu.Unlock()
	if c != nil {
		return c, nil
	}
	if r.Dial == nil {
		r.Dial = net.DialTimeout
	}
	nc, err := r.Dial("tcp", addr, r.Timeout)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: nc, addr: addr, rd: bufio.NewReader(nc), db: -1}, nil
}

// put keeps a connection for the next time, if it is of any use. Where there are too many, another one has to go.
func (p *Pool) put(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.broken || p.closed || p.kept[c.addr] != nil {
		c.Close()
		return
	}
	if p.kept == nil {
		p.kept = map[string]*conn{}
	}
	for addr, other := range p.kept { // the order of a map is random, and so is Redis's choice
		if len(p.kept) < maxIdle {
			break
		}
		other.Close()
		delete(p.kept, addr)
	}
	c.idle = time.Now()
	p.kept[c.addr] = c
}

// Len returns how many connections are kept.
func (p *Pool) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.kept)
}

// Tidy closes the connections that nobody has used for ten seconds. Call it now and then.
func (p *Pool) Tidy() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for addr, c := range p.kept {
		if time.Since(c.idle) > idleTime {
			c.Close()
			delete(p.kept, addr)
		}
	}
}

// Close closes all connections, and each that is in use as soon as it is not.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.kept {
		c.Close()
	}
	p.kept = nil
}
