package step09

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
	"byor/pkg/check/step05"
	"byor/pkg/check/step07"
	"byor/pkg/check/trace"
	"byor/pkg/resp"
)

// Step 09, the drain: what clients get when the end comes, and how long it waits for them.

func init() {
	const build, mistakes = "Build it", "Mistakes people make"
	check.Register(9, 0,
		check.Check{Name: "vet", After: 5, What: "go vet finds nothing to say", Run: vetted, Own: true, Slow: 6, Until: 9, NotRedis: "it looks at Go code",
			Before: "step 08 waits for nobody", Guide: build,
			Hint: "go vet found something in your code. It is usually right: read what it says"},
		check.Check{Name: "idle-clients", After: 6, What: "clients that say nothing do not hold up the exit", Run: idleClients, Own: true, Guide: build,
			Hint: "blocked Reads were never woken: a goroutine in Read waits for ever. Set a read deadline that has passed (piece 6)"},
		check.Check{Name: "stalled-client", After: 6, What: "a client that reads nothing does not hold up the exit", Run: stalledClient, Own: true, Slow: 5, Guide: build,
			Hint: "a drain needs an end: give each Write a deadline, and stop waiting when the time is over (pieces 5 and 6)"},
		check.Check{Name: "last-replies", After: 6, What: "a client that is reading a reply when the end comes gets all of it", Run: lastReplies, Own: true, Slow: 3, Guide: build,
			NotRedis: "it does not wait for its clients",
			Hint: "the exit cut a reply off: wait until each connection has ended (piece 5), and wake those in Read with SetReadDeadline. " +
				"Close, SetDeadline and os.Exit cut off those who are just writing (piece 6)"},
		check.Check{Name: "bgsave-leaves-no-file", After: 6, What: "a BGSAVE that was given up leaves no temporary file", Run: bgsaveLeavesNoFile, Own: true, Slow: 3, Guide: build,
			Hint: "the process was gone before the BGSAVE had removed its file: wait for s.disk.Wait, too (piece 5)"},
		check.Check{Name: "frozen", After: 6, What: "a command that waited in a buffer is not executed after the save", Run: frozen, Own: true, Slow: 3, Guide: build,
			NotRedis: "it does not wait for its clients",
			Hint:     "OK for what is not on the disk: once all is saved no command may begin, also none that was read before and waits in a buffer (piece 2)"},
		check.Check{Name: "pipelines-in-flight", After: 6, What: "under load each client gets whole replies, then a close, and nothing acknowledged is lost", Run: inFlight, Own: true, Slow: 3, Guide: mistakes,
			Hint: "acknowledged changes are lost: they were executed while the data were being saved, or after that. Take the lock, then save, then set stopping, and only then give the lock back (pieces 1 to 3). Commands read stopping under the lock, too (piece 2)"},
		check.Check{Name: "log-synced-last", After: 6, What: "the log is synced after its last write, before the exit", Run: syncedLast, Own: true, Slow: 3, Guide: mistakes,
			Hint: "the last write to the log was not followed by an fsync: flush the log when no command runs any more and none will (piece 3)"},
		check.Check{Name: "second-signal", After: 6, What: "a second signal does not wait for the drain, nor for the save", Run: secondSignal, Own: true, Slow: 3, Guide: build,
			Hint: "no forced exit on a second signal: somebody who asks twice does not want to wait. Exit with 1 (piece 1)"},
	)
}

// vetted asks go vet, which sees what no client can: a race that is lost once in a million.
func vetted(t *check.T) {
	src := t.Target().Source
	if src == nil {
		t.Skip("it looks at Go code: use DIR=")
	}
	args := []string{"vet"}
	if src.Overlay != "" {
		args = append(args, "-overlay", src.Overlay)
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, "./"+filepath.ToSlash(src.Dir))...)
	cmd.Dir = src.Root
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "WaitGroup.Add") {
		t.Hint("WaitGroup.Add racing Wait: count before the go statement. In the goroutine it may come after Wait has found nobody (piece 5)")
	}
	t.Require(err == nil, "go vet ./"+src.Dir+" says nothing", "%s", out)
}

// bgsaveLeavesNoFile lets the end come right behind a BGSAVE, with a disk that takes its time to remove a file.
func bgsaveLeavesNoFile(t *check.T) {
	s, _ := t.StartWatched(process.Options{}, "unlink,unlinkat", "unlink,unlinkat:delay_enter=300000")
	c := filled(t.DialTo(s), 20000)
	c.Send("BGSAVE\r\nSHUTDOWN NOSAVE\r\n")
	Exits(t, s, afterDrain)
	files, err := filepath.Glob(filepath.Join(s.Opt.Dir, "temp-*"))
	t.Require(err == nil && len(files) == 0, "no temporary file after the exit", "%q", files)
}

// idleClients looks twice if the server does not end: once its clients have hung up, it ends, or it waits for
// something else.
func idleClients(t *check.T) {
	endsAtAll(t, false)
	s := t.Start(process.Options{})
	conns := make([]*check.Conn, 20)
	for i := range conns {
		conns[i] = t.DialTo(s)
		switch i % 3 {
		case 0:
			conns[i].Ask("+PONG\r\n", "PING")
		case 1:
			conns[i].Send("*2\r\n$3\r\nGET\r\n$3\r\n")
		default:
			conns[i].Ask(step07.Push("subscribe", "ch", 1), "SUBSCRIBE", "ch")
		}
	}
	s.Signal(process.SigTerm)
	if _, ended := s.Exit(t.Limit); !ended {
		for _, c := range conns {
			c.Close()
		}
		if _, ended := s.Exit(t.Limit / 3); !ended {
			t.Hint(hintLocked)
		}
		t.Fail(fmt.Sprintf("the process ends within %v", t.Limit), "it still runs"+s.Said())
	}
	Exits(t, s, t.Limit)
	for _, c := range conns {
		c.ExpectClose()
	}
}

// tooLong is a value that no socket's buffers hold: a server that sends it has to wait for its client.
var tooLong = strings.Repeat("x", 16<<20)

// stalled connects a client to s that reads no more of a reply than its beginning.
func stalled(t *check.T, s *process.Server) {
	begun(t, t.DialTo(s).SmallWindow().Ask("+OK\r\n", "SET", "big", tooLong).Cmd("GET", "big"))
}

// begun waits for the first bytes of a reply to c.
func begun(t *check.T, c *check.Conn) {
	if err := c.Fill(t.Deadline(t.Limit)); err != nil {
		t.FailWith(check.Failure{Sent: c.Sent, Want: "a reply", Got: c.GotText(err)})
	}
}

func stalledClient(t *check.T) {
	endsAtAll(t, true)
	s := t.Start(process.Options{})
	stalled(t, s)
	s.Signal(process.SigTerm)
	Exits(t, s, 15*time.Second)
	step05.StartAgain(t.Hint("the data are not there afterwards: mend the check sigterm first"), s)
	t.DialTo(s).Ask(":1\r\n", "EXISTS", "big")
}

// closesItsDoor waits until s, which was told to stop, refuses connections: then all is saved.
func closesItsDoor(t *check.T, s *process.Server) {
	hint := t.Hinted()
	t.Hint("the server was told to stop, and goes on to accept connections: when all is saved, close the listener (piece 2)")
	t.Until(2*t.Limit, "no new connection, once all is saved", func() (bool, string) { return !listens(t, s), "it accepts connections" })
	t.Hint("%s", hint)
}

// halfRead has a client whose reply is half written when the end comes. Behind its GET, in the same segment, may stand
// more: the server has read that, too. It returns the client when all is saved.
func halfRead(t *check.T, s *process.Server, more string) (c *check.Conn, reply string) {
	c = t.DialTo(s).Ask("+OK\r\n", "SET", "big", tooLong).Send("GET big\r\n" + more)
	begun(t, c)
	s.Signal(process.SigTerm)
	closesItsDoor(t, s)
	return c, check.Bulk(tooLong)
}

func lastReplies(t *check.T) {
	endsAtAll(t, true)
	s := t.Start(process.Options{})
	c, reply := halfRead(t, s, "")
	c.Exchange("", reply)
	c.ExpectClose()
	Exits(t, s, t.Limit)
}

func frozen(t *check.T) {
	endsAtAll(t, true)
	s := t.Start(process.Options{})
	c, reply := halfRead(t, s, "SET late 1\r\n")
	c.Exchange("", reply)
	rest := string(c.Rest())
	Exits(t, s, t.Limit)
	step05.StartAgain(t, s)
	late := t.DialTo(s).Do("EXISTS", "late").Int
	t.Require(rest == "" || rest == "+OK\r\n" && late == 1, "no reply, and the end, for a command that was not executed before the save", "%q, and the key is there: %v", rest, late == 1)
	t.Hint("what came before SHUTDOWN in the pipeline was executed, so it is answered. What came behind it was not")
	c = t.DialTo(s).Send("SET a 1\r\nSHUTDOWN\r\nSET b 2\r\n").Expect("+OK\r\n")
	c.ExpectClose()
	Exits(t, s, t.Limit)
	step05.StartAgain(t, s)
	t.DialTo(s).Ask(check.Bulk("1"), "GET", "a").Ask(":0\r\n", "EXISTS", "b")
}

// load has clients send bursts of INCR, each to a key of its own, until the server closes. It
// returns what each was told last.
func load(t *check.T, s *process.Server, clients int, running *atomic.Int64) []int64 {
	acked, conns := make([]int64, clients), make([]*check.Conn, clients)
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
					if len(c.In) > 0 {
						t.Hint("half a reply came, then the end, which tells the client nothing: a command that runs is finished, and its reply is sent before the connection ends (pieces 5 and 6)")
					}
					t.Require(len(c.In) == 0, "whole replies, then a close", "half a reply: %s (%v)", trace.Visible(c.In, 100), err)
					t.Require(!errors.Is(err, os.ErrDeadlineExceeded), "replies, or a close", "neither in %v", t.Limit)
					return
				}
				t.Require(v.Kind == resp.Integer, "an integer for INCR, or a close", "%s", check.Text(v))
				acked[i] = v.Int
				running.Add(1)
			}
		}
	})
	return acked
}

func inFlight(t *check.T) {
	endsAtAll(t, true)
	for _, fsync := range []string{"", "everysec"} {
		s := t.Start(process.Options{Fsync: fsync})
		filled(t.DialTo(s), 50000) // a server that saves without the lock loses what comes meanwhile
		var running atomic.Int64
		go func() {
			for running.Load() < 2000 && t.Context().Err() == nil {
				time.Sleep(time.Millisecond)
			}
			s.Signal(process.SigTerm)
		}()
		acked := load(t, s, 8, &running)
		Exits(t, s, 2*t.Limit)
		step05.StartAgain(t, s)
		c, hint := t.DialTo(s), t.Hinted()
		t.Hint("nothing of the data is there afterwards: mend the check sigterm first")
		c.Ask(":1\r\n", "EXISTS", "k0").Hint("%s", hint)
		for i, n := range acked {
			v := check.Text(c.Do("GET", fmt.Sprint("n", i)))
			got, _ := strconv.ParseInt(v, 10, 64)
			t.Require(got >= n, fmt.Sprintf("client %d's counter at %d or more, as acknowledged (log %s)", i, n, process.YesNo(fsync != "")), "%s", v)
		}
	}
}

func syncedLast(t *check.T) {
	endsAtAll(t, true)
	s, calls := t.StartTraced(process.Options{Fsync: "everysec"}, "write,writev,pwrite64,fsync,fdatasync")
	var running atomic.Int64
	go func() {
		for running.Load() < 500 && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		s.Signal(process.SigTerm)
	}()
	load(t, s, 4, &running)
	if _, ended := s.Exit(2 * t.Limit); !ended {
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

func secondSignal(t *check.T) {
	endsAtAll(t, true)
	s := t.Start(process.Options{})
	stalled(t, s)
	s.Signal(process.SigTerm)
	if code, ended := s.Exit(500 * time.Millisecond); ended { // it lets nobody hold it up
		t.Require(code == 0, "exit code 0 after the first signal", "%s%s", s.State, s.Said())
		return
	}
	s.Signal(process.SigInt)
	code, ended := s.Exit(3 * time.Second)
	t.Require(ended, "the process ends within 3s of the second signal", "it still runs%s", s.Said())
	// A Redis waits for no client, and on a busy machine may have been about to end by itself.
	t.Require(code == 1 || t.Real() && code == 0, "exit code 1 after the second signal: not all went well", "%s%s", s.State, s.Said())
	secondInSave(t)
}

// secondInSave sends both signals while the data are being saved. A server that obeys the first where it waits for
// the second sees that one only when all is saved.
func secondInSave(t *check.T) {
	const keys = 100_000
	got := ""
	for range 4 { // on a busy machine the save may be over before the second signal leaves
		s := t.Start(process.Options{})
		filled(t.DialTo(s), keys).Close()
		s.Signal(process.SigTerm)
		t.Sleep(2 * time.Millisecond)
		s.Signal(process.SigInt)
		code, ended := s.Exit(3 * time.Second)
		t.Require(ended, "the process ends within 3s of the second signal", "it still runs%s", s.Said())
		said := fmt.Sprintf("%s%s", s.State, s.Said())
		step05.StartAgain(t, s)
		saved := t.DialTo(s).Do("DBSIZE").Int
		if code == 1 && saved == 0 {
			return
		}
		if code == 0 && saved == 0 {
			t.Hint("the data are not there afterwards: mend the check sigterm first")
		}
		got = fmt.Sprintf("%d keys were saved, then: %s", saved, said)
	}
	t.Hint("the second signal was seen only when all was saved. Stay awake for it: call stop in a goroutine of its own (piece 1)")
	t.Fail(fmt.Sprintf("exit code 1 at once, though %d keys are just being saved", keys), got)
}
