package check

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"byor/pkg/resp"
)

// Step 09: the end is a state of its own: stop accepting, finish what runs, save, exit.

const acceptHint = "Accept's error taken for a crash: once you have closed the listener Accept returns net.ErrClosed, and that is the normal way to the end"

func init() {
	register(9, 0,
		Check{Name: "sigterm", What: "SIGTERM saves the data and exits with 0", Run: func(t *T) { signalSaves(t, sigTerm) }, Own: true, Guide: "Build it",
			Hint: "catch SIGTERM (signal.Notify): init systems and containers send it. " + acceptHint},
		Check{Name: "sigint", What: "Ctrl-C saves the data and exits with 0", Run: func(t *T) { signalSaves(t, sigInt) }, Own: true, Guide: "Build it",
			Hint: "catch SIGINT as SIGTERM: save, then exit with 0. " + acceptHint},
		Check{Name: "shutdown", What: "SHUTDOWN saves, closes without an answer, exits with 0", Run: shutdownSaves, Own: true, Guide: "Build it",
			Hint: "SHUTDOWN takes the same way as a signal; it has no reply, the closed connection is the answer"},
		Check{Name: "shutdown-nosave", What: "SHUTDOWN NOSAVE exits without saving, SHUTDOWN SAVE with", Run: shutdownNosave, Own: true, Guide: "Build it",
			Hint: "NOSAVE leaves the old dump.rdb as it is; an option that does not exist is a syntax error"},
		Check{Name: "idle-clients", What: "clients that say nothing do not hold up the exit", Run: idleClients, Own: true,
			Hint: "blocked Reads never woken: a goroutine in Read waits for ever. Close its connection or set a read deadline that has passed"},
		Check{Name: "stalled-client", What: "a client that reads nothing does not hold up the exit", Run: stalledClient, Own: true, Slow: 5,
			Hint: "a drain needs an end: give Write a deadline, and close who has not taken his answers in time"},
		Check{Name: "pipelines-in-flight", What: "under load each client gets whole replies, then a close, and nothing acknowledged is lost", Run: inFlight, Own: true, Slow: 3,
			Hint: "finish the command that runs, flush its reply, then close: a reply cut in the middle tells the client nothing. Save when the last command is over, not before"},
		Check{Name: "log-synced-last", What: "the log is synced after its last write, before the exit", Run: syncedLast, Own: true, Slow: 3,
			Hint: "fsync before the drain is over leaves the last commands unsynced: first the drain, then flush, fsync, exit"},
		Check{Name: "everysec-tail", What: "what was acknowledged just before SIGTERM is in the log", Run: everysecTail, Own: true,
			Hint: "flush what the log still buffers before you exit"},
		Check{Name: "save-fails", What: "when the data cannot be saved, SHUTDOWN says so and the server stays", Run: saveFails, Own: true,
			Hint: "an exit that loses the data is worse than none: answer -ERR Errors trying to SHUTDOWN. Check logs. and go on; NOSAVE is the way out"},
		Check{Name: "second-signal", What: "a second Ctrl-C does not wait for the drain", Run: secondSignal, Own: true, Slow: 3, Guide: "Build it",
			Hint: "no forced exit on a second signal: who asks twice does not want to wait. Stay awake for it while the first is obeyed, and exit with 1"},
		Check{Name: "vet", What: "go vet finds nothing to say", Run: vetted, Own: true, Slow: 6, Until: 9, NotRedis: "it looks at Go code",
			Before: "step 08 waits for nobody",
			Hint:   "WaitGroup.Add racing Wait: count before the go statement; in the goroutine it may come after Wait has found nobody"},
	)
}

// exits expects s to end by itself with code 0.
func (t *T) exits(s *Server, d time.Duration) {
	code, ended := s.Exit(d)
	t.Require(ended, fmt.Sprintf("the process ends within %v", d), "it still runs%s", s.said())
	t.Require(code == 0, "exit code 0", "%s%s", s.state, s.said())
}

func signalSaves(t *T, sig syscall.Signal) {
	s := t.Start(Options{})
	t.DialTo(s).Ask("+OK\r\n", "SET", "a", "kept").Ask("+OK\r\n", "SET", "ttl", "v", "EX", "1000")
	s.Signal(sig)
	t.exits(s, t.limit)
	t.Hint("the data must be saved before the exit: what SAVE does, once no command runs any more").again(s)
	t.DialTo(s).Ask(Bulk("kept"), "GET", "a").between(900_000, 1_000_000, "PTTL", "ttl")
}

func shutdownSaves(t *T) {
	s := t.Start(Options{})
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "a", "kept").Cmd("SHUTDOWN")
	c.ExpectClose()
	t.exits(s, t.limit)
	t.again(s)
	t.DialTo(s).Ask(Bulk("kept"), "GET", "a")
}

func shutdownNosave(t *T) {
	s := t.Start(Options{})
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "a", "saved").Ask(Err("ERR syntax error"), "SHUTDOWN", "PERHAPS").Cmd("SHUTDOWN", "SAVE")
	c.ExpectClose()
	t.exits(s, t.limit)
	t.again(s)
	t.DialTo(s).Ask(Bulk("saved"), "GET", "a").Ask("+OK\r\n", "SET", "a", "not saved").Cmd("SHUTDOWN", "nosave").ExpectClose()
	t.exits(s, t.limit)
	t.again(s)
	t.DialTo(s).Ask(Bulk("saved"), "GET", "a")
}

func idleClients(t *T) {
	s := t.Start(Options{})
	conns := make([]*Conn, 20)
	for i := range conns {
		conns[i] = t.DialTo(s)
		switch i % 3 {
		case 0:
			conns[i].Ask("+PONG\r\n", "PING")
		case 1:
			conns[i].Send("*2\r\n$3\r\nGET\r\n$3\r\n")
		default:
			conns[i].Ask(push("subscribe", "ch", 1), "SUBSCRIBE", "ch")
		}
	}
	s.Signal(sigTerm)
	t.exits(s, t.limit)
	for _, c := range conns {
		c.ExpectClose()
	}
}

func stalledClient(t *T) {
	s := t.Start(Options{})
	c := t.DialTo(s).SmallWindow()
	c.Ask("+OK\r\n", "SET", "big", strings.Repeat("x", 1<<20))
	c.Send(strings.Repeat(string(resp.AppendCommandStrings(nil, "GET", "big")), 30))
	t.Sleep(200 * time.Millisecond)
	s.Signal(sigTerm)
	t.exits(s, 15*time.Second)
	t.again(s)
	t.DialTo(s).Ask(":1\r\n", "EXISTS", "big")
}

func secondSignal(t *T) {
	s := t.Start(Options{})
	c := t.DialTo(s).SmallWindow()
	c.Ask("+OK\r\n", "SET", "big", strings.Repeat("x", 1<<20))
	c.Send(strings.Repeat(string(resp.AppendCommandStrings(nil, "GET", "big")), 30)) // and reads nothing
	t.Sleep(200 * time.Millisecond)
	s.Signal(sigTerm)
	if code, ended := s.Exit(500 * time.Millisecond); ended { // it lets nobody hold it up
		t.Require(code == 0, "exit code 0 after the first signal", "%s%s", s.state, s.said())
		return
	}
	s.Signal(sigInt)
	code, ended := s.Exit(3 * time.Second)
	t.Require(ended, "the process ends within 3s of the second signal", "it still runs%s", s.said())
	t.Require(code == 1, "exit code 1 after the second signal: not all went well", "%s%s", s.state, s.said())
}

// vetted asks go vet, which sees what no client can: a race that is lost once in a million.
func vetted(t *T) {
	src := t.target.Source
	if src == nil {
		t.Skip("it looks at Go code: use DIR=")
	}
	args := []string{"vet"}
	if src.Overlay != "" {
		args = append(args, "-overlay", src.Overlay)
	}
	cmd := exec.CommandContext(t.ctx, "go", append(args, "./"+filepath.ToSlash(src.Dir))...)
	cmd.Dir = src.Root
	out, err := cmd.CombinedOutput()
	t.Require(err == nil, "go vet ./"+src.Dir+" says nothing", "%s", out)
}

// load has clients send bursts of INCR, each to a key of its own, until the server closes. It
// returns what each was told last.
func (t *T) load(s *Server, clients int, running *atomic.Int64) []int64 {
	acked := make([]int64, clients)
	t.Parallel(clients, func(i int) {
		c := t.DialTo(s)
		burst := strings.Repeat(string(resp.AppendCommandStrings(nil, "INCR", fmt.Sprint("n", i))), 50)
		for c.TrySend(burst) {
			for range 50 {
				v, err := c.TryReply()
				if err != nil {
					t.Require(len(c.in) == 0, "whole replies, then a close", "half a reply: %s (%v)", Visible(c.in, 100), err)
					t.Require(!errors.Is(err, os.ErrDeadlineExceeded), "replies, or a close", "neither in %v", t.limit)
					return
				}
				t.Require(v.Kind == resp.Integer, "an integer for INCR, or a close", "%s", str(v))
				acked[i] = v.Int
				running.Add(1)
			}
		}
	})
	return acked
}

func inFlight(t *T) {
	for _, fsync := range []string{"", "everysec"} {
		s := t.Start(Options{Fsync: fsync})
		var running atomic.Int64
		go func() {
			for running.Load() < 2000 && t.ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
			s.Signal(sigTerm)
		}()
		acked := t.load(s, 8, &running)
		t.exits(s, 2*t.limit)
		t.again(s)
		c := t.DialTo(s)
		for i, n := range acked {
			v := str(c.Do("GET", fmt.Sprint("n", i)))
			got, _ := strconv.ParseInt(v, 10, 64)
			t.Require(got >= n, fmt.Sprintf("client %d's counter at %d or more, as acknowledged (log %s)", i, n, yesNo(fsync != "")), "%s", v)
		}
	}
}

func syncedLast(t *T) {
	s, calls := t.startTraced(Options{Fsync: "everysec"}, "write,writev,pwrite64,fsync,fdatasync")
	var running atomic.Int64
	go func() {
		for running.Load() < 500 && t.ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		s.Signal(sigTerm)
	}()
	t.load(s, 4, &running)
	if _, ended := s.Exit(2 * t.limit); !ended {
		t.Fail("the process ends", "it still runs"+s.said())
	}
	lines := calls()
	written, synced, found := "", false, false
	for _, l := range lines {
		switch {
		case strings.Contains(l, "INCR\\r\\n") && strings.Contains(l, "write"):
			written, synced, found = l, false, true
		case strings.Contains(l, "sync("):
			synced = true
		}
	}
	t.Require(found, "writes to the log", "none")
	t.Require(synced, "fsync after the last write to the log", "none after: %.200s", written)
}

func everysecTail(t *T) {
	s := t.Start(Options{Fsync: "everysec"})
	c := t.DialTo(s)
	for i := range 300 {
		c.Ask("+OK\r\n", "SET", fmt.Sprint("k", i), "v")
	}
	s.Signal(sigTerm)
	t.exits(s, t.limit)
	t.again(s)
	c = t.DialTo(s)
	for i := range 300 {
		c.Ask(Bulk("v"), "GET", fmt.Sprint("k", i))
	}
}

func saveFails(t *T) {
	s := t.Start(Options{})
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1")
	if err := os.RemoveAll(s.Opt.Dir); err != nil {
		t.Skip(err.Error())
	}
	v, err := c.Cmd("SHUTDOWN").TryReply()
	if err != nil {
		got := "the connection was closed"
		if !errors.Is(err, io.EOF) {
			got = plainErr(err)
		}
		t.Fail("-ERR Errors trying to SHUTDOWN. Check logs.", got)
	}
	t.Require(str(v) == "ERR Errors trying to SHUTDOWN. Check logs.", "-ERR Errors trying to SHUTDOWN. Check logs.", "%s", str(v))
	c.Ask(Bulk("1"), "GET", "a").Cmd("SHUTDOWN", "NOSAVE").ExpectClose()
	t.exits(s, t.limit)
}
