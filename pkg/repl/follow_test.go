package repl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/resp"
)

const idA, idB = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

func command(words string) string {
	return string(resp.AppendCommandStrings(nil, strings.Fields(words)...))
}

// fake is a master that the test plays, and what the follower made of it.
type fake struct {
	t     *testing.T
	conns chan net.Conn
	f     *Follower
	done  chan error

	conn net.Conn
	r    *resp.CommandReader

	events chan string // what Load, Apply and Continue were called with
}

func newFake(t *testing.T, o FollowOptions) *fake {
	m := &fake{t: t, conns: make(chan net.Conn), done: make(chan error, 1), events: make(chan string, 1000)}
	o.Dial = func(ctx context.Context) (net.Conn, error) {
		here, there := net.Pipe()
		select {
		case m.conns <- there:
			return here, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	o.Load = func(r io.Reader, size int64, id string, offset int64) error {
		b, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		m.events <- fmt.Sprintf("load %q size %d id %.1s offset %d", b, size, id, offset)
		return nil
	}
	o.Apply = func(u Unit) error {
		var words []string
		for _, args := range u.Commands {
			words = append(words, string(bytes.Join(args, []byte(" "))))
		}
		if len(words) != 1 {
			words = append(words, u.Name)
		}
		m.events <- fmt.Sprintf("%s raw %d offset %d", strings.Join(words, ","), len(u.Raw), u.Offset)
		return nil
	}
	o.Continue = func(id string) error { m.events <- "continue " + id[:1]; return nil }
	m.f = NewFollower(o)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { m.done <- m.f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.ErrorIs(t, <-m.done, context.Canceled)
	})
	return m
}

// accept takes the next connection and plays the handshake up to PSYNC, whose arguments it returns.
func (m *fake) accept(answers map[string]string) string {
	m.t.Helper()
	m.conn = <-m.conns
	m.r = resp.NewCommandReader(m.conn)
	for {
		words := m.read()
		if args, ok := strings.CutPrefix(words, "PSYNC "); ok {
			return args
		}
		answer, ok := answers[words]
		if !ok {
			answer = "+OK\r\n"
		}
		m.send(answer)
	}
}

func (m *fake) read() string {
	m.t.Helper()
	args, err := m.r.ReadCommand()
	require.NoError(m.t, err)
	return string(bytes.Join(args, []byte(" ")))
}

func (m *fake) send(s string) {
	m.t.Helper()
	_, err := io.WriteString(m.conn, s)
	require.NoError(m.t, err)
}

func (m *fake) expect(events ...string) {
	m.t.Helper()
	for _, want := range events {
		require.Equal(m.t, want, <-m.events)
	}
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newFake(t, FollowOptions{ListenPort: 7777, AnnounceIP: "10.0.0.1", User: "u", Password: "p"})
		m.conn = <-m.conns
		m.r = resp.NewCommandReader(m.conn)
		for _, step := range [][2]string{{"PING", "\n\n-NOAUTH Authentication required.\r\n"}, {"AUTH u p", "+OK\r\n"}, {"REPLCONF listening-port 7777", "+OK\r\n"},
			{"REPLCONF ip-address 10.0.0.1", "-ERR what?\r\n"}, {"REPLCONF capa eof capa psync2", "+OK\r\n"}} {
			require.Equal(t, step[0], m.read())
			m.send(step[1])
		}
		require.Equal(t, "PSYNC ? -1", m.read())
		require.Equal(t, Handshake, m.f.Status().State)
		// Answer, snapshot and stream in one piece.
		m.send("\n+FULLRESYNC " + idA + " 100\r\n\n$8\r\nsnapshot" + command("SELECT 0") + command("SET a 1") + "\n" + command("PING") +
			command("MULTI") + command("INCR a") + command("INCR b") + command("EXEC"))
		m.expect(`load "snapshot" size 8 id a offset 100`)
		m.expect("SELECT 0 raw 23 offset 123", "SET a 1 raw 27 offset 150", "ping raw 14 offset 164", "INCR a,INCR b,exec raw 71 offset 235")
		synctest.Wait()
		require.Equal(t, Connected, m.f.Status().State)
		require.Equal(t, "REPLCONF ACK 235", m.read(), "a second later")
		start := time.Now()
		m.send(command("REPLCONF GETACK *"))
		require.Equal(t, "REPLCONF ACK 235", m.read(), "the offset before the question")
		require.Equal(t, start, time.Now(), "at once")
		m.expect("replconf raw 37 offset 272")
		require.Equal(t, "REPLCONF ACK 272", m.read())
		id, offset := m.f.Position()
		require.Equal(t, idA, id)
		require.Equal(t, int64(272), offset)
	})
}

// A snapshot between marks, cut in every possible way, with the stream behind it.
func TestSnapshotOfUnknownSize(t *testing.T) {
	mark := "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c"
	for _, snapshot := range []string{"", "x", "0123456789", mark[:39], strings.Repeat("01234567890", 20_000)} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "one byte": iotest.OneByteReader, "half": iotest.HalfReader, "with the error": iotest.DataErrReader} {
			r := newEOFReader(wrap(strings.NewReader(snapshot+mark+"stream")), []byte(mark))
			b, err := io.ReadAll(r)
			require.NoError(t, err, name)
			require.Equal(t, snapshot, string(b), name)
			require.True(t, strings.HasPrefix("stream", string(r.rest())), name)
			_, err = io.ReadAll(newEOFReader(wrap(strings.NewReader(snapshot+mark[:39])), []byte(mark)))
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		m := newFake(t, FollowOptions{})
		require.Equal(t, "? -1", m.accept(nil))
		m.send("+FULLRESYNC " + idA + " 0\r\n$EOF:" + mark + "\r\nsnap")
		m.send("shot" + mark + command("SET a 1"))
		m.expect(`load "snapshot" size -1 id a offset 0`)
		require.Equal(t, "REPLCONF ACK 0", m.read(), "at once")
		m.expect("SET a 1 raw 27 offset 27")
	})
}

func TestPartialResync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newFake(t, FollowOptions{ReplID: idA, Offset: 10})
		require.Equal(t, idA+" 11", m.accept(nil))
		m.send("+CONTINUE\r\n" + command("SET a 1"))
		m.expect("continue a", "SET a 1 raw 27 offset 37")
		// The link breaks within a transaction, which was not applied and must be sent again.
		m.send(command("MULTI") + command("INCR a") + "*1\r\n$4\r\nEX")
		synctest.Wait()
		s := m.f.Status()
		require.Equal(t, int64(37), s.Offset)
		require.Equal(t, int64(37+len(command("MULTI")+command("INCR a"))), s.Received)
		m.conn.Close()
		require.Equal(t, idA+" 38", m.accept(nil))
		m.send("+CONTINUE " + idB + "\r\n" + command("MULTI") + command("INCR a") + command("EXEC"))
		m.expect("continue b", "INCR a raw 50 offset 87")
		m.f.Drop()
		require.Equal(t, idB+" 88", m.accept(nil))
		m.send("+FULLRESYNC " + idA + " 5\r\n$1\r\nS")
		m.expect(`load "S" size 1 id a offset 5`)
		require.Equal(t, "REPLCONF ACK 5", m.read())
	})
}

// A broken snapshot leaves nothing to continue from.
func TestBrokenSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newFake(t, FollowOptions{ReplID: idA, Offset: 10})
		m.accept(nil)
		m.send("+FULLRESYNC " + idB + " 5\r\n$100\r\nonly a part")
		synctest.Wait()
		s := m.f.Status()
		require.Equal(t, Syncing, s.State)
		require.Equal(t, []int64{11, 100}, []int64{s.Loaded, s.Size})
		m.conn.Close()
		require.Equal(t, "? -1", m.accept(nil))
		require.ErrorIs(t, m.f.Status().Err, io.ErrUnexpectedEOF)
	})
}

func TestMastersThatMakeNoSense(t *testing.T) {
	for answer, want := range map[string]string{
		"-NOMASTERLINK Can't SYNC while not connected with my master\r\n": "answers PSYNC with",
		"+CONTINUE\r\n":                                  "answers PSYNC with", // but nothing was asked for
		" \r\n":                                          "answers PSYNC with",
		"+FULLRESYNC short 1\r\n":                        "answers PSYNC with",
		"+FULLRESYNC " + idA + " -1\r\n":                 "answers PSYNC with",
		"+FULLRESYNC " + idA + " 1\r\n-ERR no\r\n":       "where the length of the snapshot was expected",
		"+FULLRESYNC " + idA + " 1\r\n$-1\r\n":           "where the length of the snapshot was expected",
		"+FULLRESYNC " + idA + " 1\r\n$EOF:x\r\n":        "where the length of the snapshot was expected",
		"+FULLRESYNC " + idA + " 1\r\n$0\r\nPING x\r\n":  "inline command",
		"+FULLRESYNC " + idA + " 1\r\n$0\r\n*1\r\n!\r\n": "expected '$'",
	} {
		synctest.Test(t, func(t *testing.T) {
			m := newFake(t, FollowOptions{NeedSize: true})
			require.Equal(t, "? -1", m.accept(nil))
			m.send(answer)
			go io.Copy(io.Discard, m.conn)
			m.conn2()
			require.ErrorContains(t, m.f.Status().Err, want, "%q", answer)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		m := newFake(t, FollowOptions{Password: "p"})
		m.conn = <-m.conns
		m.r = resp.NewCommandReader(m.conn)
		m.read()
		m.send("+PONG\r\n")
		require.Equal(t, "AUTH p", m.read())
		m.send("-WRONGPASS no\r\n")
		m.conn2()
		require.ErrorContains(t, m.f.Status().Err, "answers AUTH with")
	})
}

// conn2 waits for the next attempt.
func (m *fake) conn2() { m.conn = <-m.conns }

func TestSilentMasterAndBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newFake(t, FollowOptions{Timeout: 30 * time.Second, MaxDelay: time.Second})
		m.conn = <-m.conns
		start := time.Now()
		go io.Copy(io.Discard, m.conn) // it takes our PING and says nothing
		m.conn2()
		require.Equal(t, 30*time.Second+100*time.Millisecond, time.Since(start))
		require.ErrorIs(t, m.f.Status().Err, ErrTimeout)
		for _, wait := range []time.Duration{200, 400, 800, 1000, 1000} {
			start = time.Now()
			m.conn.Close()
			m.conn2()
			require.Equal(t, wait*time.Millisecond, time.Since(start))
		}
		m.conn.Close()
		m.accept(nil)
		m.send("+FULLRESYNC " + idA + " 0\r\n$0\r\n")
		m.expect(`load "" size 0 id a offset 0`)
		m.read()
		start = time.Now()
		m.conn.Close()
		m.conn2()
		require.Equal(t, 100*time.Millisecond, time.Since(start), "after a success it is patient no more")
	})
}

// While it loads, a follower may read nothing for long, and lets the master know that it lives.
func TestKeepsTheMasterPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newFake(t, FollowOptions{})
		inner := m.f.o.Load
		m.f.o.Load = func(r io.Reader, size int64, id string, offset int64) error {
			time.Sleep(2500 * time.Millisecond)
			return inner(r, size, id, offset)
		}
		m.accept(nil)
		m.send("+FULLRESYNC " + idA + " 0\r\n$1\r\n")
		start := time.Now()
		b := make([]byte, 1)
		for i := range 2 {
			_, err := io.ReadFull(m.conn, b)
			require.NoError(t, err)
			require.Equal(t, "\n", string(b))
			require.Equal(t, time.Duration(i+1)*time.Second, time.Since(start))
		}
		m.send("S")
		m.expect(`load "S" size 1 id a offset 0`)
	})
}

func TestErrorsOfTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		m := newFake(t, FollowOptions{})
		apply := m.f.o.Apply
		m.f.o.Apply = func(u Unit) error {
			if u.Offset > 30 {
				return broken
			}
			return apply(u)
		}
		m.accept(nil)
		m.send("+FULLRESYNC " + idA + " 0\r\n$0\r\n" + command("SET a 1") + command("SET a 1"))
		go io.Copy(io.Discard, m.conn)
		m.expect(`load "" size 0 id a offset 0`, "SET a 1 raw 27 offset 27")
		require.Equal(t, idA+" 28", m.accept(nil), "what was not applied is asked for again")
		require.ErrorIs(t, m.f.Status().Err, broken)
	})
}
