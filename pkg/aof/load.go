package aof

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// ErrUnknownCommand is what Handlers.Apply returns for a command it does not know.
var ErrUnknownCommand = errors.New("unknown command")

// Errors of a load, to be found with errors.Is inside a *LoadError.
var (
	// ErrFormat is damage: bytes that no torn write leaves behind.
	ErrFormat = errors.New("aof: bad file format")
	// ErrTruncated is a torn last file under Options.RefuseTruncated.
	ErrTruncated = errors.New("aof: unexpected end of file")
	// ErrNotLast is a torn file that others follow: their commands would be
	// applied to a state they were not made for.
	ErrNotLast = errors.New("aof: the truncated file is not the last file")
)

// LoadError says which file could not be loaded. Its text is the last line that
// Redis logs before it exits.
type LoadError struct {
	File   string // without directory
	Offset int64  // where the file stops making sense, in bytes
	Err    error  // one of the errors above, the handler's, or the system's
	text   string
}

func (e *LoadError) Error() string { return e.text }

// Unwrap gives the cause.
func (e *LoadError) Unwrap() error { return e.Err }

// Handlers receive what a load reads, from the goroutine that called Load.
type Handlers struct {
	// LoadBase reads an RDB of at most size bytes from r. It must consume the RDB
	// and not a byte more, since commands may follow it (the file of a Redis
	// before 7.0): r is buffered already, do not put another buffer around it.
	LoadBase func(r *bufio.Reader, size int64) error

	// Apply executes a command. args and what they point to are valid during the
	// call only. Transactions arrive whole or not at all, without their MULTI and
	// EXEC. An error ends the load; a command that merely replies with an error
	// is for the caller to log, and nil.
	Apply func(args [][]byte) error

	// Batch, if not nil, is called for each batch of commands that were read, in order.
	// It must call apply, which calls Apply for each of them up to an error. Those of a
	// transaction wait for its EXEC, which may be in a later batch.
	Batch func(commands [][][]byte, apply func())

	// Progress, if not nil, is called at least every 2 MB and at the end of every
	// file with the bytes read so far and those of all files. While LoadBase works, it
	// is called by whoever reads from r.
	Progress func(loaded, total int64)
}

// Result says what a load has found.
type Result struct {
	Found    bool   // there is a log, be it empty
	Files    int    // base and increments
	Commands int64  // applied, without those of an RDB
	CutFile  string // the file that was torn and cut back, or ""
	CutBytes int64  // what was cut off
}

// Load replays the log: the base, then the increments in order. A server without
// a log gets the zero Result and no error. The last file may be torn, as a crash
// leaves it: it is cut back on the disk to its last whole command, or to before a
// MULTI that lacks its EXEC. All else that is wrong is an error, and nothing on
// the disk has been changed then.
//
// Load must not run beside a Log on the same directory that is being written to.
func Load(o Options, h Handlers) (Result, error) {
	o = o.fill()
	start := time.Now()
	m, err := o.findManifest()
	if err != nil {
		return Result{}, err
	}
	l := loader{o: o, h: h}
	files := m.files()
	if len(files) == 0 {
		return Result{}, nil
	}
	sizes := make([]int64, len(files))
	for i, fi := range files {
		if sizes[i], err = o.fileSize(fi.name); err != nil {
			return Result{}, &LoadError{File: fi.name, Err: err, text: err.Error()}
		}
		l.total += sizes[i]
	}
	l.res = Result{Found: true, Files: len(files)}
	for i, fi := range files {
		if err := l.file(fi, sizes[i], i == len(files)-1); err != nil {
			return l.res, err
		}
	}
	o.Logf("DB loaded from append only file: %.3f seconds", time.Since(start).Seconds())
	return l.res, nil
}

// loader is a load under way.
type loader struct {
	o      Options
	h      Handlers
	res    Result
	total  int64
	before int64 // bytes of the files before this one
	told   int64 // bytes read at the last call of Progress

	name    string
	scan    scanner
	off     int64 // offset up to which commands were applied, or of what is wrong
	good    int64 // offset up to which the file is worth keeping
	inMulti bool
	queue   [][][]byte // commands since MULTI
}

const progressBytes = 2 << 20 // loading-process-events-interval-bytes

// countingReader stands between a file and its buffer.
type countingReader struct {
	r    io.Reader
	n    int64
	tell func(read int64) // is told of n, or nil
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.tell != nil {
		c.tell(c.n)
	}
	return n, err
}

// progress says how many bytes of all files were read.
func (l *loader) progress(read int64) {
	l.told = read
	if l.h.Progress != nil {
		l.h.Progress(read, l.total)
	}
}

// progressed is progress with the bytes of this file, when it has been quiet for long.
func (l *loader) progressed(read int64) {
	if l.before+read >= l.told+progressBytes {
		l.progress(l.before + read)
	}
}

// file loads one file.
func (l *loader) file(fi fileInfo, size int64, last bool) error {
	if size == 0 {
		return nil
	}
	start := time.Now()
	l.name, l.off, l.good, l.inMulti, l.queue = fi.name, 0, 0, false, nil
	f, err := l.o.FS.OpenFile(l.o.path(fi.name), os.O_RDONLY, 0)
	if err != nil {
		return l.fail(err, "Fatal error: can't open the append log file %s for reading: %s", fi.name, Strerror(err))
	}
	defer f.Close()
	in := &countingReader{r: f, tell: l.progressed}
	l.scan = scanner{r: bufio.NewReaderSize(in, 256<<10), size: size}
	err = l.base(in)
	if err == nil {
		err = l.commands()
	}
	if errors.Is(err, errTorn) {
		err = l.torn(size, last)
	}
	if err != nil {
		return err
	}
	l.before += size
	l.progress(l.before)
	kind := "incr"
	if fi.kind == baseFile {
		kind = "base"
	}
	l.o.Logf("DB loaded from %s file %s: %.3f seconds", kind, fi.name, time.Since(start).Seconds())
	return nil
}

// base hands an RDB at the start of the file, which in reads, to the caller.
func (l *loader) base(in *countingReader) error {
	defer func() { in.tell = nil }()
	s := &l.scan
	head, err := s.r.Peek(5)
	if err != nil && err != io.EOF {
		return l.fail(err, "Unrecoverable error reading the append only file %s: %s", l.name, Strerror(err))
	}
	if string(head) != "REDIS" {
		return nil
	}
	kind, intro := "RDB base file", "Reading RDB base file on AOF loading..."
	if l.name == l.o.FileName {
		kind, intro = "RDB preamble of the AOF file", "Reading RDB preamble from AOF file..."
	}
	l.o.Logf("%s", intro)
	err = errors.New("this server reads no RDB")
	if l.h.LoadBase != nil {
		err = l.h.LoadBase(s.r, s.size)
	}
	s.off = in.n - int64(s.r.Buffered())
	l.off = s.off
	if err != nil {
		return l.fail(err, "Error reading the %s %s, AOF loading aborted: %s", kind, l.name, Strerror(err))
	}
	l.good = s.off
	if l.name == l.o.FileName {
		l.o.Logf("Reading the remaining AOF tail...")
	}
	return nil
}

// commands replays what is left of the file. It returns errTorn where the file
// ends too early.
func (l *loader) commands() error {
	a := readAhead(&l.scan)
	defer a.close()
	for b := range a.full {
		if err := l.batch(b); err != nil {
			return err
		}
		l.off = b.end
		switch {
		case b.err == io.EOF && l.inMulti:
			l.o.Warnf("Revert incomplete MULTI/EXEC transaction in AOF file %s", l.name)
			return errTorn
		case b.err == io.EOF:
			return nil
		case b.err != nil:
			return l.scanFailed(b.err)
		}
		l.progressed(l.off)
		a.free <- b
	}
	return nil
}

// batch applies a batch of commands.
func (l *loader) batch(b *batch) (err error) {
	if len(b.commands) == 0 {
		return nil
	}
	apply := func() {
		for i := 0; i < len(b.commands) && err == nil; i++ {
			l.off = b.at[i+1]
			err = l.command(b.at[i], b.commands[i])
		}
	}
	if l.h.Batch != nil {
		l.h.Batch(b.commands, apply)
	} else {
		apply()
	}
	return err
}

func (l *loader) scanFailed(err error) error {
	if errors.Is(err, errTorn) {
		if l.inMulti {
			l.o.Warnf("Revert incomplete MULTI/EXEC transaction in AOF file %s", l.name)
		}
		return errTorn
	}
	var bad *badFormat
	if !errors.As(err, &bad) {
		return l.fail(err, "Unrecoverable error reading the append only file %s: %s", l.name, Strerror(err))
	}
	l.o.Warnf("AOF %s format error %s", l.name, bad)
	l.off = bad.offset
	return l.fail(fmt.Errorf("%w: %w", ErrFormat, bad), "Bad file format reading the append only file %s: "+
		"make a backup of your AOF file, then use ./redis-check-aof --fix <filename.manifest>", l.name)
}

// command applies a command, or queues it if it is part of a transaction: the
// EXEC may be missing, and then none of it may have happened.
func (l *loader) command(start int64, args [][]byte) error {
	switch {
	case !l.inMulti && isWord(args[0], "multi"):
		l.inMulti = true
		return nil // l.good stays before the MULTI until its EXEC is read
	case l.inMulti && !isWord(args[0], "exec"):
		l.queue = append(l.queue, cloneArgs(args))
		return nil
	case l.inMulti:
		for _, queued := range l.queue {
			if err := l.apply(start, queued); err != nil {
				return err
			}
		}
		l.inMulti, l.queue = false, nil
	default:
		if err := l.apply(start, args); err != nil {
			return err
		}
	}
	l.good = l.off
	return nil
}

func (l *loader) apply(start int64, args [][]byte) error {
	err := l.h.Apply(args)
	if err == nil {
		l.res.Commands++
		return nil
	}
	l.off = start
	if errors.Is(err, ErrUnknownCommand) {
		return l.fail(err, "Unknown command '%s' reading the append only file %s", args[0], l.name)
	}
	return l.fail(err, "Error executing the command '%s' reading the append only file %s: %s", args[0], l.name, err)
}

// torn cuts the file back to what is worth keeping, if that is allowed.
func (l *loader) torn(size int64, last bool) error {
	cut := size - l.good
	if l.o.RefuseTruncated {
		return l.fail(ErrTruncated, "Unexpected end of file reading the append only file %s. You can: "+
			"1) Make a backup of your AOF file, then use ./redis-check-aof --fix <filename.manifest>. "+
			"2) Alternatively you can set the 'aof-load-truncated' configuration option to yes and restart the server.", l.name)
	}
	l.o.Warnf("!!! Warning: short read while loading the AOF file %s!!!", l.name)
	if !last {
		return l.fail(ErrNotLast, "Fatal error: the truncated file is not the last file")
	}
	l.o.Warnf("!!! Truncating the AOF %s at offset %d !!!", l.name, l.good)
	if err := l.o.truncate(l.name, l.good); err != nil {
		return l.fail(err, "Error truncating the AOF file %s: %s", l.name, Strerror(err))
	}
	l.o.Warnf("AOF %s loaded anyway because aof-load-truncated is enabled", l.name)
	l.res.CutFile, l.res.CutBytes = l.name, cut
	return nil
}

// truncate shortens a file and syncs it: were the cut lost in a power cut after
// new commands were appended, they would stand behind the torn one.
func (o Options) truncate(name string, size int64) error {
	f, err := o.FS.OpenFile(o.path(name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err = f.Truncate(size); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (l *loader) fail(err error, format string, args ...any) error {
	return &LoadError{File: l.name, Offset: l.off, Err: err, text: fmt.Sprintf(format, args...)}
}

func isWord(b []byte, word string) bool {
	return len(b) == len(word) && strings.EqualFold(string(b), word)
}

func cloneArgs(args [][]byte) [][]byte {
	c := make([][]byte, len(args))
	for i, a := range args {
		c[i] = bytes.Clone(a)
	}
	return c
}
