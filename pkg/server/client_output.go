package server

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"byor/pkg/config"
	"byor/pkg/engine"
	"byor/pkg/pubsub"
	"byor/pkg/resp"
)

// The output side of a session. As long as the peer reads, two buffers take turns: out is filled while
// wbuf is written. When it does not, out is sealed each time it is full, and joins the blocks that wait.
// So no byte is copied again because others came behind it, and what is written is let go of block by block.
// A large message to many subscribers is one block in the queues of all of them.
//
// A client's limit counts a block for each client in whose queue it stands, as Redis does, whose clients
// have a copy each; the server's memory counts it once.

// outBlock is how much out holds before it is sealed; what is longer than that counts as a block.
// It is the size of the buffer that each client has in Redis, which no limit counts either.
const outBlock = 16 << 10

// blockOverhead is what a block costs besides its bytes.
const blockOverhead = 40

// shareFrom is how long a message must be to be shared: below, a copy is cheaper.
const shareFrom = 1 << 10

// keepOut is how large a buffer that has been written may be to be used again.
const keepOut = 256 << 10

// errDropped is the outErr of a session that is sent nothing more.
var errDropped = errors.New("server: the session has ended")

// block is a piece of output. A shared one is in several queues and must not be written to.
type block struct {
	b      []byte
	shared *sharedBytes
}

// sharedBytes counts in how many queues a block is.
type sharedBytes struct {
	b    []byte
	refs atomic.Int32
	mem  *atomic.Int64 // what all of them take
}

func (sb *sharedBytes) leave() {
	if sb.refs.Add(-1) == 0 {
		sb.mem.Add(-int64(len(sb.b)))
	}
}

// outgoing is what a session has to send.
type outgoing struct {
	// Guarded by the engine's lock.
	staged      []block // what goes before w.Buf, of the unit that is running
	stagedBytes int64
	tooMuch     bool  // would have waited: the next handOver ends the session
	waited      int64 // what waited in blocks when something was handed over last
	overSince   time.Time
	counted     int64 // what Server.clientMem has for this client
	outPeak     int   // the longest that w.Buf has been, up to outBlock

	// Guarded by outMu.
	outMu      sync.Mutex
	outIdle    *sync.Cond // signalled when writing ends
	out        []byte     // what was handed over last
	blocks     []block    // what goes before it, from first on
	first      int
	blockBytes int64 // of blocks
	ownBytes   int64 // of blocks that are not shared, with the rooms behind them
	wbuf       []byte
	wshared    *sharedBytes // what wbuf is, if it is shared
	written    int          // bytes of wbuf already written
	writing    bool
	outErr     error
	commitAt   int64 // append-only offset that must be durable before out is written
}

// handOver passes what was replied so far to the output side. The engine's lock must be held.
func (c *client) handOver() {
	if len(c.Reply.Buf) == 0 && len(c.staged) == 0 && !c.tooMuch {
		return
	}
	if c.tooMuch {
		c.endSlow()
	}
	if c.closing == closeNow {
		c.unstage()
		return
	}
	c.outPeak = max(c.outPeak, min(len(c.Reply.Buf), outBlock))
	c.outMu.Lock()
	if len(c.staged) > 0 {
		c.queueStaged()
	}
	switch n := len(c.out) + len(c.Reply.Buf); {
	case len(c.out) == 0:
		c.out, c.Reply.Buf = c.Reply.Buf, c.out[:0]
	case n <= outBlock:
		if n > cap(c.out) && c.first < len(c.blocks) { // the peer is behind: it will be full
			c.out = append(make([]byte, 0, outBlock), c.out...)
		}
		c.out = append(c.out, c.Reply.Buf...)
		c.Reply.Buf = c.Reply.Buf[:0]
	default:
		c.Reply.Buf, c.out = c.seal(c.out), c.Reply.Buf
	}
	if cap(c.Reply.Buf) > keepOut {
		c.Reply.Buf = nil
	}
	c.commitAt = c.s.files.LogEnd()
	waits := c.waiting()
	own := c.ownOutput()
	c.outMu.Unlock()
	c.waited = waits.omem
	c.measure(own, measureStep)
	if waits.omem > 0 || !c.overSince.IsZero() {
		c.checkOutputLimit(waits.omem, time.Time{})
	}
}

// seal makes b the last of the blocks, and returns what can be filled in its place. outMu must be held.
func (c *client) seal(b []byte) (spare []byte) {
	if len(b) == 0 {
		return b
	}
	b, spare = fit(b)
	c.addBlock(block{b: b})
	return spare
}

// fit returns b, or a copy if it was made for so much more that the room behind it should not wait with it;
// then b can be filled again.
func fit(b []byte) (fitting, spare []byte) {
	if room := cap(b) - len(b); room > len(b) || room > len(b)/8 && len(b) <= 4*outBlock {
		return append(make([]byte, 0, len(b)), b...), b[:0]
	}
	return b, nil
}

func (c *client) addBlock(b block) {
	if c.first > 64 && c.first > len(c.blocks)/2 {
		n := copy(c.blocks, c.blocks[c.first:])
		clear(c.blocks[n:])
		c.blocks, c.first = c.blocks[:n], 0
	}
	c.blocks = append(c.blocks, b)
	c.blockBytes += int64(len(b.b))
	if b.shared == nil {
		c.ownBytes += int64(cap(b.b))
	}
}

// queueStaged moves what was staged behind what waits already.
func (c *client) queueStaged() {
	if len(c.out) > 0 {
		c.out = c.seal(c.out)
	}
	for _, b := range c.staged {
		c.addBlock(b)
	}
	clear(c.staged)
	c.staged, c.stagedBytes = c.staged[:0], 0
}

// unstage forgets what was not handed over yet. The engine's lock must be held.
func (c *client) unstage() {
	for _, b := range c.staged {
		if b.shared != nil {
			b.shared.leave()
		}
	}
	c.staged, c.stagedBytes = nil, 0
	if !c.runs() { // else the command that runs knows its place in the buffer: handOver forgets it
		c.Reply.Buf = nil
	}
}

// drop forgets what waits to be written, for good. The engine's lock must be held.
func (c *client) drop() {
	c.unstage()
	c.outMu.Lock()
	defer c.outMu.Unlock()
	for _, b := range c.blocks[c.first:] {
		if b.shared != nil {
			b.shared.leave()
		}
	}
	c.out, c.blocks, c.first, c.blockBytes, c.ownBytes = nil, nil, 0, 0, 0
	if !c.writing { // else flush does it when it is done
		c.forgetWritten()
	}
	if c.outErr == nil {
		c.outErr = errDropped
	}
}

// wrote lets go of wbuf, which was written, or keeps it to be filled again. outMu must be held.
func (c *client) wrote() {
	if c.wshared != nil || cap(c.wbuf) > keepOut {
		c.forgetWritten()
		return
	}
	c.wbuf, c.written = c.wbuf[:0], 0
}

func (c *client) forgetWritten() {
	if c.wshared != nil {
		c.wshared.leave()
	} else {
		resp.Recycle(c.wbuf)
	}
	c.wbuf, c.wshared, c.written = nil, nil, 0
}

// advance makes wbuf the next piece to write, when all of it is written, and reports whether there is
// something to write. outMu must be held.
func (c *client) advance() bool {
	if c.written < len(c.wbuf) {
		return true
	}
	c.wrote()
	if c.first == len(c.blocks) {
		c.wbuf, c.out = c.out, c.wbuf
		return len(c.wbuf) > 0
	}
	b := c.blocks[c.first]
	c.blocks[c.first] = block{}
	c.first++
	c.blockBytes -= int64(len(b.b))
	if b.shared == nil {
		c.ownBytes -= int64(cap(b.b))
	}
	if c.first == len(c.blocks) {
		c.blocks, c.first = c.blocks[:0], 0
		if cap(c.blocks) > 1024 {
			c.blocks = nil
		}
	}
	c.wbuf, c.wshared = b.b, b.shared
	return true
}

// unsent is what waits to be written, as CLIENT LIST shows it.
type unsent struct {
	obl  int64 // bytes in buffers that are not full
	oll  int64 // blocks
	omem int64 // and what they take
}

func (w unsent) bytes() int64 { return w.obl + w.omem - w.oll*blockOverhead }

func (w *unsent) add(n int) {
	if n <= outBlock {
		w.obl += int64(n)
		return
	}
	w.oll++
	w.omem += int64(n) + blockOverhead
}

// waiting returns what waits to be written. outMu must be held.
func (c *client) waiting() (w unsent) {
	w.add(len(c.out))
	w.add(len(c.wbuf) - c.written)
	n := int64(len(c.blocks) - c.first)
	w.oll += n
	w.omem += c.blockBytes + n*blockOverhead
	return w
}

// outputBytes returns how much waits to be written.
func (c *client) outputBytes() int64 {
	w, _ := c.waits()
	return w.bytes()
}

// waits returns what waits to be written, and the size of the buffers for what is not a block. The engine's
// lock must be held.
func (c *client) waits() (w unsent, room int) {
	c.outMu.Lock()
	defer c.outMu.Unlock()
	room = cap(c.Reply.Buf)
	for _, b := range [][]byte{c.out, c.wbuf} {
		if len(b) <= outBlock {
			room += cap(b)
		}
	}
	return c.waiting(), room
}

// ownOutput returns the memory that the output side has for this client alone. outMu must be held.
func (c *client) ownOutput() int64 {
	n := int64(cap(c.out)+cap(c.Reply.Buf)) + c.ownBytes + int64(cap(c.blocks))*blockOverhead
	if c.wshared == nil {
		n += int64(cap(c.wbuf))
	}
	return n
}

// share queues a block that other clients get as well. The engine's lock must be held, and the client must
// not be the one whose commands run.
func (c *client) share(sb *sharedBytes) {
	c.s.eng.Wake(&c.Session)
	if c.stageBuf(); c.tooMuch {
		return
	}
	if sb.refs.Add(1) == 1 {
		sb.mem.Add(int64(len(sb.b)))
	}
	c.stage(block{sb.b, sb})
}

// stageBuf stages what is in w.Buf. The client must not be the one whose commands run.
func (c *client) stageBuf() {
	if len(c.Reply.Buf) == 0 {
		return
	}
	b, spare := fit(c.Reply.Buf)
	c.Reply.Buf = spare
	c.stage(block{b: b})
}

func (c *client) stage(b block) {
	if c.tooMuch {
		return
	}
	c.staged = append(c.staged, b)
	c.stagedBytes += int64(len(b.b)) + blockOverhead
	// A unit may send more than the limit allows before anything is handed over.
	if hard := c.s.cfg.OutputLimits[c.outputClass()].Hard; hard > 0 && c.waited+c.stagedBytes > hard {
		w, _ := c.waits() // some of it may be written by now
		c.waited = w.omem
		if c.waited+c.stagedBytes > hard { // handOver ends it: the hub is locked
			c.unstage()
			c.tooMuch = true
		}
	}
}

// holdReply keeps the reply of a transaction from growing past the client's limit: nothing of it would be
// sent. mark is where it began in w.Buf. The engine's lock must be held.
func (c *client) holdReply(mark int) {
	if len(c.Reply.Buf) <= maxBatchReply {
		return
	}
	c.checkOutputLimit(c.waited+int64(len(c.Reply.Buf)), time.Time{})
	if c.closing == closeNow {
		c.Reply.Buf = append([]byte{}, c.Reply.Buf[:mark]...)
	}
}

// messageCache has the last message that was encoded for several subscribers, for both protocols.
type messageCache struct {
	msg     pubsub.Message
	encoded [4]*sharedBytes // RESP2 and RESP3, then both with the ID of the entry
}

// encoded returns the message as a block to share. It is valid for one PUBLISH: forgetEncoded ends it.
func (s *Server) encoded(m pubsub.Message, proto int, withEntry bool) *sharedBytes {
	mc := &s.messages
	if mc.msg.Kind != m.Kind || len(mc.msg.Pattern) != len(m.Pattern) || len(m.Pattern) > 0 && &mc.msg.Pattern[0] != &m.Pattern[0] {
		mc.encoded = [4]*sharedBytes{}
	}
	mc.msg = m
	i := btoi(proto == 3) + 2*btoi(withEntry)
	if mc.encoded[i] == nil {
		w := resp.Writer{Proto: proto, Buf: make([]byte, 0, len(m.Pattern)+len(m.Channel)+len(m.Payload)+len(m.Entry)+64)}
		writeMessage(&w, m, withEntry)
		mc.encoded[i] = &sharedBytes{b: w.Buf, mem: &s.sharedMem}
	}
	return mc.encoded[i]
}

func (s *Server) forgetEncoded() { s.messages = messageCache{} }

// outputClass returns the index of the client's class in client-output-buffer-limit.
func (c *client) outputClass() int {
	switch {
	case c.Has(engine.ModeReplica):
		return config.ClassReplica
	case c.Subs.Count() > 0:
		return config.ClassPubSub
	}
	return config.ClassNormal
}

// checkOutputLimit closes a client that does not read what it is sent. size is what waits to be written;
// a zero now is read from the clock where it matters.
func (c *client) checkOutputLimit(size int64, now time.Time) {
	lim := c.s.cfg.OutputLimits[c.outputClass()]
	over := lim.Hard > 0 && size > lim.Hard
	if lim.Soft > 0 && size > lim.Soft {
		if now.IsZero() {
			now = time.Now()
		}
		if c.overSince.IsZero() {
			c.overSince = now
		}
		over = over || now.Sub(c.overSince) >= time.Duration(lim.SoftSeconds)*time.Second
	} else {
		c.overSince = time.Time{}
	}
	if over {
		c.endSlow()
	}
}

// endSlow ends a session that does not read what it is sent.
func (c *client) endSlow() {
	if c.closing != closeNow && c.transport != nil {
		c.s.logf(levelWarning, "Client %s scheduled to be closed ASAP for overcoming of output buffer limits.", c.describe())
		c.s.stats.outputLimitDisconnections++
		c.s.end(c, EndSlow)
	}
}

// checkOutputLimits looks at those who are over the soft limit, or no longer, and at whom nothing new
// was sent.
func (s *Server) checkOutputLimits(now time.Time) {
	for _, c := range s.clients {
		if !c.overSince.IsZero() {
			w, _ := c.waits()
			c.checkOutputLimit(w.omem, now)
		}
	}
}

// flushPiece is how much of a large reply is written at a time: what is written is counted after each.
const flushPiece = 1 << 20

// flush writes what was handed over. Several goroutines may call it: one of them writes, the
// others leave their bytes to it. It waits for the append-only file first when the policy asks
// for that. The engine's lock must not be held.
func (c *client) flush() error {
	c.outMu.Lock()
	defer c.outMu.Unlock()
	if c.writing {
		return nil
	}
	c.writing = true
	for c.outErr == nil && c.advance() {
		piece := c.wbuf[c.written:]
		piece = piece[:min(len(piece), flushPiece)]
		at := c.commitAt
		c.outMu.Unlock()
		c.s.files.Commit(at)
		n, err := c.conn.Write(piece)
		c.outMu.Lock()
		c.written += n
		c.s.traffic.wrote(n)
		if err != nil {
			c.outErr = err
		}
	}
	if c.outErr != nil {
		c.forgetWritten()
	}
	c.writing = false
	c.outIdle.Broadcast()
	return c.outErr
}

// flushAll is flush that also waits for another goroutine that is writing: when it returns, what was
// handed over before has been written.
func (c *client) flushAll() error {
	c.outMu.Lock()
	for c.writing {
		c.outIdle.Wait()
	}
	c.outMu.Unlock()
	return c.flush()
}
