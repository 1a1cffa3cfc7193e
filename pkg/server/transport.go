package server

import (
	"errors"
	"net"
	"os"
	"strconv"
	"time"

	"byor/pkg/certs"
	"byor/pkg/engine"
	"byor/pkg/resp"
)

// transport is what carries a session's bytes. The engine calls it, with its lock held, when the
// session has something to do that did not come from its own input. Neither method may block.
type transport interface {
	flushSoon(c *client) // bytes were handed over
	resume(c *client)    // a blocked command was served, or the session is to close
}

// maxBatch is how many pipelined commands run under one hold of the engine's lock, and
// maxBatchReply how large their replies may grow before they are written.
const (
	maxBatch      = 128
	maxBatchReply = 256 << 10
)

// parse collects the commands that are wholly buffered. It does not touch what the engine's lock
// guards. A client that has yet to authenticate is parsed command by command, since AUTH lifts
// its limits.
func (c *client) parse() {
	if c.next < len(c.batch) || c.perr != nil {
		return
	}
	clear(c.batch) // or it would keep the buffer of large arguments alive
	c.batch, c.next, c.ahead, c.kept = c.batch[:0], 0, 0, false
	limit := maxBatch
	if c.rd.Limits.Unauthenticated {
		limit = 1
	}
	for len(c.batch) < limit {
		args, err := c.rd.Next()
		if err != nil {
			if err != resp.ErrIncomplete {
				c.perr = err
			}
			return
		}
		c.batch = append(c.batch, args)
	}
}

// pending reports whether there are parsed commands, or a protocol error, to work on.
func (c *client) pending() bool { return c.next < len(c.batch) || c.perr != nil }

// mayFill reports whether reading on does no harm: it overwrites the arguments that are parsed.
func (c *client) mayFill() bool { return c.next >= len(c.batch) || c.kept }

// run executes the parsed commands until they are used up or the client may not go on (it is
// blocked, or closing). The engine's lock must be held.
func (c *client) run() {
	s := c.s
	s.eng.Running = &c.Session
	s.eng.StandApart() // what was done for the client before is not its commands' time
	c.noteInput()
	before := c.next
	for c.next < len(c.batch) && c.Blocked == nil && c.closing == staysOpen {
		if s.tracking.Clients() > 0 {
			s.tracking.Limit(int(s.cfg.TrackingMaxKeys))
		}
		if c.untouched() {
			c.noteAhead()
			s.eng.Touch()
		}
		if !s.eng.Execute(&c.Session, c.batch[c.next]) {
			break
		}
		if c.tracks.Due() {
			s.tracking.AfterCommand(&c.Session)
		}
		c.next++
		if len(c.Reply.Buf) > maxBatchReply {
			break
		}
	}
	if c.perr != nil && c.next == len(c.batch) && c.Blocked == nil && c.closing == staysOpen {
		c.Fail("ERR " + c.perr.Error())
		s.logf(levelVerbose, "Protocol error (%s) from client: %s.", c.perr, c.describe())
		c.closing = closeAfterReply
	}
	if c.next < len(c.batch) && c.Blocked != nil && (!c.kept || c.next != before) {
		c.keepRest()
	}
	c.Args = nil // they stand in the buffer, which is about to be filled again
	if c.next == len(c.batch) {
		c.keptMem, c.batchLen = 0, 0
		if c.rd.HasLarge() {
			clear(c.batch)
			c.rd.ForgetLarge()
			c.querySize = c.rd.Size()
		}
		if c.querySize > keepQuery || c.frugal {
			c.rd.Shrink()
			c.querySize = c.rd.Size()
		}
	}
	c.countInput()
	s.eng.Running = nil
	c.handOver()
	if d := int64(c.querySize) + c.keptMem + c.QueueMem - c.countedIn; d > measureStep || d < -measureStep {
		c.measureNow()
	}
	s.evictClients()
}

// untouched reports whether there are commands whose keys were not touched.
func (c *client) untouched() bool { return c.next >= c.ahead && c.next < len(c.batch) }

// noteAhead tells the engine of the commands that are about to run.
func (c *client) noteAhead() {
	c.ahead = len(c.batch)
	if !c.s.plain.Touch && c.Blocked == nil && c.Authed {
		c.ahead = c.next + c.s.eng.Ahead(&c.Session, c.batch[c.next:])
	}
}

// noteInput notes what has come since the last turn.
func (c *client) noteInput() {
	if in := c.rd.Consumed(); in != c.totalIn {
		c.batchLen, c.totalIn = int(in-c.totalIn), in
	}
	c.queryLen, c.querySize, c.argvMem = c.rd.Unparsed()+c.batchLen, c.rd.Size(), 0
	c.rd.Limits.MaxBulk = int(c.s.cfg.ProtoMaxBulkLen)
	if c.replica != nil {
		c.replica.Heard()
	}
}

// keepQuery is how large the input buffer of a client may stay when its commands are done.
const keepQuery = 256 << 10

// keepRest copies the commands that wait behind a blocked one, since reading on will overwrite
// the buffer they point into, and counts what they take.
func (c *client) keepRest() {
	rest := c.batch[c.next:]
	if !c.kept {
		kept := make([][][]byte, len(rest))
		for i, args := range rest {
			kept[i] = c.KeepArgs(args)
		}
		rest = kept
	}
	ran := c.next > 0 || c.Blocked.Paused
	c.batch, c.next, c.ahead, c.kept, c.keptMem = rest, 0, 0, true, 0
	for _, args := range rest {
		c.keptMem += engine.ArgsMem(args)
	}
	if !ran {
		return // batchLen is of these commands only
	}
	c.batchLen = 0
	if c.Blocked.Paused {
		rest = rest[1:] // the one that waits has been taken out of the input
	}
	for _, args := range rest {
		c.batchLen += wireLen(args)
	}
}

// countInput notes what has come, for CLIENT LIST and client-query-buffer-limit. Behind a command that blocks Redis
// parses nothing: all that has come since is input, the beginning of a command and its arguments too.
func (c *client) countInput() {
	if c.stuck = c.Blocked != nil; !c.stuck {
		c.queryLen, c.argvMem = c.rd.Unparsed()+c.batchLen, c.rd.Parsed()
		return
	}
	c.queryLen, c.argvMem = c.rd.Buffered()+c.batchLen, 0
	if c.Blocked.Paused {
		c.argvMem = argBytes(c.batch[c.next])
	}
	if int64(c.queryLen) > c.s.cfg.QueryBufferLimit {
		c.tooMuchInput()
		c.closing = closeNow
	}
}

// wireLen returns how long a command is in the form in which clients send it.
func wireLen(args [][]byte) int {
	n := len("*\r\n") + decimals(len(args))
	for _, a := range args {
		n += bulkLen(a)
	}
	return n
}

func decimals(n int) int { return len(strconv.Itoa(n)) }

// goroutines is the transport of net.Conn: a goroutine that reads, executes and writes, and a
// second one, started when it is first needed, that writes what others have for the client.
type goroutines struct {
	kick    chan struct{} // the writer has something to do; nil until there is a writer
	done    chan struct{} // the session is over
	writing bool          // guarded by the engine's lock: there is a writer
}

// ServeConn serves a connection until it ends. The session is like any other, whatever carries it:
// a TCP or unix socket, or one end of a pipe inside the process.
func (s *Server) ServeConn(conn net.Conn) { s.serveConn(s.wrap(conn)) }

func (s *Server) serveConn(conn net.Conn) {
	defer conn.Close()
	g := newGoroutines()
	s.eng.Enter()
	c, refusal := s.accept(conn)
	if c != nil {
		c.transport = g
	}
	s.eng.Unlock()
	if c == nil {
		conn.SetWriteDeadline(time.Now().Add(time.Second))
		conn.Write([]byte(refusal))
		return
	}
	s.converse(c, g, true)
}

func newGoroutines() *goroutines {
	return &goroutines{kick: make(chan struct{}, 1), done: make(chan struct{})}
}

// converse serves a session until it ends, or ends it at once when goOn is false.
func (s *Server) converse(c *client, g *goroutines, goOn bool) {
	defer func() {
		close(g.done)
		s.eng.Enter()
		s.removeClient(c)
		s.eng.Unlock()
	}()
	for goOn {
		err := c.rd.Fill()
		if errors.Is(err, os.ErrDeadlineExceeded) { // woken by resume, not by the peer
			c.conn.SetReadDeadline(time.Time{})
		} else if err != nil {
			return
		}
		goOn = !c.overfull() && c.serve()
	}
}

// serve executes all that is buffered, writes the replies and reports whether to go on.
func (c *client) serve() bool {
	for {
		c.parse()
		c.s.eng.Enter()
		c.run()
		closing, stuck := c.closing, c.Blocked != nil
		handOff := c.handOff
		c.handOff = nil
		c.rd.Limits.Unauthenticated = !c.Authed
		c.s.eng.Unlock()
		if closing == closeNow || c.flushAll() != nil || closing == closeAfterReply {
			return false
		}
		if handOff != nil {
			go handOff()
		}
		if stuck {
			return true
		}
		if c.parse(); !c.pending() {
			return true
		}
	}
}

// overfull reports whether more has come than may wait. It is asked behind each Fill, before what has come
// is parsed, as Redis does: arguments that were parsed do not wait. A blocked client is none of its
// business, since it may be blocked no longer: see countInput.
func (c *client) overfull() bool {
	if c.stuck || int64(c.rd.Arrived()) <= c.s.queryLimit.Load() {
		return false
	}
	c.tooMuchInput()
	return true
}

func (c *client) tooMuchInput() {
	c.s.logf(levelWarning, "Closing client that reached max query buffer length: %s", c.Addr)
}

// writer writes what was handed over by others until the session is over.
func (g *goroutines) writer(c *client) {
	for {
		select {
		case <-g.kick:
			if c.flush() != nil {
				c.conn.Close()
				return
			}
		case <-g.done:
			return
		}
	}
}

func (g *goroutines) flushSoon(c *client) {
	c.s.woke = true
	if !g.writing {
		g.writing = true
		go g.writer(c)
	}
	select {
	case g.kick <- struct{}{}:
	default:
	}
}

// resume lets the session's read time out. A session that must close at once is cut off, since
// its goroutine may be waiting for a peer that reads nothing.
func (g *goroutines) resume(c *client) {
	if c.closing == closeNow {
		certs.HangUp(c.conn)
		return
	}
	c.s.woke = true
	c.conn.SetReadDeadline(time.Unix(1, 0))
}

// transportName is what INFO says of how connections are served.
func (s *Server) transportName() string {
	if len(s.loops) > 0 {
		return "epoll"
	}
	return "goroutines"
}
