package repl_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
	"byor/pkg/repl"
	"byor/pkg/resp"
)

// redis is a real redis-server.
type redis struct {
	*redistest.Conn
	t    *testing.T
	addr string
}

func startRedis(t *testing.T, args ...string) *redis {
	t.Helper()
	addr := redistest.Start(t, t.TempDir(), append([]string{"--repl-diskless-sync-delay", "0"}, args...)...)
	return &redis{redistest.Dial(t, addr), t, addr}
}

func (r *redis) info(section, field string) string {
	r.t.Helper()
	m := regexp.MustCompile(field + `:([^\r\n]*)`).FindStringSubmatch(r.Do("INFO " + section))
	if m == nil {
		return ""
	}
	return m[1]
}

// toy is the smallest server that a replica can follow: a master and the lock of an engine. Its data
// are one counter, n.
type toy struct {
	m  *repl.Master
	mu sync.Mutex
	n  int
}

func (s *toy) incr() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	s.m.Feed(resp.AppendCommandStrings(nil, "INCR", "n"))
}

func (s *toy) serve(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go s.handle(conn)
	}
}

func (s *toy) handle(conn net.Conn) {
	defer conn.Close()
	rep := s.m.NewReplica(conn)
	for r := resp.NewCommandReader(conn); ; {
		args, err := r.ReadCommand()
		if err != nil {
			return
		}
		switch strings.ToUpper(string(args[0])) {
		case "PING":
			io.WriteString(conn, "+PONG\r\n")
		case "REPLCONF":
			if reply, err := rep.Conf(args[1:]); err != nil {
				fmt.Fprintf(conn, "-%v\r\n", err)
			} else if reply {
				io.WriteString(conn, "+OK\r\n")
			}
		case "PSYNC":
			offset, _ := strconv.ParseInt(string(args[2]), 10, 64)
			s.mu.Lock()
			full := s.m.PSync(rep, string(args[1]), offset)
			n := strconv.Itoa(s.n)
			if full {
				s.m.Feed(resp.AppendCommandStrings(nil, "SELECT", "0"))
			}
			s.mu.Unlock()
			go rep.Run(func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "REDIS0010\xfe\x00\x00\x01n%c%s\xff\x00\x00\x00\x00\x00\x00\x00\x00", len(n), n)
				return err
			})
		}
	}
}

func TestRedisFollows(t *testing.T) {
	for _, diskless := range []bool{false, true} {
		t.Run(fmt.Sprint("diskless ", diskless), func(t *testing.T) {
			s := &toy{m: repl.NewMaster(repl.MasterOptions{Diskless: diskless, TempDir: t.TempDir()})}
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer ln.Close()
			go s.serve(ln)
			stop := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(200 * time.Microsecond):
						s.incr()
					}
				}
			})
			host, port, _ := net.SplitHostPort(ln.Addr().String())
			r := startRedis(t, "--replicaof", host, port)
			synced := func() bool { return r.info("replication", "master_link_status") == "up" }
			require.Eventually(t, synced, time.Minute, 5*time.Millisecond)
			for range 2 { // the link is cut, and taken up again where it was
				s.m.EndAll()
				require.Eventually(t, func() bool { return len(s.m.Replicas()) == 1 && synced() }, time.Minute, 5*time.Millisecond)
			}
			close(stop)
			wg.Wait()
			s.m.AskAcks()
			require.Eventually(t, func() bool { return r.Do("GET n") == strconv.Itoa(s.n) }, time.Minute, 5*time.Millisecond,
				"neither a gap nor anything twice")
			want := strconv.FormatInt(s.m.Offset(), 10)
			require.Eventually(t, func() bool { return r.info("replication", "slave_repl_offset") == want }, time.Minute, 5*time.Millisecond)
			s.m.AskAcks()
			require.Eventually(t, func() bool { return s.m.Acked(s.m.Offset()-37) == 1 }, time.Minute, time.Millisecond)
			s.m.History(func(h *repl.History) { require.Equal(t, h.ID(), r.info("replication", "master_replid")) })
			require.Equal(t, repl.Online, s.m.Replicas()[0].State)
		})
	}
}

// counter is a data set of one number, n, that a follower loads and counts up.
type counter struct {
	mu                  sync.Mutex
	n, loads, continued int
	size                int64 // of the snapshot, as it was announced
}

func (c *counter) load(r io.Reader, size int64, _ string, _ int64) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	i := bytes.Index(b, []byte("\x00\x01n\xc0")) // the counter as an integer of one byte
	c.loads, c.n, c.size = c.loads+1, int(b[i+4]), size
	return nil
}

func (c *counter) apply(u repl.Unit) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, args := range u.Commands {
		if strings.EqualFold(string(args[0]), "incr") {
			c.n++
		}
	}
	return nil
}

func (c *counter) goOn(string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.continued++
	return nil
}

func TestFollowsRedis(t *testing.T) {
	for _, c := range []struct {
		diskless string
		needSize bool
	}{{"yes", false}, {"no", false}, {"yes", true}} {
		t.Run(fmt.Sprint("diskless ", c.diskless, " size ", c.needSize), func(t *testing.T) {
			master := startRedis(t, "--repl-diskless-sync", c.diskless)
			for range 10 {
				master.Do("INCR n")
			}
			var data counter
			f := repl.NewFollower(repl.FollowOptions{Addr: master.addr, ListenPort: 7777, NeedSize: c.needSize,
				Load: data.load, Apply: data.apply, Continue: data.goOn})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- f.Run(ctx) }()
			defer func() { cancel(); require.ErrorIs(t, <-done, context.Canceled) }()
			require.Eventually(t, func() bool { return f.Status().State == repl.Connected }, time.Minute, time.Millisecond)
			for i := range 30 {
				if i == 10 || i == 20 {
					f.Drop()
				}
				require.Equal(t, "OK", master.Do("MULTI"))
				master.Do("INCR n")
				master.Do("INCR n")
				master.Do("EXEC")
			}
			require.Eventually(t, func() bool { return f.Status().State == repl.Connected && master.Do("WAIT 1 1000") == "1" }, time.Minute, time.Millisecond)
			require.Eventually(t, func() bool { // the GETACK of WAIT is counted after it was answered
				_, offset := f.Position()
				return master.info("replication", "master_repl_offset") == strconv.FormatInt(offset, 10)
			}, time.Minute, time.Millisecond)
			data.mu.Lock()
			defer data.mu.Unlock()
			require.Equal(t, 70, data.n)
			require.Equal(t, 1, data.loads)
			require.Equal(t, c.diskless == "yes" && !c.needSize, data.size == -1)
			require.Equal(t, strconv.Itoa(data.continued), master.info("stats", "sync_partial_ok"))
			require.Positive(t, data.continued)
			id, _ := f.Position()
			require.Equal(t, master.info("replication", "master_replid"), id)
		})
	}
}

// The texts of REPLCONF's errors are Redis's.
func TestReplconfAsRedis(t *testing.T) {
	r := startRedis(t)
	rep := repl.NewMaster(repl.MasterOptions{}).NewReplica(nil)
	for _, words := range []string{"listening-port 6381", "listening-port x", "capa eof capa psync2", "nope x", "capa", "rdb-only 1", "ip-address 10.0.0.1"} {
		var args [][]byte
		for _, w := range strings.Fields(words) {
			args = append(args, []byte(w))
		}
		want := "OK"
		if reply, err := rep.Conf(args); err != nil {
			want = "-" + err.Error()
		} else {
			require.True(t, reply)
		}
		require.Equal(t, want, r.Do("REPLCONF "+words), words)
	}
}
