package repl

import "strings"

// The backlog is a list of blocks instead of a ring. A ring would need a copy of the stream for each
// replica that is behind it; with a list, a slow replica just holds on to the block that it has come
// to, all replicas and the backlog share the same bytes, and the garbage collector frees a block when
// the last one has left it. (Redis 7.0 does the same with reference counts.)

// blockSize is the least that a block holds, in bytes. It is what one write to a replica sends.
const blockSize = 16 << 10

// block is a stretch of the stream. Bytes are added behind buf until its capacity is used; those
// that are there never change, so who has seen a length under the lock may read up to it without.
type block struct {
	start int64 // offset of the history before the first byte
	made  int64 // bytes of memory of all blocks before it
	buf   []byte
	next  *block
}

// History is a stream of changes with a name: how far it has come, and its last bytes. It is not
// safe for concurrent use: a Master protects its own.
//
// Offsets count the bytes since the history began. Where a method takes an offset as PSYNC states
// it, that is one more: the number of the first byte wanted, counting from 1.
type History struct {
	id, id2 string // "" for a history that has not begun
	second  int64  // PSYNC offset up to which id2 names the same stream; -1 for none
	offset  int64

	size       int64 // of the backlog in bytes; 0 while there is none
	head, tail *block
	first      int64 // offset before the oldest byte that may be asked for
}

// NewHistory returns an empty history with a new ID and without a backlog.
func NewHistory() *History { return &History{id: newID(), second: -1} }

// ID returns the replication ID.
func (h *History) ID() string { return h.id }

// ID2 returns the ID that the stream had before, and the PSYNC offset up to which it holds. Without
// one they are 40 zeros and -1.
func (h *History) ID2() (id string, upTo int64) {
	if h.id2 == "" {
		return noID, -1
	}
	return h.id2, h.second
}

// Offset returns how many bytes the stream has.
func (h *History) Offset() int64 { return h.offset }

// Keep switches the backlog on, or resizes it, to at least size bytes. What is there is kept as far
// as it fits.
func (h *History) Keep(size int64) {
	if h.size == 0 {
		h.head = &block{start: h.offset}
		h.tail, h.first = h.head, h.offset
	}
	h.size = max(size, 1)
	h.trim()
}

// Kept reports whether there is a backlog, its size, the PSYNC offset of its oldest byte, and how
// many bytes it has.
func (h *History) Kept() (active bool, size, firstByte, length int64) {
	if h.size == 0 {
		return false, 0, 0, 0
	}
	return true, h.size, h.first + 1, h.offset - h.first
}

// Append adds bytes to the stream and copies them to the backlog. Without a backlog nothing is
// counted either, as in Redis: there is nobody who could have an offset.
func (h *History) Append(b []byte) {
	if h.size == 0 {
		return
	}
	h.offset += int64(len(b))
	for {
		n := copy(h.tail.buf[len(h.tail.buf):cap(h.tail.buf)], b)
		h.tail.buf = h.tail.buf[:len(h.tail.buf)+n]
		if b = b[n:]; len(b) == 0 {
			break
		}
		next := &block{start: h.offset - int64(len(b)), made: h.tail.made + int64(cap(h.tail.buf)), buf: make([]byte, 0, min(max(blockSize, len(b)), 64*blockSize))}
		h.tail.next, h.tail = next, next
	}
	h.trim()
}

// trim lets go of blocks that the backlog has no need for.
func (h *History) trim() {
	for h.head.next != nil && h.offset-h.head.next.start >= h.size {
		h.head = h.head.next
	}
	h.first = max(h.first, h.head.start, h.offset-h.size)
}

// CanContinue reports whether PSYNC id offset can be answered by +CONTINUE: the ID names our stream
// up to there, and the bytes from there on are remembered.
func (h *History) CanContinue(id string, offset int64) bool {
	known := strings.EqualFold(id, h.id) || strings.EqualFold(id, h.id2) && offset <= h.second
	return h.size > 0 && id != "" && known && offset > h.first && offset <= h.offset+1
}

// AppendFrom appends the stream from PSYNC offset on to dst. CanContinue must have said yes.
func (h *History) AppendFrom(dst []byte, offset int64) []byte {
	c := h.cursor(offset - 1)
	for {
		b := c.next()
		if len(b) == 0 {
			return dst
		}
		dst = append(dst, b...)
	}
}

// Promote begins a new history that goes on from this one, under a new ID: what a replica does that
// becomes a master, and a master that was restarted. Those who know the old ID can go on.
func (h *History) Promote() {
	h.id2, h.second = h.id, h.offset+1
	h.id = newID()
}

// Disown gives the history a new ID and forgets the old ones, so that nobody who knows them can go on.
func (h *History) Disown() {
	h.id, h.id2, h.second = newID(), "", -1
}

// Forget begins a new history that has nothing to do with this one, and drops the backlog.
func (h *History) Forget() {
	*h = *NewHistory()
}

// Reset makes this the history named id as it is at offset: what a replica has after a full resync,
// and a server after it loaded a snapshot that names a position. The backlog starts empty.
func (h *History) Reset(id string, offset int64) {
	size := h.size
	*h = History{id: id, second: -1, offset: offset}
	if size > 0 {
		h.Keep(size)
	}
}

// Rename continues the same stream under another ID, as +CONTINUE <id> tells a replica to do.
func (h *History) Rename(id string) {
	if id != h.id {
		h.id2, h.second = h.id, h.offset+1
		h.id = id
	}
}

// cursor is a place in the stream. It keeps the bytes behind it from being freed.
type cursor struct {
	b   *block
	pos int // bytes of b that were read
}

// cursor returns the place after offset bytes, which must be remembered.
func (h *History) cursor(offset int64) cursor {
	b := h.head
	for b.next != nil && b.next.start <= offset {
		b = b.next
	}
	return cursor{b, int(offset - b.start)}
}

// next returns bytes that follow, and none where the stream ends for now. They never change.
func (c *cursor) next() []byte {
	for c.pos == len(c.b.buf) && c.b.next != nil {
		c.b, c.pos = c.b.next, 0
	}
	b := c.b.buf[c.pos:len(c.b.buf):len(c.b.buf)]
	c.pos = len(c.b.buf)
	return b
}

// offset returns how many bytes lie before the cursor.
func (c *cursor) offset() int64 { return c.b.start + int64(c.pos) }
