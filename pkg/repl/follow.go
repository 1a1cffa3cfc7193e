package repl

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"byor/pkg/resp"
)

// Unit is what a replica applies as one: a command, or the commands of a transaction.
type Unit struct {
	// Commands are to be executed without letting anybody look in between. It is empty for what
	// only keeps the link alive. The arguments are valid until Apply returns.
	Commands [][][]byte
	// Name is the last command's, in lower case: "exec" of a transaction, "ping" or "replconf" where
	// there are no Commands.
	Name string
	// Raw are the bytes as the master sent them, MULTI and EXEC included: what a replica feeds to
	// its own replicas. They are valid until Apply returns.
	Raw []byte
	// Offset is the position in the master's stream after the unit.
	Offset int64
}

// FollowOptions say whom to follow and what to do with what comes. Addr (or Dial), Load and Apply
// are required.
type FollowOptions struct {
	Addr string                                      // host:port of the master
	Dial func(ctx context.Context) (net.Conn, error) // instead of Addr

	ListenPort int    // what the master shall show as our port; 0 says nothing
	AnnounceIP string // and as our address
	User       string // masteruser
	Password   string // masterauth

	// ReplID and Offset are what the caller has already, from an earlier Position. "" asks for
	// everything.
	ReplID string
	Offset int64

	HandOver *HandOver // nil: nothing is handed over

	NeedSize bool          // ask for snapshots of known size, never for $EOF
	Timeout  time.Duration // repl-timeout; 0 is 60 s
	MaxDelay time.Duration // between attempts to connect: it starts at 100 ms and doubles up to this; 0 is 5 s

	// Load replaces the data by the snapshot in r, which ends where the snapshot does. size is in
	// bytes, -1 if the master did not say. The data are those of history id at offset. The old data
	// should stay until the snapshot is whole: Load gets an error from r if the link breaks.
	Load func(r io.Reader, size int64, id string, offset int64) error
	// Apply executes a unit of the stream, and answers nothing. An error ends the link; one that a
	// command merely replies is for the caller to log, and nil.
	Apply func(u Unit) error
	// Continue, if not nil, is called when a partial resync succeeded. id is the history's name,
	// which may be a new one for the same stream.
	Continue func(id string) error

	Logf func(format string, args ...any)
}

// LinkState says how far the link to a master is, in the words of ROLE.
type LinkState string

// The states of a link.
const (
	Connect    LinkState = "connect" // waiting to try again
	Connecting LinkState = "connecting"
	Handshake  LinkState = "handshake"
	Syncing    LinkState = "sync" // a snapshot is coming
	Connected  LinkState = "connected"
)

// LinkStatus is what INFO tells of a link.
type LinkStatus struct {
	State    LinkState
	Remote   net.Addr // the master's end of the connection, nil where there is none
	Local    net.Addr
	LastIO   time.Time // when something came from the master; zero if never
	ReplID   string    // position, see Position
	Offset   int64
	Received int64 // offset including what came of a unit that is not whole yet
	Loaded   int64 // bytes of the snapshot that have come
	Size     int64 // of the snapshot, -1 where unknown
	Err      error // why the link broke last
	DownAt   time.Time
}

// Follower follows a master. Run does the work in one goroutine; the other methods are safe for
// concurrent use.
type Follower struct {
	o FollowOptions

	mu     sync.Mutex // protects what follows, and what Configure may change of o
	status LinkStatus
	conn   net.Conn
}

// Configure changes Timeout, also for a wait that has begun, or User, Password, ListenPort, AnnounceIP and
// HandOver, which the next attempt to connect uses. change must leave the other options alone.
func (f *Follower) Configure(change func(o *FollowOptions)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.o)
	if f.conn != nil {
		f.conn.SetReadDeadline(time.Now().Add(f.o.Timeout))
	}
}

// options returns the options of this moment.
func (f *Follower) options() FollowOptions {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.o
}

func (f *Follower) timeout() time.Duration { return f.options().Timeout }

// NewFollower returns a Follower that does nothing until Run is called.
func NewFollower(o FollowOptions) *Follower {
	o.Timeout = cmp.Or(o.Timeout, 60*time.Second)
	o.MaxDelay = cmp.Or(o.MaxDelay, 5*time.Second)
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	if o.Dial == nil {
		o.Dial = func(ctx context.Context) (net.Conn, error) {
			d := net.Dialer{Timeout: o.Timeout}
			return d.DialContext(ctx, "tcp", o.Addr)
		}
	}
	f := &Follower{o: o}
	f.status = LinkStatus{State: Connect, ReplID: o.ReplID, Offset: o.Offset, Received: o.Offset, Size: -1}
	return f
}

// Follow follows a master until ctx is done.
func Follow(ctx context.Context, o FollowOptions) error { return NewFollower(o).Run(ctx) }

// Status returns the state as it is now.
func (f *Follower) Status() LinkStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// Position returns which history the data are of, and how far it has been applied. ID is "" before the
// first snapshot was loaded.
func (f *Follower) Position() (id string, offset int64) {
	s := f.Status()
	return s.ReplID, s.Offset
}

// Drop closes the link, which is then built anew: a partial resync, if the master still can.
func (f *Follower) Drop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conn != nil {
		f.conn.Close()
		f.status.State = Connect
	}
}

func (f *Follower) update(fn func(s *LinkStatus)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn(&f.status)
}

// Run follows the master until ctx is done, and returns ctx's error. Whatever else goes wrong, it
// begins again after a while.
func (f *Follower) Run(ctx context.Context) error {
	const minDelay = 100 * time.Millisecond
	delay := minDelay
	for {
		synced, err := f.session(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if synced {
			delay = minDelay
		}
		f.update(func(s *LinkStatus) { s.State, s.Err, s.DownAt = Connect, err, time.Now() })
		f.o.Logf("Connection with master lost: %v; reconnecting in %v", err, delay)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(delay):
		}
		delay = min(2*delay, f.o.MaxDelay)
	}
}

// session is one connection from its beginning to its end.
func (f *Follower) session(ctx context.Context) (synced bool, err error) {
	f.update(func(s *LinkStatus) { s.State = Connecting })
	conn, err := f.o.Dial(ctx)
	if err != nil {
		return false, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	f.mu.Lock()
	f.conn, f.status.State = conn, Handshake
	f.status.Remote, f.status.Local = conn.RemoteAddr(), conn.LocalAddr()
	f.mu.Unlock()
	l := &link{f: f, conn: conn}
	l.r = resp.NewCommandReader(l)
	if err := l.handshake(); err != nil {
		return false, err
	}
	if err := l.sync(); err != nil {
		return false, err
	}
	f.update(func(s *LinkStatus) { s.State = Connected })
	return true, l.stream()
}

// link is a connection to the master. The same reader reads answers, snapshot and stream, since it
// reads ahead.
type link struct {
	f    *Follower
	conn net.Conn
	r    *resp.CommandReader
	// expected says that the master sends nothing behind its $EOF snapshot until it hears from us.
	expected bool

	wmu sync.Mutex // one Write at a time
}

// Read reads from the connection; a master that is silent for the timeout is gone.
func (l *link) Read(p []byte) (int, error) {
	l.conn.SetReadDeadline(time.Now().Add(l.f.timeout()))
	n, err := l.conn.Read(p)
	if n > 0 {
		l.f.update(func(s *LinkStatus) { s.LastIO = time.Now() })
	}
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		err = ErrTimeout
	}
	return n, err
}

func (l *link) write(b []byte) error {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	l.conn.SetWriteDeadline(time.Now().Add(l.f.timeout()))
	_, err := l.conn.Write(b)
	return err
}

// ask sends a command and returns the line that answers it. Empty lines are keep-alives.
func (l *link) ask(args ...string) (string, error) {
	if err := l.write(resp.AppendCommandStrings(nil, args...)); err != nil {
		return "", err
	}
	return l.answer()
}

func (l *link) answer() (string, error) {
	for {
		line, err := l.r.ReadLine()
		if err != nil || len(line) > 0 {
			return string(line), err
		}
	}
}

// handshake introduces us. Each answer is read before the next question, as a master wants it before
// PSYNC; only a wrong password is a reason to give up.
func (l *link) handshake() error {
	o := l.f.options()
	answer, err := l.ask("PING")
	if err != nil {
		return err
	}
	if !strings.HasPrefix(answer, "+") && !strings.HasPrefix(answer, "-NOAUTH") && !strings.HasPrefix(answer, "-NOPERM") &&
		!strings.HasPrefix(answer, "-ERR operation not permitted") {
		return fmt.Errorf("repl: the master answers PING with %q", answer)
	}
	if o.Password != "" {
		args := []string{"AUTH", o.User, o.Password}
		if o.User == "" {
			args = []string{"AUTH", o.Password}
		}
		if answer, err := l.ask(args...); err != nil || !strings.HasPrefix(answer, "+") {
			return cmp.Or(err, fmt.Errorf("repl: the master answers AUTH with %q", answer))
		}
	}
	questions := [][]string{{"REPLCONF", "capa", "eof", "capa", "psync2"}}
	if o.NeedSize {
		questions[0] = []string{"REPLCONF", "capa", "psync2"}
	}
	if o.AnnounceIP != "" {
		questions = append([][]string{{"REPLCONF", "ip-address", o.AnnounceIP}}, questions...)
	}
	if o.ListenPort != 0 {
		questions = append([][]string{{"REPLCONF", "listening-port", strconv.Itoa(o.ListenPort)}}, questions...)
	}
	for _, q := range questions {
		answer, err := l.ask(q...)
		if err != nil {
			return err
		}
		if strings.HasPrefix(answer, "-") {
			o.Logf("(non critical) master does not understand %s: %s", strings.Join(q, " "), answer)
		}
	}
	return nil
}

// sync asks for what we lack and returns when the data are those of our position.
func (l *link) sync() error {
	id, offset := l.f.Position()
	answer, err := l.psync(id, offset)
	if err != nil {
		return err
	}
	words := strings.Fields(answer)
	switch {
	case len(words) == 0:
	case words[0] == "+FULLRESYNC" && len(words) == 3 && len(words[1]) == len(noID):
		offset, ok := resp.ParseInt([]byte(words[2]))
		if !ok || offset < 0 {
			break
		}
		return l.fullSync(words[1], offset)
	case words[0] == "+CONTINUE" && id != "":
		if len(words) > 1 && len(words[1]) == len(noID) {
			id = words[1]
		}
		l.f.update(func(s *LinkStatus) { s.ReplID, s.Received = id, s.Offset })
		l.f.o.Logf("Successful partial resynchronization with master.")
		if l.f.o.Continue != nil {
			return l.f.o.Continue(id)
		}
		return nil
	}
	return fmt.Errorf("repl: the master answers PSYNC with %q", answer)
}

// stream applies what the master sends until the link breaks.
func (l *link) stream() error {
	if l.expected {
		if err := l.ack(); err != nil {
			return err
		}
	}
	stop := make(chan struct{})
	defer close(stop)
	go l.ackEverySecond(stop)
	// The bytes that the handshake's reader has read ahead, then those of the connection.
	ahead := make([]byte, l.r.Buffered())
	if len(ahead) > 0 {
		if _, err := io.ReadFull(l.r, ahead); err != nil {
			return err
		}
	}
	rec := &recorder{src: io.MultiReader(bytes.NewReader(ahead), l.r)}
	r := resp.NewCommandReader(rec)
	var tx *Unit // a transaction that is not whole yet
	for {
		before := r.Consumed()
		args, err := r.ReadCommand()
		if err != nil {
			return err
		}
		// Line ends between commands are keep-alives that nobody counts. Anything else that is
		// not an array is not from a master.
		raw := bytes.TrimLeft(rec.take(r.Consumed()-before), "\r\n")
		if len(raw) == 0 || raw[0] != '*' {
			l.f.update(func(s *LinkStatus) { s.ReplID = "" })
			return fmt.Errorf("repl: inline command %q in the stream", raw)
		}
		if tx, err = l.apply(tx, args, raw); err != nil {
			return err
		}
	}
}

// apply takes one command of the stream. tx is the open transaction, if there is one.
func (l *link) apply(tx *Unit, args [][]byte, raw []byte) (*Unit, error) {
	name := strings.ToLower(string(args[0]))
	_, applied := l.f.Position()
	l.f.update(func(s *LinkStatus) { s.Received += int64(len(raw)) })
	u := Unit{Raw: raw, Name: name}
	switch {
	case name == "replconf":
		// GETACK asks for the offset before itself.
		if len(args) > 1 && strings.EqualFold(string(args[1]), "getack") {
			if err := l.ack(); err != nil {
				return nil, err
			}
		}
	case name == "multi" && tx == nil:
		return &Unit{Raw: bytes.Clone(raw)}, nil
	case tx != nil:
		tx.Raw = append(tx.Raw, raw...)
		if name != "exec" {
			tx.Commands = append(tx.Commands, cloneArgs(args))
			return tx, nil
		}
		u, u.Name = *tx, name
	case name != "ping":
		u.Commands = [][][]byte{args}
	}
	if name == "replconf" && tx != nil {
		tx.Raw = append(tx.Raw, raw...)
		return tx, nil
	}
	u.Offset = applied + int64(len(u.Raw))
	if err := l.f.o.Apply(u); err != nil {
		return nil, fmt.Errorf("repl: applying the stream: %w", err)
	}
	l.f.update(func(s *LinkStatus) { s.Offset = u.Offset })
	return nil, nil
}

func cloneArgs(args [][]byte) [][]byte {
	c := make([][]byte, len(args))
	for i, a := range args {
		c[i] = bytes.Clone(a)
	}
	return c
}

func (l *link) ack() error {
	_, offset := l.f.Position()
	return l.write(resp.AppendCommandStrings(nil, "REPLCONF", "ACK", strconv.FormatInt(offset, 10)))
}

// ackEverySecond tells the master how far we are, so that it knows that we live.
func (l *link) ackEverySecond(stop chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			if l.ack() != nil {
				l.conn.Close() // the reader finds out, too
				return
			}
		}
	}
}
