package rdb

import (
	"encoding/binary"
	"io"
	"strconv"

	"byor/pkg/store"
)

// Reader reads a snapshot. It is not safe for concurrent use.
type Reader struct {
	// NoChecksum skips the verification of the file's checksum (rdbchecksum no).
	NoChecksum bool

	in      input
	version int
	entry   Entry
	key     []byte
	strings bool // they do not become values
	plain   bool // entry is of such a string:
	str     []byte
}

// Entry is a key with its value and what the file says about it.
type Entry struct {
	DB       int
	Key      []byte // valid until the handler returns
	Value    store.Value
	ExpireMs int64 // Unix milliseconds, NoExpiry for none
	IdleSec  int64 // seconds since the last access when the file was written, -1 where it does not say
	Freq     int   // the access counter of an LFU policy, -1 where the file does not say
}

// Handler is what to do with each kind of record. Functions that are nil are not called; an error
// that one returns ends the reading and is what Read returns. Byte slices are valid until the
// function returns.
type Handler struct {
	// Aux is called for facts about the file, such as redis-ver, ctime and repl-id.
	Aux func(name, value []byte) error
	// SelectDB is called when the keys of another database follow.
	SelectDB func(db int) error
	// Resize is called with how many keys, and keys with an expiry time, the file claims to have
	// for the database. Nobody has counted them: it is good for a hint only.
	Resize func(keys, expires uint64) error
	// Entry is called for each key. The value is the handler's to keep, the Entry is not.
	Entry func(e *Entry) error
	// String, if not nil, is called instead of Entry for a key that holds a string: the Entry has no
	// value then, and nothing was allocated for it.
	String func(e *Entry, value []byte) error
	// Ahead is called by ReadAhead with the keys of some entries that come next.
	Ahead func(keys [][]byte)
	// Function is called with the source of a library (FUNCTION LOAD).
	Function func(source []byte) error
	// ModuleAux is called with the name of a module whose data was skipped.
	ModuleAux func(module string) error
	// Empty is called for a key with an empty collection, which some older Redis left behind. Such
	// a key is skipped, as Redis does.
	Empty func(db int, key []byte) error
}

// NewReader returns a Reader of the snapshot that r begins with. It reads ahead, see Rest, unless r
// is a *bufio.Reader: of that it takes exactly the snapshot.
func NewReader(r io.Reader) *Reader {
	return &Reader{in: *newInput(r)}
}

// Rest returns what follows the snapshot in its source, after Read has returned nil. An
// append-only file may go on there with commands.
func (r *Reader) Rest() io.Reader { return r.in.rest() }

// Read reads the whole snapshot and verifies its checksum. What is wrong with it is reported as a
// *FormatError; the entries handed out until then are not to be trusted, since the checksum comes
// last.
func (r *Reader) Read(h Handler) error {
	r.in.noSum = r.NoChecksum
	r.strings = h.String != nil
	if r.in.br != nil {
		defer r.in.release()
	}
	if err := r.header(); err != nil {
		return err
	}
	r.resetEntry(0)
	for {
		op, err := r.next()
		if err != nil {
			return err
		}
		switch op {
		case opEOF:
			return r.trailer()
		case opSelectDB:
			r.entry.DB, err = r.selectDB()
			err = call(err, h.SelectDB, r.entry.DB)
		case opResizeDB:
			err = r.resize(h)
		case opAux:
			err = r.aux(h)
		case opFunction2:
			err = r.function(h)
		case opModuleAux:
			var name string
			name, err = r.moduleAux()
			err = call(err, h.ModuleAux, name)
		default:
			err = r.handleEntry(h)
			r.resetEntry(r.entry.DB)
		}
		if err != nil {
			return err
		}
	}
}

// call calls fn unless it is nil or there is an error already.
func call[T any](err error, fn func(T) error, arg T) error {
	if err != nil || fn == nil {
		return err
	}
	return fn(arg)
}

func (r *Reader) resetEntry(db int) {
	r.entry = Entry{DB: db, ExpireMs: NoExpiry, IdleSec: -1, Freq: -1}
	r.in.key, r.plain, r.str = nil, false, nil
}

func (r *Reader) handleEntry(h Handler) error {
	if r.plain {
		return h.String(&r.entry, r.str)
	}
	if r.entry.Value == nil {
		if h.Empty != nil {
			return h.Empty(r.entry.DB, r.entry.Key)
		}
		return nil
	}
	return call(nil, h.Entry, &r.entry)
}

func (r *Reader) header() (err error) {
	defer catch(&err)
	b := r.in.fixed(headerLen, "the header REDIS and four digits")
	if string(b[:len(magic)]) != magic {
		r.in.failAt(0, ErrNotRDB, "expected REDIS and four digits, found %q", b)
	}
	v, convErr := strconv.ParseUint(string(b[len(magic):]), 10, 16)
	if convErr != nil {
		r.in.failAt(int64(len(magic)), ErrNotRDB, "expected four digits, found %q", b[len(magic):])
	}
	if v < 1 || v > maxVersion {
		r.in.failAt(int64(len(magic)), ErrVersion, "Can't handle RDB format version %d", v)
	}
	r.version = int(v)
	return nil
}

// trailer verifies the checksum.
func (r *Reader) trailer() (err error) {
	defer catch(&err)
	if r.version < minCRCVersion {
		return nil
	}
	want := r.in.checksum()
	at := r.in.offset()
	got := binary.LittleEndian.Uint64(r.in.fixed(checksumLen, "the checksum"))
	if got != 0 && got != want && !r.NoChecksum { // 0: the file was written without
		r.in.failAt(at, ErrChecksum, "expected the checksum %016x, found %016x", want, got)
	}
	return nil
}

// next reads up to the next opcode that Read has something to do for. When it is none of them but
// a type, the whole entry has been read into r.entry.
func (r *Reader) next() (op byte, err error) {
	defer catch(&err)
	in := &r.in
	for {
		switch op = in.byte("a record"); op {
		case opExpireMs:
			r.entry.ExpireMs = in.int64LE("an expiry time in milliseconds")
		case opExpireSec:
			r.entry.ExpireMs = 1000 * int64(int32(binary.LittleEndian.Uint32(in.fixed(4, "an expiry time in seconds"))))
		case opIdle:
			r.entry.IdleSec = int64(min(in.length("an idle time"), 1<<62))
		case opFreq:
			r.entry.Freq = int(in.byte("an access frequency"))
		case opSlotInfo:
			for range 3 {
				in.length("the sizes of a slot")
			}
		case opFunction:
			in.failAt(in.offset()-1, ErrUnsupported, "Pre-release function format not supported")
		case opEOF, opSelectDB, opResizeDB, opAux, opFunction2, opModuleAux:
			return op, nil
		default:
			r.readEntry(valueType(op))
			return op, nil
		}
	}
}

// readEntry reads a key and its value.
func (r *Reader) readEntry(t valueType) {
	in := &r.in
	if !t.known() {
		in.failAt(in.offset()-1, ErrCorrupt, "expected an opcode or a type, found 0x%02x", byte(t))
	}
	r.key = append(r.key[:0], in.str("a key")...)
	r.entry.Key = r.key
	in.key = r.key
	if t == typeString && r.strings {
		r.plain, r.str = true, in.str("a string")
		return
	}
	r.entry.Value = in.value(t)
}

func (r *Reader) selectDB() (db int, err error) {
	defer catch(&err)
	n := r.in.length("a database's number")
	if n > 1<<31-1 {
		r.in.corrupt("expected a database's number, found %d", n)
	}
	return int(n), nil
}

func (r *Reader) resize(h Handler) (err error) {
	keys, expires, err := r.sizes()
	if err != nil || h.Resize == nil {
		return err
	}
	return h.Resize(keys, expires)
}

func (r *Reader) sizes() (keys, expires uint64, err error) {
	defer catch(&err)
	keys = r.in.length("a number of keys")
	return keys, r.in.length("a number of expiry times"), nil
}

func (r *Reader) aux(h Handler) error {
	name, value, err := r.auxField()
	if err != nil || h.Aux == nil {
		return err
	}
	return h.Aux(name, value)
}

func (r *Reader) auxField() (name, value []byte, err error) {
	defer catch(&err)
	r.key = append(r.key[:0], r.in.str("an aux field's name")...)
	return r.key, r.in.str("an aux field's value"), nil
}

func (r *Reader) function(h Handler) error {
	source, err := functionSource(&r.in)
	return call(err, h.Function, source)
}

func functionSource(in *input) (source []byte, err error) {
	defer catch(&err)
	return in.str("a function library"), nil
}
