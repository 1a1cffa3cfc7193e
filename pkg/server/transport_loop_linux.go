package server

import (
	"errors"
	"net"
	"os"
	"runtime"
	"slices"
	"syscall"
)

// The event loop is the transport of TCP and unix sockets on Linux. Where a goroutine a connection
// pays for a park, a wake-up and a hand-over of the processor at every request, a loop reads all
// sockets that are ready, runs all their commands under one hold of the engine's lock, waits once for
// the append-only file, and then writes all replies: the shape of Redis's ae.c, with the same
// session code as the goroutines (parse, run, handOver).
//
// The loop reads and writes with RawSyscall: the sockets do not block, so Go's scheduler need not hear
// of it.
type loop struct {
	s     *Server
	ep    int
	wakeR int // a pipe by which others end the loop's wait
	wakeW int

	events [256]syscall.EpollEvent
	conns  connTable

	// Guarded by the engine's lock.
	inside bool        // the loop holds it
	woken  bool        // a byte is in the pipe
	fresh  []*loopConn // accepted, not registered yet
	queue  []*loopConn // to be looked at in the next turn
	turns  int64       // how often it has turned

	count     traffic   // what its connections have carried
	published published // count, as of the latest turn

	// Of one turn.
	ready    []*loopConn
	at       int // of the one whose commands run
	dead     []*loopConn
	commitAt int64 // append-only offset that must be durable before the turn's replies are written
	keepsP   int32 // how many loops may keep their P while they wait, see transport_wait_linux.go
	woke     bool  // goroutines have got something to do, which may be queued on this one's P
}

// loopConn is a socket of the loop. It is the session's transport and its net.Conn.
type loopConn struct {
	l             *loop
	c             *client
	fd            int
	remote, local net.Addr
	queued        bool // in loop.queue; guarded by the engine's lock
	inTurn        bool // in loop.ready
	away          bool // its session is in a script that takes long, see leave; guarded by the engine's lock
	wantOut       bool // registered for EPOLLOUT
	gone          bool // the peer closed or the socket failed
	closing       closeMode
	stuck         bool     // the session is blocked: what is parsed has to wait
	real          net.Conn // what the socket became when the loop gave it away
	full          bool     // the socket takes no more at the moment
	held          bool     // there is output that the turn's commit does not cover
}

var errAgain = errors.New("no bytes now")

// startLoops starts as many loops as io-threads says.
func (s *Server) startLoops(n int) error {
	for range n {
		l, err := newLoop(s)
		if err != nil {
			return err
		}
		s.loops = append(s.loops, l)
		go l.run()
	}
	return nil
}

func newLoop(s *Server) (*loop, error) {
	ep, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	var p [2]int
	if err := syscall.Pipe2(p[:], syscall.O_NONBLOCK|syscall.O_CLOEXEC); err != nil {
		syscall.Close(ep)
		return nil, os.NewSyscallError("pipe2", err)
	}
	l := &loop{s: s, ep: ep, wakeR: p[0], wakeW: p[1]}
	if err := l.control(syscall.EPOLL_CTL_ADD, l.wakeR, syscall.EPOLLIN); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *loop) close() {
	syscall.Close(l.ep)
	syscall.Close(l.wakeR)
	syscall.Close(l.wakeW)
}

func (l *loop) control(op, fd int, events uint32) error {
	ev := syscall.EpollEvent{Events: events, Fd: int32(fd)}
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(l.ep, op, fd, &ev))
}

// take moves a connection into the loop. It reports false, and leaves the connection as it is, when
// that is no socket.
func (l *loop) take(conn net.Conn) bool {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	fd := -1
	raw.Control(func(old uintptr) { // a duplicate, so that Go's own poller lets go of the socket
		r, _, e := syscall.Syscall(syscall.SYS_FCNTL, old, syscall.F_DUPFD_CLOEXEC, 0)
		if e == 0 {
			fd = int(r)
		}
	})
	if fd < 0 {
		return false
	}
	lc := &loopConn{l: l, fd: fd, remote: conn.RemoteAddr(), local: conn.LocalAddr()}
	syscall.SetNonblock(fd, true)
	conn.Close()
	l.s.eng.Enter()
	defer l.s.eng.Unlock()
	c, refusal := l.s.accept(lc)
	if c == nil {
		lc.Write([]byte(refusal))
		lc.Close()
		return true
	}
	lc.c = c
	l.s.serving.Add(1)
	lc.c.transport = lc
	l.fresh = append(l.fresh, lc)
	l.wake()
	return true
}

// wake ends the loop's wait. The engine's lock must be held.
func (l *loop) wake() {
	if !l.woken && !l.inside {
		l.woken = true
		syscall.Write(l.wakeW, []byte{0})
	}
}

func (lc *loopConn) enqueue() {
	if !lc.queued {
		lc.queued = true
		lc.l.queue = append(lc.l.queue, lc)
	}
	lc.l.wake()
}

func (lc *loopConn) flushSoon(*client) { lc.enqueue() }
func (lc *loopConn) resume(*client)    { lc.enqueue() }

// run is the loop. It ends when the server has shut down and the last connection is gone, or when another
// goroutine has taken it over.
func (l *loop) run() { l.goOn(false) }

// goOn turns the loop, and begins in the middle of a turn if another goroutine has left it there.
func (l *loop) goOn(inTurn bool) {
	l.settle()
	defer runtime.UnlockOSThread()
	timeout := -1
	for {
		if !inTurn {
			l.readReady(l.wait(timeout))
		}
		l.s.eng.Enter()
		l.inside = true
		if !inTurn {
			l.beginTurn()
		}
		inTurn = false
		if left := l.execute(); left {
			return
		}
		if l.endTurn() {
			l.close()
			return
		}
		timeout = -1
		if l.write() {
			timeout = 0
		}
	}
}

// readReady reads and parses what came in on the sockets that have something.
func (l *loop) readReady(n int) {
	for _, ev := range l.events[:n] {
		if int(ev.Fd) == l.wakeR {
			continue // execute drains it
		}
		lc := l.conns.at(int(ev.Fd))
		if lc == nil {
			continue
		}
		l.join(lc)
		if ev.Events&^uint32(syscall.EPOLLOUT) == 0 || !lc.c.mayFill() {
			continue // nothing to read, or the buffer still holds commands: they come first
		}
		switch err := lc.c.rd.Fill(); {
		case err != nil:
			lc.gone = !errors.Is(err, errAgain)
		case lc.c.overfull():
			lc.gone = true
		default:
			lc.c.parse()
		}
	}
}

func (l *loop) join(lc *loopConn) {
	if !lc.inTurn {
		lc.inTurn = true
		l.ready = append(l.ready, lc)
	}
}

// beginTurn takes in what has come since the last turn. The engine's lock must be held.
func (l *loop) beginTurn() {
	s := l.s
	l.published.store(&l.count)
	l.turns++
	if l.woken {
		var b [16]byte
		syscall.Read(l.wakeR, b[:])
		l.woken = false
	}
	for _, lc := range l.fresh {
		l.register(lc)
	}
	clear(l.fresh)
	l.fresh = l.fresh[:0]
	l.gather()
	for _, lc := range l.dead {
		s.removeClient(lc.c)
		s.serving.Done()
	}
	clear(l.dead) // or it would keep what they had in memory
	l.dead = l.dead[:0]
	l.at = 0
}

// execute runs the commands of this turn. It reports true if a script took so long that another goroutine has
// the loop now; then it has let the engine's lock go.
func (l *loop) execute() (left bool) {
	for ; l.at < len(l.ready); l.at++ {
		lc := l.ready[l.at]
		if lc.gone {
			continue
		}
		if lc.c.untouched() {
			l.touch()
		}
		lc.c.run()
		lc.c.rd.Limits.Unauthenticated = !lc.c.Authed
		if lc.away {
			lc.comeBack()
			l.s.eng.Unlock()
			return true
		}
	}
	return false
}

// touch touches the keys of the sessions that run next, so many as there is room for: where each has sent one
// command, they are the batch.
func (l *loop) touch() {
	for _, lc := range l.ready[l.at:] {
		if lc.c.untouched() {
			lc.c.noteAhead()
		}
		if lc.c.ahead < len(lc.c.batch) {
			break
		}
	}
	l.s.eng.Touch()
}

// endTurn lets the engine's lock go and reports whether the loop is over.
func (l *loop) endTurn() bool {
	s := l.s
	s.eng.PassOutput()
	l.gather() // those that this turn's commands had something for
	l.commitAt = 0
	for _, lc := range l.ready {
		lc.closing, lc.stuck = lc.c.closing, lc.c.Blocked != nil
		l.commitAt = max(l.commitAt, lc.c.commitAt)
	}
	over := s.down.closed && l.conns.n == 0 && len(l.fresh) == 0
	l.inside = false
	l.woke, s.woke = s.woke || s.eng.Contended(), false
	s.eng.Release()
	return over
}

// leave lets another goroutine go on with the loop: the one that runs this session's commands is in a script
// that takes long. Until comeBack nobody else touches the connection. The engine's lock must be held.
func (lc *loopConn) leave(*client) {
	l := lc.l
	if lc.away {
		return
	}
	lc.away, lc.inTurn, lc.wantOut = true, false, false
	l.control(syscall.EPOLL_CTL_DEL, lc.fd, 0)
	l.ready = slices.Delete(l.ready, l.at, l.at+1)
	l.inside = false
	go l.goOn(true)
}

// comeBack gives the connection back to its loop. The engine's lock must be held.
func (lc *loopConn) comeBack() {
	lc.away = false
	lc.l.fresh = append(lc.l.fresh, lc)
	lc.enqueue()
}

func (l *loop) register(lc *loopConn) {
	l.conns.add(lc)
	if err := l.control(syscall.EPOLL_CTL_ADD, lc.fd, syscall.EPOLLIN|syscall.EPOLLRDHUP); err != nil {
		lc.gone = true
		l.join(lc)
	}
}

// gather takes the connections that others have queued into this turn.
func (l *loop) gather() {
	for i, lc := range l.queue {
		lc.queued = false
		l.queue[i] = nil
		if !lc.away {
			l.join(lc)
		}
	}
	l.queue = l.queue[:0]
}

// write writes the replies of the turn, after the append-only file is as safe as it must be, and
// reports whether there is more to do at once.
func (l *loop) write() (more bool) {
	l.s.files.Commit(l.commitAt)
	again := l.ready[:0]
	for _, lc := range l.ready {
		lc.inTurn = false
		if l.conns.at(lc.fd) != lc {
			continue
		}
		if lc.closing != closeNow {
			lc.send()
		}
		if lc.gone || lc.closing == closeNow || lc.closing == closeAfterReply && !lc.full && !lc.held {
			l.drop(lc)
			continue
		}
		if lc.c.handOff != nil && !lc.full && !lc.held {
			l.giveAway(lc)
			continue
		}
		// A blocked session is resumed by whoever serves it; to look again before would be to spin.
		if lc.c.parse(); lc.c.pending() && !lc.full && !lc.stuck {
			again = append(again, lc)
		}
	}
	l.published.store(&l.count)
	clear(l.ready[len(again):])
	l.ready = again
	for _, lc := range again {
		lc.inTurn = true
	}
	return len(again) > 0 || len(l.dead) > 0
}

// drop closes the socket; the session is removed in the next turn, under the lock.
func (l *loop) drop(lc *loopConn) {
	l.conns.remove(lc)
	syscall.Close(lc.fd)
	lc.fd = -1
	l.dead = append(l.dead, lc)
}

// giveAway takes the connection out of the loop: from now on goroutines serve it, one for its input
// and whatever was waiting to take its output over.
func (l *loop) giveAway(lc *loopConn) {
	c := lc.c
	handOff := c.handOff
	c.handOff = nil
	l.conns.remove(lc)
	l.control(syscall.EPOLL_CTL_DEL, lc.fd, 0)
	f := os.NewFile(uintptr(lc.fd), "client")
	conn, err := net.FileConn(f) // which has a duplicate of its own
	f.Close()
	if err != nil {
		lc.fd = -1
		l.dead = append(l.dead, lc)
		return
	}
	g := newGoroutines()
	l.s.eng.Enter()
	lc.real = conn
	c.transport = g
	l.s.eng.Unlock()
	go handOff()
	go func() {
		defer l.s.serving.Done()
		defer conn.Close()
		l.s.converse(c, g, c.serve())
	}()
}
