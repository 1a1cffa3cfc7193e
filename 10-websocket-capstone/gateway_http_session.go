package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"byor/pkg/resp"
)

// Beside the way: HTTP requests that need a session of the engine, such as commands over HTTP. Each request gets a
// session of its own and gives it up at its end. So nothing of one request, such as its user or its database, can
// show in the next one. gateway_http_door.go decides who gets one.

// httpSession is a session of the engine for one HTTP request. It is for one goroutine.
type httpSession struct {
	g    *gateway
	conn net.Conn
	r    *resp.Reader
	in   *replyReader // under r
	id   int64        // the session's client id in the engine
	user string       // who has logged in
}

// Bounds of the engine's replies, in bytes, since an answer is built in memory: of one reply, and of what all sessions
// hold beyond the first bytes of each.
const (
	maxHTTPReply   = 64 << 20
	maxHTTPReplies = 256 << 20
	freeHTTPReply  = 256 << 10
)

// unblockEvery is how often the gateway tries to end a command that blocks when its time is over.
const unblockEvery = 100 * time.Millisecond

var (
	// errSessionOver says that the engine has ended the session, or that its client has gone.
	errSessionOver = errors.New("the session has ended")
	// errReplyTooLarge says that a reply was larger than maxHTTPReply. The session is over then, too.
	errReplyTooLarge = errors.New("the reply is larger than " + strconv.Itoa(maxHTTPReply>>20) + " MB; ask for a part of it")
	// errTooManyReplies says that large replies have filled maxHTTPReplies. The session is over then, too.
	errTooManyReplies = errors.New("too many large replies at once; wait a moment, or ask for a part")
)

// httpSession lets a request in and returns a session for it. The caller must close it. If the request is refused,
// httpSession answers it and returns false. It checks, in this order: the page that asks (Origin, Sec-Fetch-Site), the
// rate of the address, credentials in the URL, whether there is a place, and the login. ServeHTTP has checked the Host.
// The parameter db=N of the URL chooses the database.
func (g *gateway) httpSession(w http.ResponseWriter, r *http.Request) (*httpSession, bool) {
	s, refused := g.letIn(w, r)
	if refused != nil {
		g.metrics.refused.Add(1)
		refused.answer(w)
		return nil, false
	}
	return s, true
}

// openHTTPSession opens a session of the engine for the peer at remote. It is the one place where requests do that.
func (g *gateway) openHTTPSession(remote string) (*httpSession, error) {
	addr, err := net.ResolveTCPAddr("tcp", remote)
	if err != nil {
		addr = &net.TCPAddr{}
	}
	conn, err := g.opts.Dial(addr)
	if err != nil {
		return nil, err
	}
	s := &httpSession{g: g, conn: conn, in: &replyReader{r: conn, all: &g.requests.largeReplies}}
	s.r = resp.NewReaderSize(s.in, 4<<10)
	return s, nil
}

// replyReader reads replies and counts what they hold in memory.
type replyReader struct {
	r    io.Reader
	all  *atomic.Int64 // what the replies of all sessions hold
	size int           // of the reply being read
	held int64         // what it has added to all
	err  error         // errReplyTooLarge or errTooManyReplies
}

func (r *replyReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if r.size += n; r.size > freeHTTPReply {
		r.held += int64(n)
		if r.all.Add(int64(n)) > maxHTTPReplies {
			r.err = errTooManyReplies
		}
	}
	if r.size > maxHTTPReply {
		r.err = errReplyTooLarge
	}
	if r.err != nil {
		return 0, r.err
	}
	return n, err
}

// next says that the reply before is not needed any more.
func (r *replyReader) next() {
	r.all.Add(-r.held)
	r.size, r.held = 0, 0
}

// do runs one command and returns its reply. An error reply comes as a resp.ReplyError, and so does the refusal of a
// command that browsers may not run. Any other error means that the session is over.
//
// The session ends with ctx, so that a command that blocks does not outlive the request. A command that blocks for
// longer than HTTPWait, or until the gateway drains, is answered as if its own time-out were over.
func (s *httpSession) do(ctx context.Context, args ...[]byte) (resp.Value, error) {
	s.g.metrics.operations.Add(1)
	if why := s.g.guard.refuses(s.g.opts.born(args)); why != "" {
		return resp.Value{}, noPermission(why)
	}
	v, err := s.exchange(ctx, args...)
	if err == nil {
		err = v.Err()
	}
	return v, err
}

// exchange sends a command, unguarded, and returns the reply, which may be an error.
func (s *httpSession) exchange(ctx context.Context, args ...[]byte) (resp.Value, error) {
	answered := make(chan struct{})
	defer close(answered)
	unblock := func() { s.unblock(answered) }
	defer context.AfterFunc(ctx, func() { _ = s.conn.Close() })()
	defer context.AfterFunc(s.g.draining.Ending(), unblock)()
	defer time.AfterFunc(s.g.opts.HTTPWait, unblock).Stop()
	// Nothing but a server that hangs takes this long.
	_ = s.conn.SetDeadline(time.Now().Add(s.g.opts.HTTPWait + engineTimeout))
	s.in.next()
	if _, err := s.conn.Write(resp.AppendCommand(nil, args...)); err != nil {
		return resp.Value{}, errSessionOver
	}
	return s.reply()
}

// reply reads one value from the engine.
func (s *httpSession) reply() (resp.Value, error) {
	v, err := s.r.ReadValue()
	switch {
	case s.in.err != nil:
		return resp.Value{}, s.in.err
	case err != nil:
		return resp.Value{}, errSessionOver
	}
	return v, nil
}

// unblock ends the command that the session waits in, as its own time-out would: nothing is taken and then lost. The
// command may not have begun to wait yet, so one attempt is not enough.
func (s *httpSession) unblock(answered <-chan struct{}) {
	if s.id == 0 {
		return
	}
	tick := time.NewTicker(unblockEvery)
	defer tick.Stop()
	for {
		select {
		case <-answered:
			return
		default:
		}
		_, _ = s.g.engine.do("CLIENT", "UNBLOCK", strconv.FormatInt(s.id, 10))
		select {
		case <-answered:
			return
		case <-tick.C:
		}
	}
}

// close ends the session and gives its place back. Call it once.
func (s *httpSession) close() {
	_ = s.conn.Close()
	s.in.next()
	s.g.unreserve()
}

// login makes the session speak RESP3 and log in. It returns nil or what to answer the request with.
func (s *httpSession) login(ctx context.Context, as credentials) *httpRefusal {
	hello := [][]byte{[]byte("HELLO"), []byte("3")}
	s.user = "default"
	if as.given {
		s.user = as.user
		hello = append(hello, []byte("AUTH"), []byte(as.user), []byte(as.pass))
	}
	v, err := s.exchange(ctx, append(hello, []byte("SETNAME"), []byte("http"))...)
	if err != nil {
		return refusedBusy("The engine takes no sessions now.")
	}
	if v.IsError() {
		return refusedBy(string(v.Str))
	}
	for i := 0; i+1 < len(v.Elems); i += 2 {
		if string(v.Elems[i].Str) == "id" {
			s.id = v.Elems[i+1].Int
		}
	}
	return nil
}
