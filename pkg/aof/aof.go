// Package aof is the append-only file of Redis 7: every change of the data, in
// the order it was made, kept on disk as the commands that make it again.
//
// # The files
//
// The log is not one file but a directory of them, and a manifest that says
// which of them count (Redis calls this the multi-part AOF):
//
//	appendonlydir/appendonly.aof.1.base.rdb   everything up to the last rewrite
//	appendonlydir/appendonly.aof.1.incr.aof   every change since
//	appendonlydir/appendonly.aof.manifest     file … seq 1 type b / type i
//
// A rewrite replaces base and increments by a new, shorter base. Because the
// manifest is replaced by one rename, there is no moment at which a crash would
// find half a rewrite: the old set of files is in force, or the new one.
//
// # The parts
//
// [Load] replays the files at start, [Open] opens the log for appending, and a
// [Log] takes it from there: Append under the engine's lock, Commit outside of
// it, BeginRewrite when the log has grown too long. [Create] is Open for a
// server that already holds data (CONFIG SET appendonly yes).
//
// The package knows the framing of commands and nothing of their meaning, and
// it neither reads nor writes RDB: the base is a function given by the caller.
//
// # What it promises
//
// When Commit returns nil, the bytes survive the death of the process and, under
// Always, a power cut, too (unless HoldSync suspends that). The order in the file
// is the order of the Append calls. A Log is safe for concurrent use.
//
// After an error of the disk the bytes are kept and tried again (WriteError).
// Under Always the server must exit (FatalError): what it has executed it can
// neither acknowledge nor take back.
// What waits to be written has no bound of its own; a server has one, because
// each client waits in Commit. A directory belongs to one process, and nothing
// here keeps a second one out of it.
//
// # Where it differs from Redis 7.0
//
// The files are the same, byte for byte. On purpose different is that Load
//   - refuses to start where AOF files lie without a manifest (Redis starts
//     empty and overwrites them);
//   - does not truncate a torn file that is not the last one before it fails
//     (Redis does, so that the second start succeeds with the loss);
//   - cuts a file torn inside a MULTI back to before the MULTI wherever the tear
//     is (Redis does so only where it falls between two commands; else it leaves
//     an open MULTI that swallows what is appended later);
//   - cuts off a torn #TS: annotation (Redis leaves it, and the next command
//     becomes a part of it).
//
// And a rewrite syncs the old increment before the manifest names the new one,
// so that after a power cut only the last file can be torn.
package aof

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
)

// Policy is Redis's appendfsync: when appended bytes are forced to the disk.
type Policy int32

const (
	// EverySec syncs once a second in the background: a power cut may lose the
	// last second or two, the death of the process alone loses nothing.
	EverySec Policy = iota
	// Always syncs before Commit returns: what was acknowledged is on the disk.
	Always
	// No leaves it to the operating system (on Linux some 30 seconds).
	No
)

// String is the value as redis.conf writes it.
func (p Policy) String() string {
	switch p {
	case Always:
		return "always"
	case No:
		return "no"
	default:
		return "everysec"
	}
}

// ParsePolicy reads always, everysec or no, in any case of letters.
func ParsePolicy(s string) (Policy, error) {
	for _, p := range []Policy{EverySec, Always, No} {
		if strings.EqualFold(s, p.String()) {
			return p, nil
		}
	}
	return EverySec, fmt.Errorf("aof: %q is none of always, everysec, no", s)
}

// Options say where the log is and how it is kept. The zero value is a log in
// ./appendonlydir with Redis's defaults, silent.
type Options struct {
	Dir      string // the server's data directory; "" is the working directory
	DirName  string // appenddirname; "" is "appendonlydir"
	FileName string // appendfilename; "" is "appendonly.aof"

	Policy    Policy // appendfsync at the start; Log.SetPolicy changes it
	PlainBase bool   // aof-use-rdb-preamble no: a base is commands, not RDB
	// RefuseTruncated is aof-load-truncated no: a torn last file is an error
	// instead of being cut back to its last whole command.
	RefuseTruncated bool
	// LastIncr is the number of an earlier log's last increment, see Log.LastIncr: the numbers go on from
	// there, though the file may be gone.
	LastIncr int64

	// Logf takes what Redis logs as a notice, Warnf what it logs as a warning.
	// A nil Warnf sends warnings to Logf; a nil Logf drops lines. They may be
	// called with the Log's lock held and must not call the Log.
	Logf  func(format string, args ...any)
	Warnf func(format string, args ...any)

	FS FS // nil is the operating system's
}

// Names in a directory; see Naming rules in Redis's aof.c.
const (
	defaultDirName  = "appendonlydir"
	defaultFileName = "appendonly.aof"
	manifestSuffix  = ".manifest"
	tempPrefix      = "temp-"
)

// fill returns the options with defaults in place of zero values.
func (o Options) fill() Options {
	if o.Dir == "" {
		o.Dir = "."
	}
	if o.DirName == "" {
		o.DirName = defaultDirName
	}
	if o.FileName == "" {
		o.FileName = defaultFileName
	}
	if o.FS == nil {
		o.FS = OS{}
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	if o.Warnf == nil {
		o.Warnf = o.Logf
	}
	return o
}

// path is the path of a file inside the append-only directory.
func (o Options) path(name string) string { return filepath.Join(o.Dir, o.DirName, name) }

// dir is the path of the append-only directory.
func (o Options) dir() string { return filepath.Join(o.Dir, o.DirName) }

// oldPath is where Redis before 7.0 kept its single append-only file.
func (o Options) oldPath() string { return filepath.Join(o.Dir, o.FileName) }

func (o Options) manifestName() string { return o.FileName + manifestSuffix }

func (o Options) baseName(seq int64) string {
	if o.PlainBase {
		return fmt.Sprintf("%s.%d.base.aof", o.FileName, seq)
	}
	return fmt.Sprintf("%s.%d.base.rdb", o.FileName, seq)
}

func (o Options) incrName(seq int64) string {
	return fmt.Sprintf("%s.%d.incr.aof", o.FileName, seq)
}

// tempIncrName takes the changes made while the first base is being written.
func (o Options) tempIncrName() string { return tempPrefix + o.FileName + ".incr" }

// tempBases counts the temporary bases of this process: an abandoned rewrite may
// still be writing its own when the next begins.
var tempBases atomic.Int64

// tempBasePath is where a rewrite writes; beside the directory, as in Redis.
func (o Options) tempBasePath() string {
	return filepath.Join(o.Dir, fmt.Sprintf("temp-rewriteaof-bg-%d-%d.aof", os.Getpid(), tempBases.Add(1)))
}

// BaseWriter writes a whole base file: an RDB, or commands where
// Options.PlainBase is set. w is buffered; what it holds is synced and put in
// place only if the function returns nil.
type BaseWriter func(w io.Writer) error

// Strerror is the text of a system error as C's strerror has it, which is what
// Redis puts into logs and replies: "No space left on device" where Go says
// "write /data/x: no space left on device".
func Strerror(err error) string {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err.Error()
	}
	s := errno.Error()
	return strings.ToUpper(s[:1]) + s[1:]
}
