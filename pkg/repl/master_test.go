package repl

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func conf(r *Replica, words string) (bool, error) {
	var args [][]byte
	for _, w := range strings.Fields(words) {
		args = append(args, []byte(w))
	}
	return r.Conf(args)
}

func snapshotOf(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

// pipe returns a replica of m and the other end of its connection.
func pipe(t *testing.T, m *Master) (*Replica, net.Conn) {
	here, there := net.Pipe()
	t.Cleanup(func() { here.Close(); there.Close() })
	return m.NewReplica(here), there
}

func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	_, err := io.ReadFull(r, got)
	require.NoError(t, err, "want %q, got %q", want, got)
	require.Equal(t, want, string(got))
}

func TestReplconf(t *testing.T) {
	m := NewMaster(MasterOptions{})
	r, _ := pipe(t, m)
	for _, c := range []struct {
		words, err string
		reply      bool
	}{
		{"listening-port 6381", "", true}, {"LISTENING-PORT x", "ERR value is not an integer or out of range", true},
		{"capa eof capa psync2 capa whatever", "", true}, {"ip-address 10.0.0.1", "", true}, {"nope x", "ERR Unrecognized REPLCONF option: nope", true},
		{"capa", "ERR syntax error", true}, {"ack 5", "", false}, {"getack *", "", false}, {"rdb-only 1", "", true}, {"rdb-only x", "ERR value is not an integer or out of range", true},
		{"rdb-filter-only nope", "ERR Unsupported rdb-filter-only option: nope", true}, {"rdb-filter-only functions", "", true},
		{"", "", true},
	} {
		reply, err := conf(r, c.words)
		require.Equal(t, c.reply, reply, c.words)
		if c.err == "" {
			require.NoError(t, err)
		} else {
			require.EqualError(t, err, c.err)
		}
	}
	require.Equal(t, "10.0.0.1:6381", r.addr())
	require.True(t, r.eof && r.psync2 && r.rdbOnly)
	require.Equal(t, Filter{NoData: true}, r.filter)
}

func TestFullSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var members atomic.Int64
		m := NewMaster(MasterOptions{OnMembers: func() { members.Add(1) }})
		require.Zero(t, m.h.size)
		m.Feed([]byte("nobody listens"))
		r, conn := pipe(t, m)
		conf(r, "listening-port 7777")
		require.True(t, m.PSync(r, "?", -1))
		require.Positive(t, m.h.size)
		m.Feed([]byte("while the snapshot is written,"))
		done := make(chan error)
		slow := func(w io.Writer) error {
			time.Sleep(2500 * time.Millisecond)
			return snapshotOf("snapshot")(w)
		}
		go func() { done <- r.Run(slow) }()
		expect(t, conn, fmt.Sprintf("+FULLRESYNC %s 0\r\n", m.h.id))
		expect(t, conn, "\n\n") // a sign of life a second
		require.Equal(t, WaitBgsave, m.Replicas()[0].State, "the file is not whole yet")
		expect(t, conn, "$8\r\nsnapshotwhile the snapshot is written,")
		synctest.Wait()
		m.Feed([]byte("and after."))
		expect(t, conn, "and after.")
		require.Equal(t, int64(40), m.Offset())
		require.Equal(t, 0, m.Acked(40))
		conf(r, "ack 40")
		conf(r, "ack 39")
		require.Equal(t, 1, m.Acked(40))
		require.Equal(t, 0, m.Acked(41))
		time.Sleep(3 * time.Second)
		require.Equal(t, []ReplicaInfo{{"", 7777, Online, 40, 3 * time.Second}}, m.Replicas())
		require.Equal(t, 1, m.Good(5*time.Second))
		require.Equal(t, 0, m.Good(2*time.Second))
		conn.Close()
		m.Feed([]byte("gone"))
		require.Error(t, <-done)
		require.Empty(t, m.Replicas())
		require.Equal(t, int64(2), members.Load())
	})
}

func TestPartialSync(t *testing.T) {
	m := NewMaster(MasterOptions{Backlog: 100})
	m.History(func(h *History) { h.Keep(100) })
	m.Feed([]byte("0123456789"))
	id := m.h.id
	for _, c := range []struct {
		capa, id string
		offset   int64
		want     string
	}{
		{"capa psync2", id, 6, "+CONTINUE " + id + "\r\n56789"}, {"capa eof", id, 6, "+CONTINUE\r\n56789"},
		{"capa psync2", id, 11, "+CONTINUE " + id + "\r\n"}, {"capa psync2", id, 12, "+FULLRESYNC " + id + " 10\r\n$1\r\nS"},
		{"capa psync2", "?", -1, "+FULLRESYNC " + id + " 10\r\n$1\r\nS"}, {"capa psync2", strings.Repeat("a", 40), 6, "+FULLRESYNC " + id + " 10\r\n$1\r\nS"},
		{"capa psync2", "", -1, "$1\r\nS"}, // SYNC
	} {
		r, conn := pipe(t, m)
		conf(r, c.capa)
		full := m.PSync(r, c.id, c.offset)
		require.Equal(t, !strings.HasPrefix(c.want, "+CONTINUE"), full)
		done := make(chan error)
		go func() { done <- r.Run(snapshotOf("S")) }()
		expect(t, conn, c.want)
		conn.Close()
		m.EndAll()
		require.Error(t, <-done)
	}
}

// Nobody can join a replica that has no place in the stream yet, and while there is none, nothing is counted.
func TestJoinNeedsAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMaster(MasterOptions{PingEvery: 5 * time.Second})
		first, _ := pipe(t, m)
		conf(first, "listening-port 7777")
		m.Expect(first)
		require.Equal(t, []ReplicaInfo{{"", 7777, WaitBgsave, 0, 0}}, m.Replicas())
		late, _ := pipe(t, m)
		require.False(t, m.Join(late, first, false), "it has no place yet")
		time.Sleep(20 * time.Second)
		m.Tick(true)
		m.Feed([]byte("before"))
		require.Equal(t, int64(0), m.Offset(), "nobody gets that, nor a ping")
		require.True(t, m.PSync(first, "?", -1))
		m.Tick(true)
		require.Equal(t, int64(0), m.Offset(), "the first ping is due a period from now")
		require.True(t, m.Join(late, first, false))
		m.EndAll()
	})
}

// A replica that waits is one already, and who comes while a file is written gets it and the same stream. Whose
// stream has begun takes nobody with it.
func TestJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMaster(MasterOptions{PingEvery: 5 * time.Second})
		first, there := pipe(t, m)
		m.Expect(first)
		late, lateThere := pipe(t, m)
		m.Feed([]byte("before"))
		require.True(t, m.PSync(first, "?", -1))
		m.Feed([]byte("between"))
		require.True(t, m.Join(late, first, false))
		old, oldThere := pipe(t, m)
		require.True(t, m.Join(old, late, true), "of those who ask by SYNC, too")
		whole := make(chan struct{})
		f, err := os.CreateTemp(t.TempDir(), "")
		require.NoError(t, err)
		file := func() (*os.File, error) { <-whole; return f, nil }
		done := make(chan error)
		for _, r := range []*Replica{first, late, old} {
			go func() { done <- r.RunFile(file) }()
		}
		expect(t, there, fullResync(m.h.id, 0))
		expect(t, lateThere, fullResync(m.h.id, 0))
		for _, conn := range []net.Conn{there, lateThere, oldThere} {
			expect(t, conn, "\n") // a sign of life
		}
		_, err = f.WriteString("snapshot")
		require.NoError(t, err)
		m.Feed([]byte(",after"))
		close(whole)
		expect(t, there, "$8\r\nsnapshotbetween,after")
		synctest.Wait()
		require.Equal(t, []ReplicaState{Online, SendBulk, SendBulk}, []ReplicaState{m.Replicas()[0].State, m.Replicas()[1].State, m.Replicas()[2].State})
		another, _ := pipe(t, m)
		for _, r := range []*Replica{first, late} {
			require.False(t, m.Join(another, r, false), "that file is whole, and may be gone")
		}
		expect(t, lateThere, "$8\r\nsnapshotbetween,after")
		expect(t, oldThere, "$8\r\nsnapshotbetween,after")
		gone, _ := pipe(t, m)
		m.PSync(gone, "?", -1)
		gone.End()
		require.False(t, m.Join(another, gone, false))
		m.EndAll()
		for range 3 {
			require.ErrorIs(t, <-done, errEnded)
		}
		require.NoError(t, f.Close())
	})
}

// Between the second mark and the first ACK there must be silence.
func TestDisklessSyncWaitsForTheAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMaster(MasterOptions{Diskless: true})
		r, conn := pipe(t, m)
		conf(r, "capa eof capa psync2")
		require.True(t, m.PSync(r, "?", -1))
		done := make(chan error)
		go func() { done <- r.Run(snapshotOf("snapshot")) }()
		br := bufio.NewReader(conn)
		line, err := br.ReadString('\n')
		require.NoError(t, err)
		require.Contains(t, line, "+FULLRESYNC ")
		line, err = br.ReadString('\n')
		require.NoError(t, err)
		mark, ok := strings.CutPrefix(strings.TrimSpace(line), "$EOF:")
		require.True(t, ok)
		require.Len(t, mark, 40)
		m.Feed([]byte("stream"))
		expect(t, br, "snapshot"+mark)
		conn.SetReadDeadline(time.Now().Add(time.Minute))
		_, err = br.ReadByte()
		var timeout net.Error
		require.True(t, errors.As(err, &timeout) && timeout.Timeout(), "silence")
		conn.SetReadDeadline(time.Time{})
		conf(r, "ack 0")
		expect(t, br, "stream")
		m.EndAll()
		require.Error(t, <-done)
	})
}

func TestEndsOfAReplica(t *testing.T) {
	t.Run("too far behind", func(t *testing.T) {
		m := NewMaster(MasterOptions{Backlog: 1000, MaxBehind: 1000})
		r, conn := pipe(t, m)
		m.PSync(r, "?", -1)
		done := make(chan error)
		go func() { done <- r.Run(snapshotOf("")) }()
		bufio.NewReader(conn).ReadString('\n') // and no more
		m.Feed(make([]byte, 1000))
		require.Len(t, m.Replicas(), 1)
		m.Feed(make([]byte, 1))
		require.ErrorIs(t, <-done, ErrBehind)
		require.Empty(t, m.Replicas())
	})
	t.Run("the reader has gone", func(t *testing.T) {
		m := NewMaster(MasterOptions{})
		r, conn := pipe(t, m)
		m.PSync(r, "?", -1)
		done := make(chan error)
		go func() { done <- r.Run(snapshotOf("S")) }()
		br := bufio.NewReader(conn)
		br.ReadString('\n')
		expect(t, br, "$1\r\nS")
		r.End()
		require.Error(t, <-done)
	})
	t.Run("the snapshot fails", func(t *testing.T) {
		m := NewMaster(MasterOptions{})
		r, conn := pipe(t, m)
		m.PSync(r, "", -1)
		go io.Copy(io.Discard, conn)
		failed := errors.New("disk full")
		require.ErrorIs(t, r.Run(func(io.Writer) error { return failed }), failed)
	})
	t.Run("rdb-only", func(t *testing.T) {
		m := NewMaster(MasterOptions{})
		r, conn := pipe(t, m)
		conf(r, "rdb-only 1")
		m.PSync(r, "", -1)
		done := make(chan error)
		go func() { done <- r.Run(snapshotOf("all")) }()
		b, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Equal(t, "$3\r\nall", string(b))
		require.NoError(t, <-done)
	})
}

func TestPingsAndTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMaster(MasterOptions{})
		r, conn := pipe(t, m)
		m.PSync(r, "?", -1)
		done := make(chan error)
		go func() { done <- r.Run(snapshotOf("S")) }()
		br := bufio.NewReader(conn)
		br.ReadString('\n')
		expect(t, br, "$1\r\nS")
		got := make(chan string)
		go func() { b, _ := io.ReadAll(br); got <- string(b) }()
		for range 35 {
			m.Tick(true)
			time.Sleep(time.Second)
		}
		m.Tick(false)
		conf(r, "ack 42")
		time.Sleep(60 * time.Second)
		m.Tick(false)
		require.Len(t, m.Replicas(), 1)
		time.Sleep(time.Second)
		m.AskAcks()
		synctest.Wait()
		m.Tick(false)
		require.ErrorIs(t, <-done, ErrTimeout)
		require.Equal(t, strings.Repeat("*1\r\n$4\r\nping\r\n", 3)+ // after 10, 20 and 30 s: none before its time
			"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n", <-got)
	})
}
