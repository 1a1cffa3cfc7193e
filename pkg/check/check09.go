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

	"byor/pkg/check/process"
	"byor/pkg/check/trace"
	"byor/pkg/resp"
)

// Step 09: the end is a state of its own: stop accepting, finish what runs, save, exit.

const acceptHint = "Accept's error taken for a crash: once you have closed the listener Accept returns net.ErrClosed, and that is the normal way to the end"

func init() {
	register(9, 0,
		Check{Name: "sigterm", What: "SIGTERM saves the data and exits with 0", Run: func(t *T) { signalSaves(t, process.SigTerm) }, Own: true, Guide: "Build it",
			Hint: "catch SIGTERM (signal.Notify): init systems and containers send it"},
		Check{Name: "sigint", What: "Ctrl-C saves the data and exits with 0", Run: func(t *T) { signalSaves(t, process.SigInt) }, Own: true, Guide: "Build it",
			Hint: "catch SIGINT (os.Interrupt) as SIGTERM: save, then exit with 0"},
		Check{Name: "shutdown", What: "SHUTDOWN saves, closes without an answer, exits with 0", Run: shutdownSaves, Own: true, Guide: "Build it",
			Hint: "SHUTDOWN takes the same way as a signal; it has no reply, the closed connection is the answer"},
		Check{Name: "shutdown-nosave", What: "SHUTDOWN NOSAVE exits without saving, SHUTDOWN SAVE with", Run: shutdownNosave, Own: true, Guide: "Build it",
			Hint: "NOSAVE leaves the old dump.rdb as it is; an option that does not exist is a syntax error"},
		Check{Name: "idle-clients", What: "clients that say nothing do not hold up the exit", Run: idleClients, Own: true,
			Hint: "blocked Reads never woken: a goroutine in Read waits for ever. Set a read deadline that has passed. Or they are woken and wait for a lock that you hold while you wait for them"},
		Check{Name: "stalled-client", What: "a client that reads nothing does not hold up the exit", Run: stalledClient, Own: true, Slow: 5,
			Hint: "a drain needs an end: give Write a deadline, and close who has not taken his answers in time"},
		Check{Name: "last-replies", What: "who is reading a reply when the end comes gets all of it", Run: lastReplies, Own: true, Slow: 3, Guide: "Build it",
			NotRedis: "it does not wait for its clients",
			Hint:     "the exit cuts a reply off: wait until each connection has ended, and wake those in Read with a read deadline. Close, SetDeadline and os.Exit cut off those who are just writing"},
		Check{Name: "pipelines-in-flight", What: "under load each client gets whole replies, then a close, and nothing acknowledged is lost", Run: inFlight, Own: true, Slow: 3,
			Hint: "finish the command that runs, flush its reply, then close: a reply cut in the middle tells the client nothing. Save when the last command is over, not before"},
		Check{Name: "log-synced-last", What: "the log is synced after its last write, before the exit", Run: syncedLast, Own: true, Slow: 3,
			Hint: "fsync before the drain is over leaves the last commands unsynced: first the drain, then flush, fsync, exit"},
		Check{Name: "everysec-tail", What: "what was acknowledged just before SIGTERM is in the log", Run: everysecTail, Own: true,
			Hint: "flush what the log still buffers before you exit"},
		Check{Name: "save-fails", What: "when the data cannot be saved, SHUTDOWN says so and the server stays", Run: saveFails, Own: true,
			Hint: "an exit that loses the data is worse than none: answer -ERR Errors trying to SHUTDOWN. Check logs. and go on; NOSAVE is the way out"},
		Check{Name: "bgsave-under-way", What: "a BGSAVE that has not ended does not get into the way of the last save", Run: bgsaveUnderWay, Own: true, Slow: 3, Guide: "Build it",
			Hint: "a BGSAVE shows an older moment: give it up before you save, or wait until it is over"},
		Check{Name: "second-signal", What: "a second Ctrl-C does not wait for the drain", Run: secondSignal, Own: true, Slow: 3, Guide: "Build it",
			Hint: "no forced exit on a second signal: who asks twice does not want to wait. Stay awake for it while the first is obeyed, and exit with 1"},
		Check{Name: "vet", What: "go vet finds nothing to say", Run: vetted, Own: true, Slow: 6, Until: 9, NotRedis: "it looks at Go code",
			Before: "step 08 waits for nobody",
			Hint:   "WaitGroup.Add racing Wait: count before the go statement; in the goroutine it may come after Wait has found nobody"},
	)
}

// exits expects s to end by itself with code 0.
func (t *T) exits(s *process.Server, d time.Duration) {
	code, ended := s.Exit(d)
	t.endedWell(s, d, code, ended)
}

func (t *T) endedWell(s *process.Server, d time.Duration, code int, ended bool) {
	t.Require(ended, fmt.Sprintf("the process ends within %v", d), "it still runs%s", s.Said())
	t.Require(code == 0, "exit code 0", "%s%s", s.State, s.Said())
}

// obeys sends s a signal and expects it to end by itself, with code 0. How it fails says which piece is
// missing.
func (t *T) obeys(s *process.Server, sig syscall.Signal) {
	s.Signal(sig)
	code, ended := s.Exit(t.limit)
	switch {
	case !ended:
		t.Hint("the signal is caught, and nothing ends then. Who obeys it (stop, in the skeleton) has to close the listener: Accept returns, then serve, and main goes on to its end")
	case code > 0:
		t.Hint(acceptHint)
	}
	t.endedWell(s, t.limit, code, ended)
}

// endsAtAll makes sure that SIGTERM ends a server that has no clients, and where idle is true one with
// a client that says nothing. Where it does not, all that follows would fail after a long wait, with a
// hint to something else.
func (t *T) endsAtAll(idle bool) {
	s := t.Start(process.Options{})
	c := t.DialTo(s).Ask("+PONG\r\n", "PING")
	hint := "SIGTERM does not end a server well that has one idle client: mend the checks sigterm and idle-clients first"
	if !idle {
		c.Close()
		t.Sleep(300 * time.Millisecond) // until the server has noticed, or it is not without clients
		hint = "SIGTERM alone does not end the server well, even when no client is there: mend the check sigterm first"
	}
	s.Signal(process.SigTerm)
	code, ended := s.Exit(t.limit)
	if !ended || code != 0 {
		t.Hint("%s", hint).Guide("Build it")
		t.endedWell(s, t.limit, code, ended)
	}
}

func signalSaves(t *T, sig syscall.Signal) {
	s := t.Start(process.Options{})
	t.DialTo(s).Ask("+OK\r\n", "SET", "a", "kept").Ask("+OK\r\n", "SET", "ttl", "v", "EX", "1000").Close()
	t.obeys(s, sig)
	t.Hint("the data must be saved before the exit: what SAVE does, once no command runs any more").again(s)
	t.DialTo(s).Ask(Bulk("kept"), "GET", "a").between(900_000, 1_000_000, "PTTL", "ttl")
}

// endsAfterShutdown is exits for a client that has said SHUTDOWN and was seen off.
func (t *T) endsAfterShutdown(s *process.Server) {
	code, ended := s.Exit(t.limit)
	if !ended {
		t.Hint("the client was seen off, and the process goes on: mend the check sigterm; then look who waits for whom at the end (a lock that the drain holds, a reader that nobody wakes)")
	}
	t.endedWell(s, t.limit, code, ended)
}

func shutdownSaves(t *T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "a", "kept").Cmd("SHUTDOWN")
	c.ExpectClose()
	t.endsAfterShutdown(s)
	t.again(s)
	t.DialTo(s).Ask(Bulk("kept"), "GET", "a")
}

func shutdownNosave(t *T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "a", "saved").Ask(Err("ERR syntax error"), "SHUTDOWN", "PERHAPS").Cmd("SHUTDOWN", "SAVE")
	c.ExpectClose()
	t.endsAfterShutdown(s)
	t.again(s)
	t.DialTo(s).Ask(Bulk("saved"), "GET", "a").Ask("+OK\r\n", "SET", "a", "not saved").Cmd("SHUTDOWN", "nosave").ExpectClose()
	t.endsAfterShutdown(s)
	t.again(s)
	t.DialTo(s).Ask(Bulk("saved"), "GET", "a")
}

func idleClients(t *T) {
	t.endsAtAll(false)
	s := t.Start(process.Options{})
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
	s.Signal(process.SigTerm)
	t.exits(s, t.limit)
	for _, c := range conns {
		c.ExpectClose()
	}
}

func stalledClient(t *T) {
	t.endsAtAll(true)
	s := t.Start(process.Options{})
	c := t.DialTo(s).SmallWindow()
	c.Ask("+OK\r\n", "SET", "big", strings.Repeat("x", 1<<20))
	c.Send(strings.Repeat(string(resp.AppendCommandStrings(nil, "GET", "big")), 30))
	t.Sleep(200 * time.Millisecond)
	s.Signal(process.SigTerm)
	t.exits(s, 15*time.Second)
	t.Hint("the data are not there afterwards: mend the check sigterm first").again(s)
	t.DialTo(s).Ask(":1\r\n", "EXISTS", "big")
}

func secondSignal(t *T) {
	t.endsAtAll(true)
	t.secondInSave()
	s := t.Start(process.Options{})
	c := t.DialTo(s).SmallWindow()
	c.Ask("+OK\r\n", "SET", "big", strings.Repeat("x", 1<<20))
	c.Send(strings.Repeat(string(resp.AppendCommandStrings(nil, "GET", "big")), 30)) // and reads nothing
	t.Sleep(200 * time.Millisecond)
	s.Signal(process.SigTerm)
	if code, ended := s.Exit(500 * time.Millisecond); ended { // it lets nobody hold it up
		t.Require(code == 0, "exit code 0 after the first signal", "%s%s", s.State, s.Said())
		return
	}
	s.Signal(process.SigInt)
	code, ended := s.Exit(3 * time.Second)
	t.Require(ended, "the process ends within 3s of the second signal", "it still runs%s", s.Said())
	t.Require(code == 1, "exit code 1 after the second signal: not all went well", "%s%s", s.State, s.Said())
}

// secondInSave sends both signals while the data are being saved. Who obeys the first where he waits for
// the second sees that one only when all is saved.
func (t *T) secondInSave() {
	const keys = 100_000
	got := ""
	for range 3 { // for a machine so busy that the save is over before the second signal leaves
		s := t.Start(process.Options{})
		filled(t.DialTo(s), keys).Close()
		s.Signal(process.SigTerm)
		t.Sleep(2 * time.Millisecond)
		s.Signal(process.SigInt)
		code, ended := s.Exit(3 * time.Second)
		t.Require(ended, "the process ends within 3s of the second signal", "it still runs%s", s.Said())
		said := fmt.Sprintf("%s%s", s.State, s.Said())
		t.again(s)
		saved := t.DialTo(s).Do("DBSIZE").Int
		if code == 1 && saved == 0 {
			return
		}
		if code == 0 && saved == 0 {
			t.Hint("the data are not there afterwards: mend the check sigterm first")
		}
		got = fmt.Sprintf("%d keys were saved, then: %s", saved, said)
	}
	t.Fail(fmt.Sprintf("exit code 1 at once, though %d keys are just being saved", keys), got)
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
func (t *T) load(s *process.Server, clients int, running *atomic.Int64) []int64 {
	acked, conns := make([]int64, clients), make([]*Conn, clients)
	for i := range conns { // all are served before the first begins, or the end could come before them
		conns[i] = t.DialTo(s).Ask("+PONG\r\n", "PING")
	}
	t.Parallel(clients, func(i int) {
		c := conns[i]
		burst := strings.Repeat(string(resp.AppendCommandStrings(nil, "INCR", fmt.Sprint("n", i))), 50)
		for c.TrySend(burst) {
			for range 50 {
				v, err := c.TryReply()
				if err != nil {
					t.Require(len(c.in) == 0, "whole replies, then a close", "half a reply: %s (%v)", trace.Visible(c.in, 100), err)
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

// lastReplies has a client with a reply that no socket's buffers hold: it is half written when the end
// comes, and its client reads the rest after that. Behind it, in the same segment, is one command more:
// the server has read it, and may not begin it when all has been saved.
func lastReplies(t *T) {
	t.endsAtAll(true)
	s := t.Start(process.Options{})
	big := strings.Repeat("x", 16<<20)
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "big", big).Send("GET big\r\nSET late 1\r\n")
	t.Sleep(200 * time.Millisecond)
	s.Signal(process.SigTerm)
	t.Sleep(300 * time.Millisecond)
	rest := string(c.Expect(Bulk(big)).Rest())
	t.exits(s, t.limit)
	t.again(s)
	late := t.DialTo(s).Do("EXISTS", "late").Int
	t.Hint("OK for what is not on the disk: once all is saved no command may begin, also none that was read before and waits in a buffer")
	t.Require(rest == "" || rest == "+OK\r\n" && late == 1, "no reply, and the end, for a command that was not executed before the save", "%q, and the key is there: %v", rest, late == 1)
	t.Hint("what came before SHUTDOWN in the pipeline was executed, so it is answered; what came after it was not")
	c = t.DialTo(s).Send("SET a 1\r\nSHUTDOWN\r\nSET b 2\r\n").Expect("+OK\r\n")
	c.ExpectClose()
	t.exits(s, t.limit)
	t.again(s)
	t.DialTo(s).Ask(Bulk("1"), "GET", "a").Ask(":0\r\n", "EXISTS", "b")
}

// filled gives c's server some data, so that a save takes its time.
func filled(c *Conn, keys int) *Conn {
	var fill strings.Builder
	for i := range keys {
		fill.Write(resp.AppendCommandStrings(nil, "SET", fmt.Sprint("k", i), strings.Repeat("v", 100)))
	}
	c.Exchange(fill.String(), strings.Repeat("+OK\r\n", keys))
	return c
}

// bgsaveUnderWay lets the end come microseconds after a BGSAVE has begun.
func bgsaveUnderWay(t *T) {
	t.endsAtAll(true)
	s := t.Start(process.Options{})
	const keys = 20000
	c := filled(t.DialTo(s), keys)
	c.Ask("+OK\r\n", "SET", "a", "old").Ask(Err("ERR syntax error"), "SHUTDOWN", "PERHAPS").Send("BGSAVE\r\nSET a new\r\nSHUTDOWN\r\n")
	t.exits(s, t.limit)
	t.again(s)
	t.DialTo(s).Ask(Bulk("new"), "GET", "a").Ask(fmt.Sprintf(":%d\r\n", keys+1), "DBSIZE")
}

func inFlight(t *T) {
	t.endsAtAll(true)
	for _, fsync := range []string{"", "everysec"} {
		s := t.Start(process.Options{Fsync: fsync})
		filled(t.DialTo(s), 50000) // who does not hold the lock while he saves loses what comes meanwhile
		var running atomic.Int64
		go func() {
			for running.Load() < 2000 && t.ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
			s.Signal(process.SigTerm)
		}()
		acked := t.load(s, 8, &running)
		t.exits(s, 2*t.limit)
		t.again(s)
		c, hint := t.DialTo(s), t.hint
		t.Hint("nothing of the data is there afterwards: mend the check sigterm first")
		c.Ask(":1\r\n", "EXISTS", "k0").Hint("%s", hint)
		for i, n := range acked {
			v := str(c.Do("GET", fmt.Sprint("n", i)))
			got, _ := strconv.ParseInt(v, 10, 64)
			t.Require(got >= n, fmt.Sprintf("client %d's counter at %d or more, as acknowledged (log %s)", i, n, process.YesNo(fsync != "")), "%s", v)
		}
	}
}

func syncedLast(t *T) {
	t.endsAtAll(true)
	s, calls := t.startTraced(process.Options{Fsync: "everysec"}, "write,writev,pwrite64,fsync,fdatasync")
	var running atomic.Int64
	go func() {
		for running.Load() < 500 && t.ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		s.Signal(process.SigTerm)
	}()
	t.load(s, 4, &running)
	if _, ended := s.Exit(2 * t.limit); !ended {
		t.Fail("the process ends", "it still runs"+s.Said())
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
	t.endsAtAll(true)
	s := t.Start(process.Options{Fsync: "everysec"})
	c := t.DialTo(s)
	for i := range 300 {
		c.Ask("+OK\r\n", "SET", fmt.Sprint("k", i), "v")
	}
	s.Signal(process.SigTerm)
	t.exits(s, t.limit)
	t.again(s)
	c = t.DialTo(s)
	for i := range 300 {
		c.Ask(Bulk("v"), "GET", fmt.Sprint("k", i))
	}
}

func saveFails(t *T) {
	t.endsAtAll(true)
	s := t.Start(process.Options{})
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
	t.Hint("the shutdown has failed, so all goes on, for old clients and new ones: close the listener when all is saved, not before, and let stopping be true from then on")
	c.Ask(Bulk("1"), "GET", "a")
	t.DialTo(s).Ask(Bulk("1"), "GET", "a")
	for range 2 {
		t.Hint("a signal is no reason to lose the data either: go on when they cannot be saved, and take the next signal for a first one")
		s.Signal(process.SigTerm)
		t.Sleep(500 * time.Millisecond)
		t.Require(s.Alive(), "the server goes on after a SIGTERM that it cannot obey without losing data", "%v%s", s.State, s.Said())
		t.DialTo(s).Ask(Bulk("1"), "GET", "a")
	}
	t.Hint("NOSAVE is the way out when the data cannot be saved")
	c.Cmd("SHUTDOWN", "NOSAVE").ExpectClose()
	t.exits(s, t.limit)
}
