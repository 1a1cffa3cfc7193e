package step08

import (
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/resp"
)

// fakeMaster is a master played by the checker, so that it can see every byte a replica sends and
// choose every byte it gets.
type fakeMaster struct {
	t    *check.T
	ln   net.Listener
	Addr string
	slow bool // every byte in a segment of its own
	old  bool // knows no REPLCONF
	wary bool // looks for a PSYNC that comes before the answers to all else

	missing  int // so many bytes at the end of the snapshot are kept back
	accepted int // links so far
}

// emptyRDB is the smallest snapshot: no keys, no checksum.
const emptyRDB = "REDIS0009\xff\x00\x00\x00\x00\x00\x00\x00\x00"

// fakeID is the replication id of a fakeMaster.
const fakeID = "0123456789abcdef0123456789abcdef01234567"

// rdbWith returns a snapshot that holds one key.
func rdbWith(key, value string) string {
	return "REDIS0009\xfe\x00\x00" + string(rune(len(key))) + key + string(rune(len(value))) + value + "\xff\x00\x00\x00\x00\x00\x00\x00\x00"
}

func newFakeMaster(t *check.T) *fakeMaster {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skip(err.Error())
	}
	context := t.Context()
	go func() { // the listener ends with the check
		<-context.Done()
		ln.Close()
	}()
	return &fakeMaster{t: t, ln: ln, Addr: ln.Addr().String()}
}

// link is a replica's connection to a fakeMaster.
type link struct {
	t   *check.T
	c   net.Conn
	cmd *resp.CommandReader
	cut int        // bytes of a segment; 0 is all in one
	all [][]string // commands of the handshake

	early [][]string // of these, what came before it was asked for
}

// accept waits for the replica, answers its handshake and sends rdb with the stream's first bytes
// in one segment right behind it.
func (m *fakeMaster) accept(offset int, rdb, stream string) *link {
	m.ln.(*net.TCPListener).SetDeadline(m.t.Deadline(2 * m.t.Limit))
	c, err := m.ln.Accept()
	if err != nil {
		hint := "nobody connects: a server that is started with -replicaof host:port (with CMD=: $REPLICAOF) connects to it by itself"
		if m.accepted > 0 {
			hint = "the link was cut, and nobody came again: the link's reader must see its end; then wait a moment and begin with PING"
		}
		m.t.FailWith(check.Failure{Want: "the replica connects to its master", Got: check.PlainErr(err), Hint: hint})
	}
	m.accepted++
	l := &link{t: m.t, c: c, cmd: resp.NewCommandReader(c)}
	if m.slow {
		l.cut = 1
	}
	m.t.OnEnd(func() { c.Close() })
	for {
		args, err := l.question()
		if err != nil {
			f := check.Failure{Want: "a handshake: PING, REPLCONF listening-port, REPLCONF capa, PSYNC ? -1",
				Got: fmt.Sprintf("%q, then %s", l.all, check.PlainErr(err))}
			if len(l.all) == 0 {
				f.Hint = "the server connects, and does not say a word: write the handshake first"
				f.Guide = "Build it"
			}
			m.t.FailWith(f)
		}
		l.all = append(l.all, args)
		if m.wary {
			l.patient()
		}
		switch strings.ToUpper(args[0]) {
		case "PING":
			l.send("+PONG\r\n")
		case "REPLCONF":
			if m.old {
				l.send("-ERR unknown command 'REPLCONF'\r\n")
			} else {
				l.send("+OK\r\n")
			}
		case "PSYNC":
			l.send(fmt.Sprintf("\n+FULLRESYNC %s %d\r\n\n$%d\r\n%s%s", fakeID, offset, len(rdb), rdb[:len(rdb)-m.missing], stream))
			return l
		default:
			m.t.Fail("a handshake: PING, REPLCONF …, PSYNC", fmt.Sprintf("%q", l.all))
		}
	}
}

func (l *link) send(s string) {
	l.t.Log("to the replica", true, []byte(s))
	l.c.SetWriteDeadline(l.t.Deadline(l.t.Limit))
	for len(s) > 0 {
		n := len(s)
		if l.cut > 0 {
			n = min(n, l.cut)
			time.Sleep(200 * time.Microsecond) // lets the segment leave alone
		}
		if _, err := io.WriteString(l.c, s[:n]); err != nil {
			l.t.Fail("the replica keeps its connection to the master", check.PlainErr(err))
		}
		s = s[n:]
	}
}

// question returns the next command of the handshake.
func (l *link) question() ([]string, error) {
	if len(l.early) > 0 {
		args := l.early[0]
		l.early = l.early[1:]
		return args, nil
	}
	return l.read(l.t.Limit)
}

// patient fails if PSYNC comes before all else has been answered. Several REPLCONFs may come at once.
func (l *link) patient() {
	if last := l.all[len(l.all)-1]; strings.EqualFold(last[0], "PSYNC") {
		return
	}
	for {
		more, err := l.read(50 * time.Millisecond)
		if err != nil {
			return
		}
		l.early = append(l.early, more)
		if strings.EqualFold(more[0], "PSYNC") {
			l.t.Fail("no PSYNC before the answer to "+l.all[len(l.all)-1][0], fmt.Sprintf("%q", append(l.all, l.early...)))
		}
	}
}

// read returns the next command that the replica sends.
func (l *link) read(d time.Duration) ([]string, error) {
	l.c.SetReadDeadline(l.t.Deadline(d))
	args, err := l.cmd.ReadCommand()
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = string(a)
	}
	return words, err
}

// ack asks for the replica's offset and returns it. Acknowledgements sent unasked may come before.
func (l *link) ack(want string) string {
	last := "nothing"
	by := time.Now().Add(l.t.Limit)
	for time.Now().Before(by) {
		got, err := l.nextAck()
		if err != nil {
			return last + ", then " + check.PlainErr(err)
		}
		if last = got; last == want {
			return last
		}
	}
	return last
}

// nextAck returns the offset of the next acknowledgement. Nothing else may come.
func (l *link) nextAck() (string, error) {
	args, err := l.read(l.t.Limit)
	if err != nil {
		return "", err
	}
	if len(args) != 3 || !strings.EqualFold(args[0], "REPLCONF") || !strings.EqualFold(args[1], "ACK") {
		l.t.Fail("a replica sends its master nothing but REPLCONF ACK", fmt.Sprintf("%q", args))
	}
	return args[2], nil
}
