package queue

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"byor/pkg/resp"
)

// linkTimeout bounds one exchange. Only a server that hangs takes as long.
const linkTimeout = 10 * time.Second

// Link is a session of the engine that the queues speak to. It is for one goroutine at a time; only close may be
// called at any time.
type Link struct {
	conn net.Conn
	r    *resp.Reader
	used bool // has answered before
}

// NewLink makes a Link of a connection that has logged in. r reads from conn and holds nothing back.
func NewLink(conn net.Conn, r *resp.Reader) *Link { return &Link{conn: conn, r: r} }

func (l *Link) close() { _ = l.conn.Close() }

// do runs one command. An error reply is a resp.ReplyError; after any other error the link is of no use.
func (l *Link) do(args ...string) (resp.Value, error) {
	vs, err := l.all(args)
	if err != nil {
		return resp.Value{}, err
	}
	return vs[0], vs[0].Err()
}

// all runs commands in one batch, so there is one wait for the log for all. Error replies are among the values.
func (l *Link) all(commands ...[]string) ([]resp.Value, error) {
	var out []byte
	for _, args := range commands {
		out = resp.AppendCommandStrings(out, args...)
	}
	_ = l.conn.SetDeadline(time.Now().Add(linkTimeout))
	written := make(chan error, 1)
	if len(commands) == 1 {
		_, err := l.conn.Write(out)
		written <- err
	} else { // the server may answer the first ones before it reads the last
		go func() {
			_, err := l.conn.Write(out)
			written <- err
		}()
	}
	replies := make([]resp.Value, len(commands))
	for i := range replies {
		v, err := l.r.ReadValue()
		if err != nil {
			l.close() // and so the writing ends
			<-written
			return nil, err
		}
		replies[i] = v
	}
	l.used = true
	return replies, <-written
}

// poolSize is how many sessions do what sockets and requests ask for. With appendfsync always, that many of them
// share a sync.
const poolSize = 4

// pool lends links. Safe for concurrent use.
type pool struct {
	dial  func() (*Link, error)
	turns chan struct{}

	mu     sync.Mutex
	idle   []*Link
	closed bool
}

func (p *pool) init(dial func() (*Link, error)) {
	p.dial, p.turns = dial, make(chan struct{}, poolSize)
}

// with lends f a link. A link that has idled may have been closed by the server, so f is called once more if that
// is what it finds. f must bear it.
func (p *pool) with(f func(l *Link) error) error {
	p.turns <- struct{}{}
	defer func() { <-p.turns }()
	for {
		l, err := p.get()
		if err != nil {
			return err
		}
		stale := l.used
		err = f(l)
		if err == nil || isReply(err) {
			p.put(l)
			return err
		}
		l.close()
		if !stale || !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
			return err
		}
	}
}

func (p *pool) get() (*Link, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	if n := len(p.idle); n > 0 {
		l := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return l, nil
	}
	p.mu.Unlock()
	l, err := p.dial()
	p.mu.Lock()
	return l, err
}

func (p *pool) put(l *Link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		l.close()
		return
	}
	p.idle = append(p.idle, l)
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, l := range p.idle {
		l.close()
	}
	p.idle = nil
}

func (p *pool) reopen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = false
}
