package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/basics"
	"byor/pkg/pubsub"
	"byor/pkg/redistest"
	"byor/pkg/resp"
)

// start serves dir on a free port until the test ends, or until stop is called. master may be "".
func start(t *testing.T, dir string, useLog bool, master string) (s *server, addr string, stop func()) {
	t.Helper()
	s, err := newServer(&basics.Options{Dir: dir, UseLog: useLog, Policy: "always"}, master)
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	go basics.Sweep(ctx, &s.mu, s.data, nil)
	if master != "" {
		go s.follow(ctx, "7777")
	}
	done := make(chan struct{})
	go func() { basics.Accept(ln, s.handle); close(done) }()
	stop = sync.OnceFunc(func() {
		cancel()
		ln.Close()
		<-done
		require.NoError(t, s.disk.Close())
	})
	t.Cleanup(stop)
	return s, ln.Addr().String(), stop
}

// write changes 50 keys in every way we know, until f returns.
func write(t *testing.T, addr string, f func()) {
	t.Helper()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 3 {
		c := redistest.Dial(t, addr)
		wg.Go(func() {
			for i := w; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				k := "k" + strconv.Itoa(i%50)
				c.Do([]string{"SET " + k + " text", "SET " + k + " 5 EX 1000", "INCR n" + k, "DEL " + k, "EXPIRE " + k + " 500",
					"PERSIST " + k, "SELECT " + strconv.Itoa(i%3)}[i%7])
			}
		})
	}
	defer wg.Wait()
	defer close(stop)
	f()
}

// same waits until both servers have the same data.
func same(t *testing.T, master, replica string) {
	t.Helper()
	all := func(addr string) []string {
		c := redistest.Dial(t, addr)
		var got []string
		for db := range 3 {
			c.Do("SELECT " + strconv.Itoa(db))
			got = append(got, c.Do("DBSIZE"))
			for i := range 50 {
				k := "k" + strconv.Itoa(i)
				got = append(got, c.Do("GET "+k), c.Do("GET n"+k), strconv.FormatBool(len(c.Do("TTL "+k)) > 2))
			}
		}
		return got
	}
	want := all(master)
	require.Eventually(t, func() bool { return strings.Join(all(replica), " ") == strings.Join(want, " ") }, time.Minute, 20*time.Millisecond)
}

func TestAPair(t *testing.T) {
	_, master, _ := start(t, t.TempDir(), false, "")
	dir := t.TempDir()
	var replica string
	var stop func()
	write(t, master, func() {
		_, replica, stop = start(t, dir, true, master)
		redistest.Dial(t, replica).Eventually("1", "EXISTS nk0")
	})
	same(t, master, replica)
	c, m := redistest.Dial(t, replica), redistest.Dial(t, master)
	for _, command := range []string{"SET a 1", "DEL a", "INCR a", "EXPIRE a 5", "FLUSHALL"} {
		require.Equal(t, "-READONLY You can't write against a read only replica.", c.Do(command))
	}
	c.Do("SUBSCRIBE news")
	m.Do("PUBLISH news hello")
	require.Equal(t, "message news hello", c.Reply(), "a message travels to the replica's subscribers")
	stop()
	// The replica keeps a log. Started again as a server of its own it has the same data.
	_, alone, _ := start(t, dir, true, "")
	same(t, master, alone)
}

func TestAChain(t *testing.T) {
	_, first, _ := start(t, t.TempDir(), false, "")
	_, second, _ := start(t, t.TempDir(), false, first)
	_, third, _ := start(t, t.TempDir(), false, second)
	c := redistest.Dial(t, first)
	c.Do("SET a 1 EX 1000")
	redistest.Dial(t, third).Eventually("1", "GET a")
	redistest.Dial(t, third).Eventually("1000", "TTL a")
}

func TestRedisFollowsUs(t *testing.T) {
	s, master, _ := start(t, t.TempDir(), false, "")
	host, port, _ := net.SplitHostPort(master)
	var replica string
	write(t, master, func() {
		replica = redistest.Start(t, t.TempDir(), "--replicaof", host, port)
		c := redistest.Dial(t, replica)
		require.Eventually(t, func() bool { return strings.Contains(c.Do("INFO replication"), "master_link_status:up") }, time.Minute, 10*time.Millisecond)
	})
	same(t, master, replica)
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for r := range s.replicas {
			return r.acked == s.offset
		}
		return false
	}, time.Minute, 10*time.Millisecond, "Redis confirms the last byte of the stream")
}

func TestWeFollowRedis(t *testing.T) {
	for _, diskless := range []string{"yes", "no"} {
		t.Run("diskless "+diskless, func(t *testing.T) {
			master := redistest.Start(t, t.TempDir(), "--repl-diskless-sync", diskless, "--repl-diskless-sync-delay", "0")
			var replica string
			write(t, master, func() {
				_, replica, _ = start(t, t.TempDir(), false, master)
				redistest.Dial(t, replica).Eventually("1", "EXISTS nk0")
			})
			same(t, master, replica)
			m := redistest.Dial(t, master)
			for _, command := range []string{"MULTI", "SET tx 1", "INCR tx", "EXEC"} {
				m.Do(command)
			}
			require.Equal(t, "1", m.Do("WAIT 1 10000"), "the replica answers GETACK")
			require.Equal(t, "2", redistest.Dial(t, replica).Do("GET tx"))
			require.Eventually(t, func() bool {
				info := m.Do("INFO replication")
				confirmed := regexp.MustCompile(`,offset=(\d+),`).FindStringSubmatch(info)
				return confirmed[1] == regexp.MustCompile(`master_repl_offset:(\d+)`).FindStringSubmatch(info)[1]
			}, time.Minute, 50*time.Millisecond, "and has counted every byte")
		})
	}
}

// What a replica sees on the wire, byte by byte.
func TestHandshakeAndStream(t *testing.T) {
	s, addr, _ := start(t, t.TempDir(), false, "")
	s.offset = 1000
	m := redistest.Dial(t, addr)
	m.Do("SELECT 2")
	m.Do("SET before x")
	c := redistest.Dial(t, addr)
	require.Equal(t, "PONG", c.Do("PING"))
	require.Equal(t, "OK", c.Do("REPLCONF listening-port 7777"))
	fmt.Fprint(c, "PSYNC ? -1\r\n")
	var offset, size int
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	require.NoError(t, err)
	_, err = fmt.Sscanf(line, "+FULLRESYNC "+s.replID+" %d\r\n", &offset)
	require.NoError(t, err, line)
	require.Equal(t, 1000+len("*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n*3\r\n$3\r\nSET\r\n$6\r\nbefore\r\n$1\r\nx\r\n"), offset)
	line, err = r.ReadString('\n')
	require.NoError(t, err)
	_, err = fmt.Sscanf(line, "$%d\r\n", &size)
	require.NoError(t, err, line)
	snapshot := make([]byte, size)
	_, err = io.ReadFull(r, snapshot)
	require.NoError(t, err)
	require.True(t, bytes.HasPrefix(snapshot, []byte("REDIS0010")) && bytes.Contains(snapshot, []byte("\x06before\x01x")), "%q", snapshot)
	m.Do("SET after EX 1") // fails
	m.Do("DEL nothing")
	m.Do("SET after x EX 100")
	want := "*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n*5\r\n$3\r\nSET\r\n$5\r\nafter\r\n$1\r\nx\r\n$4\r\nPXAT\r\n$13\r\n"
	got := make([]byte, len(want))
	_, err = io.ReadFull(r, got)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "right behind the snapshot, and SELECT first")
	fmt.Fprint(c, "REPLCONF ACK 4711\r\n")
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for r := range s.replicas {
			return r.acked == 4711
		}
		return false
	}, time.Minute, time.Millisecond)
	fmt.Fprint(c, "PING\r\n")
	_, err = io.ReadAll(r)
	require.NoError(t, err, "a replica that asks for an answer is disconnected")
	require.Eventually(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.replicas) == 0 }, time.Minute, time.Millisecond)
}

func TestPsyncMustWaitForItsAnswers(t *testing.T) {
	_, addr, _ := start(t, t.TempDir(), false, "")
	c := redistest.Dial(t, addr)
	fmt.Fprint(c, "PING\r\nPSYNC ? -1\r\n")
	require.Equal(t, "PONG", c.Reply())
	require.Equal(t, "-ERR SYNC and PSYNC are invalid with pending output", c.Reply())
}

func TestAReplicaTooFarBehindIsEnded(t *testing.T) {
	s, err := newServer(&basics.Options{Dir: t.TempDir()}, "")
	require.NoError(t, err)
	r := &replica{queue: pubsub.NewQueue(1000, 100)}
	ended := false
	r.queue.OnOverflow = func() { ended = true }
	s.replicas[r] = true
	s.mu.Lock()
	defer s.mu.Unlock()
	s.feed(make([]byte, 900))
	require.False(t, ended)
	s.feed(make([]byte, 100))
	require.True(t, ended)
	require.Equal(t, int64(1000), s.offset)
}

// A master played by the test: it controls every byte.
func TestReplicaOnTheWire(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	_, addr, _ := start(t, t.TempDir(), false, ln.Addr().String())
	accept := func(offset int, stream string) (net.Conn, *resp.CommandReader) {
		conn, err := ln.Accept()
		require.NoError(t, err)
		require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
		r := resp.NewCommandReader(conn)
		for _, step := range [][2]string{{"PING", "\n+PONG"}, {"REPLCONF listening-port 7777", "+OK"}, {"REPLCONF capa psync2", "-ERR never heard of it"}} {
			args, err := r.ReadCommand()
			require.NoError(t, err)
			require.Equal(t, step[0], string(bytes.Join(args, []byte(" "))))
			fmt.Fprint(conn, step[1]+"\r\n")
		}
		args, err := r.ReadCommand()
		require.NoError(t, err)
		require.Equal(t, "PSYNC ? -1", string(bytes.Join(args, []byte(" "))))
		snapshot := "REDIS0010\xfe\x00\x00\x04snap\x04shot\xff\x00\x00\x00\x00\x00\x00\x00\x00"
		fmt.Fprintf(conn, "\n\n+FULLRESYNC %s %d\r\n\n$%d\r\n%s%s", strings.Repeat("a", 40), offset, len(snapshot), snapshot, stream)
		return conn, r
	}
	command := func(words string) string { return string(resp.AppendCommandStrings(nil, strings.Fields(words)...)) }
	const past = "1000000000000"
	conn, r := accept(50, command("SELECT 0")+command("SET k v PXAT "+past)+command("LPUSH l x")+command("SET a 1"))
	c := redistest.Dial(t, addr)
	c.Eventually("1", "GET a") // sent in one piece with the snapshot
	require.Equal(t, "shot", c.Do("GET snap"))
	require.Equal(t, "(nil)", c.Do("GET k"), "what has expired is hidden")
	require.Equal(t, "3", c.Do("DBSIZE"), "but deleted by nobody")
	fmt.Fprint(conn, command("PERSIST k")+command("REPLCONF GETACK *"))
	c.Eventually("v", "GET k")
	want := 50 + len(command("SELECT 0")+command("SET k v PXAT "+past)+command("LPUSH l x")+command("SET a 1")+command("PERSIST k"))
	for {
		args, err := r.ReadCommand()
		require.NoError(t, err)
		require.Equal(t, "REPLCONF ACK", string(args[0])+" "+string(args[1]), "nothing else is ever sent")
		if n, _ := strconv.Atoi(string(args[2])); n >= want {
			require.Equal(t, want, n, "the offset before the GETACK")
			break
		}
	}
	conn.Close()
	conn, _ = accept(0, "") // it comes back
	defer conn.Close()
	c.Eventually("1", "DBSIZE")
}

func TestProgram(t *testing.T) {
	bin := redistest.Program(t, "08-replication")
	run := func(args ...string) (addr string) {
		cmd := exec.Command(bin, append([]string{"-addr", "127.0.0.1:0", "-dir", t.TempDir()}, args...)...)
		stdout, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		t.Cleanup(func() {
			cmd.Process.Signal(os.Interrupt)
			require.NoError(t, cmd.Wait(), "Ctrl-C ends it with exit code 0")
		})
		lines := bufio.NewScanner(stdout)
		require.True(t, lines.Scan())
		require.Contains(t, lines.Text(), "08-replication listens on ")
		if len(args) == 0 {
			require.Contains(t, lines.Text(), "Start a second node in another terminal: make 08-replication ARGS=")
		}
		go io.Copy(io.Discard, stdout)
		return strings.TrimSuffix(strings.Fields(lines.Text())[3], ".")
	}
	master := run()
	replica := run("-replicaof", master)
	redistest.Dial(t, master).Do("SET a 1")
	redistest.Dial(t, replica).Eventually("1", "GET a")
}

// A crash may tear the log just behind a SELECT. What comes next belongs into its own database all the same.
func TestALogTornBehindSelect(t *testing.T) {
	dir := t.TempDir()
	_, addr, stop := start(t, dir, true, "")
	c := redistest.Dial(t, addr)
	c.Do("SET a 1")
	c.Do("SELECT 3")
	c.Do("SET b 1")
	stop()
	files, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	log, err := os.ReadFile(files[0])
	require.NoError(t, err)
	whole, _, found := bytes.Cut(log, []byte("*3\r\n$3\r\nSET\r\n$1\r\nb"))
	require.True(t, found, "%q", log)
	require.NoError(t, os.WriteFile(files[0], whole, 0o644))
	_, addr, stop = start(t, dir, true, "")
	require.Equal(t, "OK", redistest.Dial(t, addr).Do("SET c 1"))
	stop()
	_, addr, _ = start(t, dir, true, "")
	require.Equal(t, "1", redistest.Dial(t, addr).Do("GET c"))
}
