package resp

import (
	"io"
	"sync"
)

// A large argument does not go through the reader's buffer, which would have to grow with it and copy
// all that has come each time. It comes in chunks of one size, whatever length was claimed for it: memory
// follows the bytes. Once half of it is there it gets a block of its own (block.go); what is there is
// copied, the rest is read into its place. Where a block has become free elsewhere the argument gets that
// at once. A block holds nothing else, so whoever wants to keep the argument may take it as it is (Take),
// as Redis does with the buffer of a large SET.

const (
	// LargeBulk is how long an argument is that may be taken.
	LargeBulk = 64 << 10
	chunkSize = 32 << 10
	readLarge = 1 << 20 // of which so much is read at a time
)

// chunks are those that nobody needs now.
var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// large is an argument that is coming, and those of the command that have come.
type large struct {
	n      int // its length with the line's end; 0 when none is coming
	got    int
	parts  []*[chunkSize]byte // what has come, as long as it is less than half
	whole  []byte             // all of it, else
	done   [][]byte           // those of the command that is being read
	doneN  int                // their bytes
	latest [][]byte           // those returned since the last Fill
}

// begin starts an argument of n bytes, of which have has come.
func (l *large) begin(n int, have []byte) {
	l.n, l.got = n+2, 0
	l.whole = spareBlock(l.n)
	for len(have) > 0 {
		m := copy(l.room(), have)
		l.got += m
		have = have[m:]
	}
}

func (l *large) missing() int { return l.n - l.got }

// room returns where the next bytes of the argument go.
func (l *large) room() []byte {
	if l.whole == nil && l.got >= l.n/2 {
		l.whole = block(l.n)
		at := 0
		for _, p := range l.parts {
			at += copy(l.whole[at:l.got], p[:])
			chunks.Put(p)
		}
		l.parts = nil
	}
	if l.whole != nil {
		return l.whole[l.got:min(l.n, l.got+readLarge)]
	}
	if l.got == len(l.parts)*chunkSize {
		l.parts = append(l.parts, chunks.Get().(*[chunkSize]byte))
	}
	at := l.got - (len(l.parts)-1)*chunkSize
	return l.parts[len(l.parts)-1][at:min(chunkSize, at+l.missing())]
}

func (l *large) fill(src io.Reader) (int, error) {
	n, err := src.Read(l.room())
	l.got += n
	return n, err
}

// complete ends the argument that was coming. It is in whole: half of the shortest is a chunk.
func (l *large) complete() {
	l.done = append(l.done, l.whole[:l.n-2])
	l.doneN += l.n
	l.n, l.got, l.whole = 0, 0, nil
}

// handOut says that the command is returned, and how many bytes of it were large arguments.
func (l *large) handOut() int64 {
	n := l.doneN
	l.latest = append(l.latest, l.done...)
	l.done, l.doneN = nil, 0
	return int64(n)
}

func (l *large) received() int { return l.got + l.doneN }

func (l *large) size() int {
	n := len(l.parts)*chunkSize + cap(l.whole) + l.doneN
	for _, b := range l.latest {
		n += len(b)
	}
	return n
}

// HasLarge reports whether large arguments were returned since the last Fill. The reader refers to them,
// taken or not, until the next one or Shrink.
func (r *CommandReader) HasLarge() bool { return len(r.large.latest) > 0 }

// ForgetLarge lets go of the arguments that were returned. They are invalid then, as after a Fill.
func (r *CommandReader) ForgetLarge() {
	clear(r.large.latest)
	r.large.latest = r.large.latest[:0]
	clear(r.arena[:cap(r.arena)])
	r.arena = r.arena[:0]
}

// Take reports whether the caller may keep arg, an argument returned since the last Fill, instead of a
// copy of it: it has memory of its own, which the reader does not touch again. It says so once.
func (r *CommandReader) Take(arg []byte) bool {
	if len(arg) < LargeBulk {
		return false
	}
	for i, b := range r.large.latest {
		if len(b) == len(arg) && &b[0] == &arg[0] {
			r.large.latest[i] = nil
			return true
		}
	}
	return false
}

// Parsed returns how many bytes the arguments have that have come of a command that has not come whole.
func (r *CommandReader) Parsed() int {
	for ; r.summed < len(r.spans); r.summed++ {
		r.sum += r.spans[r.summed].n
	}
	return r.sum
}

// Unparsed returns the bytes that have come and are not an argument yet.
func (r *CommandReader) Unparsed() int { return len(r.buf) - r.pos + r.large.got }

// Arrived is Unparsed, after a Fill and as if that had stopped at the end of a large argument: what is
// behind it will be parsed as soon as the argument is.
func (r *CommandReader) Arrived() int {
	if r.large.n > 0 {
		return min(r.Unparsed(), r.large.n)
	}
	return r.Unparsed()
}
