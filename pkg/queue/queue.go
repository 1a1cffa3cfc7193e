// Package queue is work queues on Redis streams: a message goes to one worker, is worked on, and is
// acknowledged. What is not acknowledged goes to another worker, and after some tries to a queue for the dead.
//
// All state is in the data, and all of it is written with ordinary commands:
//
//	queue:NAME       the stream of the queue NAME; an entry is a message, its field "data" the text
//	workers          the consumer group of it; what is pending there is being worked on
//	queue:NAME.dead  the queue of the messages of NAME that have been tried too often
//
// So a queue is in the log and on replicas, redis-cli sees it (XRANGE, XPENDING, XINFO), and any client that can
// XADD and XREADGROUP may take part. The package needs nothing of the server but sessions to speak to; it works
// on a real Redis as well. Everything is in database 0.
//
// A message is given at least once. Three things make it come again: its worker leaves, its worker takes longer
// than the time-out, or the server dies before it has heard of the acknowledgement. An acknowledged message is
// deleted from the stream, in the same transaction.
package queue

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"byor/pkg/resp"
)

const (
	keyPrefix  = "queue:"
	deadSuffix = ".dead"
	group      = "workers"
	field      = "data"

	maxName  = 128  // bytes
	maxRooms = 1024 // queues that are consumed at a time
	// MaxPrefetch bounds what a consumer may hold.
	MaxPrefetch = 10_000
	// MaxAck is how many entries Ack takes at a time.
	MaxAck = 1000
	// MaxTimeout is the longest time for which a message may be hidden.
	MaxTimeout = 24 * time.Hour
)

// Errors of the caller's making. Errors of the engine come as a resp.ReplyError.
var (
	ErrName    = fmt.Errorf("a queue's name is 1 to %d letters, digits and . _ : -", maxName)
	ErrEntry   = errors.New("an entry's ID is two numbers, as in 1701-0")
	ErrTooMany = fmt.Errorf("at most %d entries may be acknowledged at a time", MaxAck)
	ErrRooms   = fmt.Errorf("%d queues are being consumed already", maxRooms)
	ErrPolicy  = errors.New("the queue's consumers have the other policy now")
	ErrClosed  = errors.New("the server is about to end")
)

// Options say how queues behave.
type Options struct {
	// Dial opens a session that may run all commands of streams and transactions, in database 0.
	Dial func() (*Link, error)
	// Timeout is how long a message may take before it goes to another worker: the visible time-out. At most
	// MaxTimeout.
	Timeout time.Duration
	// Tries is how often a message is given before it is dead; 0 for any number.
	Tries int
	// Logf is told what goes wrong where nobody asks; nil: nobody.
	Logf func(format string, args ...any)
}

// A Job is a message that somebody has been given.
type Job struct {
	Queue string
	Entry string      // the ID of the stream's entry
	Data  []byte      // the field "data", nil if there is none
	Rest  [][2][]byte // the other fields, in order
	Tries int         // how often it has been given, with this time; 0 for one that was only looked at
}

// size is what a job counts for, in bytes.
func (j *Job) size() int {
	n := len(j.Data) + 64
	for _, f := range j.Rest {
		n += len(f[0]) + len(f[1])
	}
	return n
}

// Stats count since the start. They are safe for concurrent use.
type Stats struct {
	Given, Again, Acked, Dead atomic.Int64 // Again are those of Given that were given before
}

// Queues are all queues of a server. Safe for concurrent use.
type Queues struct {
	o     Options
	pool  pool
	run   string // tells this process's consumers from those of an earlier one
	Stats Stats

	mu     sync.Mutex // held over nothing that waits
	rooms  map[string]*room
	known  map[string]bool      // queues whose group is there
	names  int64                // of consumers so far
	said   map[string]time.Time // what was logged lately
	closed bool
}

// New returns queues. It does nothing until it is asked to.
func New(o Options) *Queues {
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	o.Timeout = min(max(o.Timeout, time.Millisecond), MaxTimeout)
	q := &Queues{o: o, rooms: map[string]*room{}, known: map[string]bool{}, said: map[string]time.Time{},
		run: strconv.FormatInt(time.Now().UnixNano(), 36)}
	q.pool.init(o.Dial)
	return q
}

// Close lets all consumers go and ends the sessions. It waits until what they held has been given back. Queues can
// be used again after Reopen.
func (q *Queues) Close() {
	q.mu.Lock()
	q.closed = true
	rooms := slices.Collect(maps.Values(q.rooms))
	q.mu.Unlock()
	for _, r := range rooms {
		r.dismiss()
	}
	for _, r := range rooms {
		<-r.over
	}
	q.pool.close()
}

// Reopen takes a Close back.
func (q *Queues) Reopen() {
	q.mu.Lock()
	q.closed = false
	q.mu.Unlock()
	q.pool.reopen()
}

// CheckName returns nil or ErrName.
func CheckName(name string) error {
	ok := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._:-", c)
	}
	if name == "" || len(name) > maxName || strings.Trim(name, ".") == "" {
		return ErrName
	}
	for _, c := range name {
		if !ok(c) {
			return ErrName
		}
	}
	return nil
}

// CheckEntry returns nil or ErrEntry.
func CheckEntry(id string) error {
	ms, seq, ok := strings.Cut(id, "-")
	for _, s := range []string{ms, seq} {
		n, err := strconv.ParseUint(s, 10, 64)
		if !ok || err != nil || strconv.FormatUint(n, 10) != s {
			return ErrEntry
		}
	}
	return nil
}

// Key returns the key of the queue's stream.
func Key(name string) string { return keyPrefix + name }

// AddCommand is the command that puts a message into a queue. Its reply is the entry's ID. Any session may send it.
func AddCommand(name string, data []byte) []string {
	return []string{"XADD", Key(name), "*", field, string(data)}
}

// noGroup is the name of a group that nobody has.
const noGroup = "nobody's"

// Rights are commands that change nothing. Whether a session may run one says whether its user may do something with
// a queue. A user needs the command and the key: XREADGROUP to take messages, XACK to acknowledge them, XRANGE to look.
var (
	MayTake = func(name string) []string {
		return []string{"XREADGROUP", "GROUP", noGroup, noGroup, "COUNT", "1", "STREAMS", Key(name), ">"}
	}
	MayAck  = func(name string) []string { return []string{"XACK", Key(name), noGroup, "0-0"} }
	MayLook = func(name string) []string { return []string{"XRANGE", Key(name), "+", "-", "COUNT", "1"} }
)

// Refused returns the error in the reply to one of those commands, nil if the user may.
func Refused(v resp.Value) error {
	if err := v.Err(); err != nil && !isNoGroup(err) {
		return err
	}
	return nil
}

func isNoGroup(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "NOGROUP ") }

// isReply reports whether err is the engine's answer: then the session lives.
func isReply(err error) bool {
	var reply resp.ReplyError
	return errors.As(err, &reply)
}

// complain logs what goes wrong with a queue, the same thing at most once a minute.
func (q *Queues) complain(name string, err error) {
	text := "queue " + name + ": " + err.Error()
	q.mu.Lock()
	again := time.Since(q.said[text]) < time.Minute
	if !again {
		if len(q.said) > 100 {
			clear(q.said)
		}
		q.said[text] = time.Now()
	}
	q.mu.Unlock()
	if !again {
		q.o.Logf("%s", text)
	}
}
