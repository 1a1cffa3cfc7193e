// Package migrate is the sending end of MIGRATE: it hands keys to another server, by RESTORE, and says which of
// them have arrived. It keeps connections for the next time, since keys are mostly moved by the thousand. It
// knows nothing of the keys but their payloads: what DUMP makes of them, and what becomes of them here, is
// pkg/server's business.
//
// A key that Send reports as taken was acknowledged by the other server. One that it does not report may have
// arrived all the same, when the connection broke before the answer came: then it is on both, which is better
// than on none.
package migrate

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"byor/pkg/resp"
)

// Key is a key on its way.
type Key struct {
	Name    []byte
	TTLMs   int64  // milliseconds that it has left; 0: it does not expire
	Payload []byte // of DUMP
}

// Request says what is to be sent, and to whom.
type Request struct {
	Host, Port string
	Timeout    time.Duration // for each step: to connect, to write a piece, to read an answer
	Auth       [][]byte      // password, or user and password; empty: nobody logs in
	DB         int64
	Replace    bool // what the other server has under the same name
	Keys       []Key

	// Dial connects, within timeout; nil means a TCP socket. It must not wait for who calls Send.
	Dial func(network, addr string, timeout time.Duration) (net.Conn, error)
}

// The errors of a broken or slow connection; the texts are Redis's. A server that is not there is found out when
// something is written to it.
var (
	ErrConnecting = errors.New("IOERR error or timeout connecting to the client")
	ErrWriting    = errors.New("IOERR error or timeout writing to target instance")
	ErrReading    = errors.New("IOERR error or timeout reading to target instance")
)

// TargetError is the first error that the other server has answered.
type TargetError string

func (e TargetError) Error() string { return "ERR Target instance replied with error: " + string(e) }

// writePiece is how many bytes are written within one timeout.
const writePiece = 64 << 10

// Send sends the keys and waits for the answers. taken says of each key whether the other server has it
// now, whatever err is: nil, one of the errors above, or a TargetError.
//
// A connection that was kept may have been closed by the other side meanwhile. So what fails before the first
// answer about a key is tried a second time, over a new connection, unless it was too slow.
func (p *Pool) Send(r Request) (taken []bool, err error) {
	for try := range 2 {
		c, err := p.take(r)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return make([]bool, len(r.Keys)), ErrWriting
		} else if err != nil {
			return make([]bool, len(r.Keys)), ErrConnecting
		}
		taken, answers, err := c.send(r)
		p.put(c)
		if again := c.broken && !c.slow && answers == 0 && try == 0; !again {
			return taken, err
		}
	}
	panic("unreachable")
}

// conn is a connection to another server.
type conn struct {
	net.Conn
	addr   string
	rd     *bufio.Reader
	db     int64 // that is selected there; -1: nobody knows
	idle   time.Time
	broken bool // it is of no use any more
	slow   bool // because it was too slow
}

// send is Send over one connection. answers is how many of the answers about keys have come.
func (c *conn) send(r Request) (taken []bool, answers int, err error) {
	taken = make([]bool, len(r.Keys))
	selects := c.db != r.DB
	if c.write(r.encode(selects), r.Timeout) != nil {
		return taken, 0, ErrWriting
	}
	refused, err := c.prepared(r, selects)
	if err != nil {
		return taken, 0, ErrReading
	}
	unprepared := refused != ""
	for i := range r.Keys {
		answer, err := c.answer(r.Timeout)
		if err != nil && refused == "" {
			return taken, i, ErrReading
		} else if err != nil {
			return taken, i, TargetError(refused)
		}
		if answer[0] == '-' && refused == "" {
			refused = answer[1:]
		}
		taken[i] = answer[0] != '-' && !unprepared // else it is there in a wrong place
	}
	c.db = r.DB
	if refused != "" {
		c.db = -1
		return taken, len(r.Keys), TargetError(refused)
	}
	return taken, len(r.Keys), nil
}

// encode returns the commands, all in one piece.
func (r *Request) encode(selects bool) (b []byte) {
	if len(r.Auth) > 0 {
		b = resp.AppendCommand(b, append([][]byte{[]byte("AUTH")}, r.Auth...)...)
	}
	if selects {
		b = resp.AppendCommandStrings(b, "SELECT", strconv.FormatInt(r.DB, 10))
	}
	for _, k := range r.Keys {
		args := [][]byte{[]byte("RESTORE"), k.Name, strconv.AppendInt(nil, k.TTLMs, 10), k.Payload}
		if r.Replace {
			args = append(args, []byte("REPLACE"))
		}
		b = resp.AppendCommand(b, args...)
	}
	return b
}

// prepared reads the answers to what comes before the keys, and returns the error among them, if there is one.
func (c *conn) prepared(r Request, selects bool) (refused string, err error) {
	for _, asked := range []bool{len(r.Auth) > 0, selects} {
		if !asked {
			continue
		}
		answer, err := c.answer(r.Timeout)
		if err != nil {
			return "", err
		}
		if answer[0] == '-' && refused == "" {
			refused = answer[1:]
		}
	}
	return refused, nil
}

// write writes b. The timeout is for a piece of it.
func (c *conn) write(b []byte, timeout time.Duration) error {
	for len(b) > 0 {
		n := min(len(b), writePiece)
		c.SetWriteDeadline(time.Now().Add(timeout))
		if _, err := c.Write(b[:n]); err != nil {
			return c.fail(err)
		}
		b = b[n:]
	}
	return nil
}

// answer reads a line, which is never empty.
func (c *conn) answer(timeout time.Duration) (string, error) {
	c.SetReadDeadline(time.Now().Add(timeout))
	line, err := c.rd.ReadSlice('\n')
	line = bytes.TrimRight(line, "\r\n")
	if err == nil && len(line) == 0 {
		err = errors.New("migrate: an empty answer")
	}
	if err != nil {
		return "", c.fail(err)
	}
	return string(line), nil
}

// fail notes why the connection is of no use any more.
func (c *conn) fail(err error) error {
	c.broken, c.slow = true, errors.Is(err, os.ErrDeadlineExceeded)
	return err
}
