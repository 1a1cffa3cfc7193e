package repl

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"byor/pkg/resp"
)

// MasterOptions say how a master treats its replicas. The zero value has Redis's defaults.
type MasterOptions struct {
	Backlog   int64         // repl-backlog-size in bytes; 0 is 1 MB
	MaxBehind int64         // what a replica may be behind, in bytes; 0 is 256 MB; never less than Backlog
	PingEvery time.Duration // repl-ping-replica-period; 0 is 10 s
	Timeout   time.Duration // repl-timeout: a replica that says nothing for so long is gone; 0 is 60 s
	Diskless  bool          // stream snapshots to replicas that can take them ($EOF) instead of by a file
	TempDir   string        // where that file is made; "" is the system's
	Logf      func(format string, args ...any)
	OnMembers func() // called without any lock after a replica went online or away
}

// Master is the sending end: a history and those who follow it. It is safe for concurrent use; its
// lock is an inner one, so that it may be called under the lock of the engine.
type Master struct {
	mu       sync.Mutex // protects what follows, and the fields of Replicas that say so
	o        MasterOptions
	h        *History
	replicas map[*Replica]bool // those that get the stream or will get it
	lastPing time.Time
	seq      int
}

// ReplicaState says how far a replica is, in Redis's words.
type ReplicaState string

// The states of a replica.
const (
	Handshaking ReplicaState = ""
	WaitBgsave  ReplicaState = "wait_bgsave" // it waits for its snapshot, or gets it while it is made
	SendBulk    ReplicaState = "send_bulk"   // the file with the snapshot is on its way
	Online      ReplicaState = "online"      // it gets the stream
)

// Replica is a connection that says it is a replica, from its first REPLCONF on. Conf is called by
// the goroutine that reads from the connection, Run by one that writes to it and by nobody else.
type Replica struct {
	m    *Master
	conn net.Conn
	seq  int

	// What REPLCONF told, see Conf.
	port    int
	ip      string
	eof     bool
	psync2  bool
	rdbOnly bool
	filter  Filter

	// Protected by m.mu.
	state   ReplicaState
	at      cursor // what is to be sent next; valid from PSync on
	acked   int64
	heardAt time.Time
	err     error         // why it was ended by us
	wake    chan struct{} // 1 deep: there may be something to do

	header string // the first line of the answer
	full   bool
}

// ReplicaInfo is a replica as INFO shows it.
type ReplicaInfo struct {
	IP    string
	Port  int
	State ReplicaState
	Acked int64         // the offset it has acknowledged
	Lag   time.Duration // since it was last heard of
}

// Errors that end a replica.
var (
	ErrBehind  = errors.New("repl: the replica is too far behind")
	ErrTimeout = errors.New("repl: nothing heard from the other side for too long")
	errEnded   = errors.New("repl: ended")
)

// NewMaster returns a master with a new history and no replicas.
func NewMaster(o MasterOptions) *Master {
	return &Master{o: o.withDefaults(), h: NewHistory(), replicas: map[*Replica]bool{}}
}

func (o MasterOptions) withDefaults() MasterOptions {
	o.Backlog = cmp.Or(o.Backlog, 1<<20)
	o.MaxBehind = max(cmp.Or(o.MaxBehind, 256<<20), o.Backlog)
	o.PingEvery = cmp.Or(o.PingEvery, 10*time.Second)
	o.Timeout = cmp.Or(o.Timeout, 60*time.Second)
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	return o
}

// Configure changes options, for the replicas that are there, too. A backlog that is kept already gets
// its new size.
func (m *Master) Configure(change func(o *MasterOptions)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.o)
	m.o = m.o.withDefaults()
	if m.h.size > 0 && m.h.size != m.o.Backlog {
		m.h.Keep(m.o.Backlog)
	}
}

// options returns the options of this moment.
func (m *Master) options() MasterOptions {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.o
}

func (m *Master) membersMoved() {
	if moved := m.options().OnMembers; moved != nil {
		moved()
	}
}

// History calls fn with the history, for what Master has no method for. fn must not keep it.
func (m *Master) History(fn func(h *History)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fn(m.h)
}

// Offset returns how many bytes the stream has.
func (m *Master) Offset() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.h.offset
}

// Feed adds whole commands to the stream. It copies them and never waits: call it under the lock
// under which they were executed, so that the stream has the order of execution. A replica that is
// too far behind is ended.
func (m *Master) Feed(b []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.h.Append(b)
	for r := range m.replicas {
		if r.at.b != nil && m.h.offset-r.at.offset() > m.o.MaxBehind {
			m.end(r, ErrBehind)
		}
		r.signal()
	}
}

func (r *Replica) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// end makes the replica's Run return err. The caller holds m.mu.
func (m *Master) end(r *Replica, err error) {
	delete(m.replicas, r)
	if r.err == nil {
		r.err = err
		r.conn.Close() // a Write may be waiting
		r.signal()
	}
}

// End makes Run return and closes the connection. Call it when reading from the connection has failed:
// Run only writes, and might find out late.
func (r *Replica) End() {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	r.m.end(r, errEnded)
}

// EndAll ends all replicas, as a server must when its data are replaced and the stream does not say so.
func (m *Master) EndAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for r := range m.replicas {
		m.end(r, errEnded)
	}
}

// NewReplica returns the state of a connection on which a REPLCONF or PSYNC has come.
func (m *Master) NewReplica(conn net.Conn) *Replica {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seq++
	return &Replica{m: m, conn: conn, seq: m.seq, heardAt: time.Now(), wake: make(chan struct{}, 1)}
}

// Conf takes the arguments of REPLCONF. If reply is true the answer is +OK, or err with the text of
// Redis; else there is none.
func (r *Replica) Conf(args [][]byte) (reply bool, err error) {
	if len(args)%2 == 1 {
		return true, errors.New("ERR syntax error")
	}
	for ; len(args) > 0; args = args[2:] {
		value := string(args[1])
		n, isInt := resp.ParseInt(args[1])
		switch name := strings.ToLower(string(args[0])); name {
		case "listening-port":
			if !isInt {
				return true, errNotInt
			}
			r.port = int(n)
		case "ip-address":
			r.ip = value
		case "capa":
			r.eof = r.eof || strings.EqualFold(value, "eof")
			r.psync2 = r.psync2 || strings.EqualFold(value, "psync2")
		case "ack":
			r.ack(n, isInt)
			return false, nil
		case "getack":
			return false, nil // a master's question, which we do not have to answer to a client
		case "rdb-only":
			if !isInt {
				return true, errNotInt
			}
			r.rdbOnly = n == 1
		case "rdb-filter-only":
			if r.filter, err = parseFilter(value); err != nil {
				return true, err
			}
		default:
			return true, fmt.Errorf("ERR Unrecognized REPLCONF option: %s", args[0])
		}
	}
	return true, nil
}

func (r *Replica) ack(n int64, ok bool) {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	r.heardAt = time.Now()
	if ok {
		r.acked = max(r.acked, n)
	}
	if r.state != Online {
		r.signal() // Run may wait for it, see streamSnapshot
	}
}

// Heard notes that the replica is alive. Call it for anything that comes from it.
func (r *Replica) Heard() {
	r.m.mu.Lock()
	r.heardAt = time.Now()
	r.m.mu.Unlock()
}

// PSync decides about PSYNC id offset, both as the replica sent them, and puts the replica into the
// list of those who get the stream. It returns true if a snapshot is needed: call it under the lock of the
// engine and take the snapshot before that is released, or changes in between are lost. Then call
// Run. If a snapshot is needed, the next bytes fed must begin with a SELECT, since the replica does
// not know which database is meant.
//
// For the old SYNC, which states nothing, use id "" and offset -1.
func (m *Master) PSync(r *Replica, id string, offset int64) (snapshot bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := m.h.CanContinue(id, offset) // never so before there was a backlog
	if m.h.size == 0 {
		m.h.Keep(m.o.Backlog)
	}
	if !m.anyPlaced() {
		m.lastPing = time.Now() // the first ping is due a period from now
	}
	m.replicas[r] = true
	r.heardAt = time.Now()
	if kept {
		r.header = "+CONTINUE\r\n"
		if r.psync2 {
			r.header = "+CONTINUE " + m.h.id + "\r\n"
		}
		r.at, r.state = m.h.cursor(offset-1), Online
		m.o.Logf("Partial resynchronization request from %s accepted. Sending %d bytes of backlog starting from offset %d.",
			r.addr(), m.h.offset-offset+1, offset)
		return false
	}
	r.full = true
	if id != "" {
		r.header = fullResync(m.h.id, m.h.offset)
	}
	if r.state != WaitBgsave {
		m.o.Logf("Full resync requested by replica %s", r.addr())
	}
	r.at, r.state = m.h.cursor(m.h.offset), WaitBgsave
	return true
}

// anyPlaced reports whether any replica gets the stream, or will from a place that is known. The caller holds
// m.mu.
func (m *Master) anyPlaced() bool {
	for r := range m.replicas {
		if r.at.b != nil {
			return true
		}
	}
	return false
}

// Expect puts the replica into the list while it waits for a snapshot to begin, before PSync or Join. It counts as
// one that is connected from then on, and is ended as the others are.
func (m *Master) Expect(r *Replica) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.err == nil {
		m.replicas[r], r.state = true, WaitBgsave
		m.o.Logf("Full resync requested by replica %s", r.addr())
	}
}

// Join answers PSYNC, or the old SYNC, by the snapshot that another replica waits for: r gets the same one, and
// the stream from the same place on. It reports false if the other is gone or has got its snapshot.
func (m *Master) Join(r, other *Replica, old bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if other.err != nil || other.state != WaitBgsave || other.at.b == nil {
		return false
	}
	m.replicas[r] = true
	r.heardAt = time.Now()
	r.full, r.at, r.state = true, other.at, WaitBgsave
	if !old {
		r.header = fullResync(m.h.id, r.at.offset())
	}
	m.o.Logf("Full resync requested by replica %s", r.addr())
	return true
}

func fullResync(id string, offset int64) string {
	return fmt.Sprintf("+FULLRESYNC %s %d\r\n", id, offset)
}

func (r *Replica) addr() string {
	if r.port == 0 {
		return r.conn.RemoteAddr().String()
	}
	host, _, _ := net.SplitHostPort(r.conn.RemoteAddr().String())
	return net.JoinHostPort(cmp.Or(r.ip, host), strconv.Itoa(r.port))
}

// Streams reports whether a snapshot for the replica goes straight to its connection, and not by a file.
func (r *Replica) Streams() bool { return r.eof && (r.filter != Filter{} || r.m.options().Diskless) }

// Tick does what time demands: a ping to the replicas, and an end for those that are silent. Call it
// once a second, under the lock of the engine since it may feed. ping is false on a server that is a
// replica itself and only hands on its master's stream.
func (m *Master) Tick(ping bool) {
	now := time.Now()
	m.mu.Lock()
	n := 0
	for r := range m.replicas {
		if r.state == Online && now.Sub(r.heardAt) > m.o.Timeout {
			m.o.Logf("Disconnecting timedout replica (streaming sync): %s", r.addr())
			m.end(r, ErrTimeout)
		} else if r.at.b != nil {
			n++
		}
	}
	due := ping && n > 0 && now.Sub(m.lastPing) >= m.o.PingEvery
	if due {
		m.lastPing = now
	}
	m.mu.Unlock()
	if due {
		m.Feed([]byte("*1\r\n$4\r\nping\r\n"))
	}
}

// AskAcks asks all replicas to say at once how far they are, as WAIT does.
func (m *Master) AskAcks() {
	m.Feed([]byte("*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n"))
}

// Acked returns how many replicas have acknowledged offset.
func (m *Master) Acked(offset int64) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for r := range m.replicas {
		if r.state == Online && r.acked >= offset {
			n++
		}
	}
	return n
}

// Good returns how many replicas are online and were heard of within maxLag (min-replicas-max-lag).
func (m *Master) Good(maxLag time.Duration) int {
	n := 0
	for _, r := range m.Replicas() {
		if r.State == Online && r.Lag <= maxLag {
			n++
		}
	}
	return n
}

// Replicas returns the replicas, in the order in which they came.
func (m *Master) Replicas() []ReplicaInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []*Replica
	for r := range m.replicas {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b *Replica) int { return a.seq - b.seq })
	infos := make([]ReplicaInfo, 0, len(list))
	for _, r := range list {
		host, _, _ := net.SplitHostPort(r.conn.RemoteAddr().String())
		var lag time.Duration // of one that has the data
		if r.state == Online {
			lag = time.Since(r.heardAt)
		}
		infos = append(infos, ReplicaInfo{cmp.Or(r.ip, host), r.port, r.state, max(r.acked, 0), lag})
	}
	return infos
}
