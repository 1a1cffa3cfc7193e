package rdb

import (
	"errors"

	"byor/pkg/store"
)

// Reading ahead: one goroutine reads the file, sums it, unpacks it and makes values of it, and the
// one that called puts them where they belong. The second half is mostly waiting for memory, and on
// two processors it waits while the first half works.
//
// What was read is handed over in batches, since a channel costs as much as an entry or two. The
// batches go round: whoever is ahead has to wait for the other to give one back.

const (
	aheadBatches = 4
	aheadRecords = 256       // a batch has no more records,
	aheadBytes   = 64 << 10  // nor many more bytes of keys and strings
	aheadString  = 4 << 10   // a longer string comes as a value, and is not copied once more
	aheadKept    = 256 << 10 // bytes up to which a batch's memory is used again
)

// errStopped ends the goroutine that reads when nobody wants to have more.
var errStopped = errors.New("rdb: reading was stopped")

// records are a batch, in the order of the file.
type records struct {
	list []record
	keys [][]byte // of the entries
	text []byte   // their keys and strings, one after the other
}

// record is a call of a Handler that is still to be made.
type record struct {
	other func() error // makes the call, unless it is one for an entry:
	entry Entry
	plain bool // a string, which is str
	str   []byte
}

// ReadAhead is Read with the Handler a little behind: a goroutine reads and decodes, and this one
// calls the functions of h, in the same order. A long string may come as a value, to Entry. The
// goroutine has ended when ReadAhead returns; until then the source is its own. So an error of h's
// waits for the read that is under way.
func (r *Reader) ReadAhead(h Handler) error {
	a := &ahead{full: make(chan *records, aheadBatches), free: make(chan *records, aheadBatches), stop: make(chan struct{})}
	for range aheadBatches {
		a.free <- new(records)
	}
	var readErr error
	go func() {
		defer close(a.full)
		if readErr = a.next(); readErr == nil {
			readErr = r.Read(a.handler(&h))
		}
		a.full <- a.b // there is room for all
	}()
	var err error
	for b := range a.full {
		if err == nil {
			if err = b.handle(&h); err != nil {
				close(a.stop)
			}
		}
		b.list, b.keys, b.text = b.list[:0], b.keys[:0], b.text[:0]
		if cap(b.text) > aheadKept {
			b.text = nil
		}
		a.free <- b
	}
	if err != nil {
		return err
	}
	return readErr
}

// handle makes the calls.
func (b *records) handle(h *Handler) (err error) {
	if h.Ahead != nil {
		h.Ahead(b.keys)
	}
	for i := range b.list {
		switch r := &b.list[i]; {
		case r.other != nil:
			err = r.other()
		case r.plain:
			err = h.String(&r.entry, r.str)
		default:
			err = call(nil, h.Entry, &r.entry)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ahead is the side that reads.
type ahead struct {
	full, free chan *records
	stop       chan struct{} // closed when nobody wants to have more
	b          *records      // being filled
}

// next hands the batch over and gets an empty one.
func (a *ahead) next() error {
	if a.b != nil {
		a.full <- a.b
	}
	a.b = <-a.free
	select {
	case <-a.stop:
		return errStopped
	default:
		return nil
	}
}

// add adds an empty record. When it is filled, end must be called.
func (a *ahead) add() *record {
	n := len(a.b.list)
	a.b.list = append(a.b.list, record{})
	return &a.b.list[n]
}

// end hands the batch over when it is full.
func (a *ahead) end() error {
	if len(a.b.list) < aheadRecords && len(a.b.text) < aheadBytes {
		return nil
	}
	return a.next()
}

// own returns a copy of s that is valid as long as the batch. If the text has to move, what was
// handed out stays where it is.
func (a *ahead) own(s []byte) []byte {
	at := len(a.b.text)
	a.b.text = append(a.b.text, s...)
	return a.b.text[at:len(a.b.text):len(a.b.text)]
}

// ownKey is own for the key of an entry.
func (a *ahead) ownKey(key []byte) []byte {
	key = a.own(key)
	a.b.keys = append(a.b.keys, key)
	return key
}

// handler returns the Handler that notes the calls to be made of h.
func (a *ahead) handler(h *Handler) Handler {
	n := Handler{Entry: a.entry, SelectDB: later(a, h.SelectDB), ModuleAux: later(a, h.ModuleAux)}
	if h.String != nil {
		n.String = a.str
	}
	if h.Aux != nil {
		n.Aux = func(name, value []byte) error {
			name, value = a.own(name), a.own(value)
			return a.later(func() error { return h.Aux(name, value) })
		}
	}
	if h.Resize != nil {
		n.Resize = func(keys, expires uint64) error {
			return a.later(func() error { return h.Resize(keys, expires) })
		}
	}
	if h.Function != nil {
		n.Function = func(source []byte) error {
			source = a.own(source)
			return a.later(func() error { return h.Function(source) })
		}
	}
	if h.Empty != nil {
		n.Empty = func(db int, key []byte) error {
			key = a.own(key)
			return a.later(func() error { return h.Empty(db, key) })
		}
	}
	return n
}

func (a *ahead) later(fn func() error) error {
	a.add().other = fn
	return a.end()
}

// later returns what notes a call of fn with one argument that nobody changes.
func later[T any](a *ahead, fn func(T) error) func(T) error {
	if fn == nil {
		return nil
	}
	return func(arg T) error { return a.later(func() error { return fn(arg) }) }
}

func (a *ahead) entry(e *Entry) error {
	r := a.add()
	r.entry = *e
	r.entry.Key = a.ownKey(e.Key)
	return a.end()
}

func (a *ahead) str(e *Entry, s []byte) error {
	r := a.add()
	r.entry = *e
	r.entry.Key = a.ownKey(e.Key)
	if len(s) > aheadString {
		r.entry.Value = store.NewString(s)
	} else {
		r.plain, r.str = true, a.own(s)
	}
	return a.end()
}
