package step09

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
	"byor/pkg/check/step05"
	"byor/pkg/check/step07"
	"byor/pkg/check/step08"
	"byor/pkg/check/trace"
)

// The exercises of step 09.

func init() {
	ex := func(k int, c check.Check) {
		c.Own = true
		check.Register(9, k, c)
	}
	ex(1, check.Check{Name: "drain", What: "-drain bounds how long a client may hold up the exit", Run: exDrain, Slow: 4,
		NotRedis: "it does not drain", Hint: "the time is used in more than one place: each has to follow the flag, for a longer time and for a shorter one"})
	ex(2, check.Check{Name: "shutdown-options", What: "SHUTDOWN knows NOW, FORCE and ABORT", Run: exShutdownOptions, Slow: 2,
		Hint: "collect what was given, look for contradictions, then act. FORCE tries to save all the same"})
	ex(3, check.Check{Name: "ready", What: "-ready FILE is there while connections are served", Run: exReady, Slow: 3,
		NotRedis: "it has no such flag", Hint: "write the file beside its place, then rename it. Remove it when all is saved, before the listener is closed"})
	ex(4, check.Check{Name: "replicas-first", What: "a replica gets the rest before the master exits", Run: exReplicasFirst, Slow: 4,
		NotRedis: "it asks lagging replicas only", Hint: "put GETACK into the stream, then wait for ACKs of all that came before it. The connection of a replica must not be frozen meanwhile"})
	ex(5, check.Check{Name: "nothing-left", What: "clients that have gone leave no goroutine behind", Run: exNothingLeft, Slow: 2,
		NotRedis: "it has no goroutines", Hint: "a goroutine that is left over waits for something: a channel that nobody closes, or a socket that nobody wakes"})
}

func exDrain(t *check.T) {
	took := func(extra ...string) time.Duration {
		s := t.Start(process.Options{Extra: extra})
		stalled(t, s)
		begin := time.Now()
		s.Signal(process.SigTerm)
		Exits(t, s, 20*time.Second)
		return time.Since(begin)
	}
	t.Parallel(2, func(i int) {
		if i == 0 {
			quick := took("-drain", "300ms")
			t.Require(quick < 3*time.Second, "an exit soon after 300 ms", "after %v", quick)
			return
		}
		slow := took("-drain", "6800ms") // longer than what was built in, in either place
		t.Require(slow > 6400*time.Millisecond, "a client has 6.8 s with -drain 6800ms", "it was over after %v", slow)
	})
}

func exShutdownOptions(t *check.T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1")
	for _, bad := range [][]string{{"NOSAVE", "SAVE"}, {"ABORT", "NOW"}, {"FORCE", "ABORT"}, {"LATER"}, {"NOW", "x"}} {
		c.Ask(check.Err("ERR syntax error"), append([]string{"SHUTDOWN"}, bad...)...)
	}
	c.Ask(check.Err("ERR No shutdown in progress."), "SHUTDOWN", "abort").Ask(check.Bulk("1"), "GET", "a").Cmd("SHUTDOWN", "now", "SAVE").ExpectClose()
	Exits(t, s, 2*t.Limit)
	step05.StartAgain(t, s)
	c = t.DialTo(s).Ask(check.Bulk("1"), "GET", "a").Ask("+OK\r\n", "SET", "a", "2")
	c.Cmd("SHUTDOWN", "FORCE").ExpectClose()
	Exits(t, s, 2*t.Limit)
	step05.StartAgain(t, s)
	c = t.DialTo(s).Hint("FORCE does not mean NOSAVE: it tries").Ask(check.Bulk("2"), "GET", "a")
	c.Ask("+OK\r\n", "SET", "a", "3").Cmd("SHUTDOWN", "force", "NOSAVE", "now").ExpectClose()
	Exits(t, s, 2*t.Limit)
	step05.StartAgain(t, s)
	c = t.DialTo(s).Hint("NOSAVE leaves the old file as it is, whatever else is given").Ask(check.Bulk("2"), "GET", "a")
	t.Hint("FORCE exits also if the data cannot be saved, and nothing else does")
	os.RemoveAll(s.Opt.Dir)
	v, err := c.Cmd("SHUTDOWN", "NOW").TryReply()
	t.Require(err == nil && v.IsError(), "an error when the data cannot be saved", "%s %v", check.Text(v), err)
	c.Cmd("SHUTDOWN", "NOW", "FORCE").ExpectClose()
	Exits(t, s, 2*t.Limit)
}

func exReady(t *check.T) {
	file := filepath.Join(t.TempDir(), "ready")
	s := t.Start(process.Options{Extra: []string{"-ready", file}})
	read := func() string {
		b, _ := os.ReadFile(file)
		return string(b)
	}
	t.Until(t.Limit, "the file holds "+s.Addr+" and a line end", func() (bool, string) { return read() == s.Addr+"\n", trace.Visible([]byte(read()), 0) })
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1")
	os.RemoveAll(s.Opt.Dir)
	v := c.Do("SHUTDOWN")
	t.Require(v.IsError(), "an error: the data cannot be saved", "%s", check.Text(v))
	t.Require(read() == s.Addr+"\n", "the file stays when the shutdown fails", "%s", trace.Visible([]byte(read()), 0))
	c.Cmd("SHUTDOWN", "NOSAVE").ExpectClose()
	Exits(t, s, 2*t.Limit)
	gone := func() (bool, string) {
		_, err := os.Stat(file)
		return os.IsNotExist(err), "it is there"
	}
	ok, got := gone()
	t.Require(ok, "no file after the exit", "%s", got)

	s = t.Start(process.Options{Extra: []string{"-ready", file}})
	t.Until(t.Limit, "the file again", func() (bool, string) { return read() == s.Addr+"\n", trace.Visible([]byte(read()), 0) })
	c = t.DialTo(s).Ask("+OK\r\n", "SET", "big", strings.Repeat("x", 16<<20)).Cmd("GET", "big") // and reads no more than its beginning
	begun(t, c)
	s.Signal(process.SigTerm)
	t.Hint("the file is still there while clients are drained: remove it as soon as all is saved, before the listener is closed")
	closesItsDoor(t, s)
	ok, got = gone()
	t.Require(ok, "no file once the listener is closed", "%s", got)
	c.Close()
	Exits(t, s, 15*time.Second)

	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "dump.rdb"), []byte("no data"), 0o644); err != nil {
		t.Skip(err.Error())
	}
	t.Hint("write the file when the data are loaded and the server listens, not before")
	_, err := t.TryStart(process.Options{Dir: dir, Extra: []string{"-ready", file}})
	t.Require(err != nil, "no start with a dump.rdb that cannot be read", "it started")
	ok, got = gone()
	t.Require(ok, "no file of a server that could not start", "%s", got)
}

func exReplicasFirst(t *check.T) {
	s := t.Start(process.Options{})
	r := step08.AckedReplica(t, s)
	step08.Attach(t, s).Close() // an ended link is not waited for
	c := t.DialTo(s)
	c.Ask("+OK\r\n", "SET", "last", "words")
	s.Signal(process.SigTerm)
	at, seen := r.Offset, false
	for asked := false; !asked; {
		cmd, n := r.Next()
		seen = seen || len(cmd) > 1 && cmd[1] == "last"
		if asked = strings.EqualFold(cmd[0], "REPLCONF"); !asked { // a replica counts a command when it is over, GETACK after the answer
			at += int64(n)
		}
	}
	t.Require(seen, "SET last words before GETACK", "GETACK alone")
	r.Cmd("REPLCONF", "ACK", strconv.FormatInt(r.Offset, 10)) // as far as it was before the last words
	_, ended := s.Exit(700 * time.Millisecond)
	t.Require(!ended, "the master waits for the replica's ACK", "it has exited")
	r.Cmd("REPLCONF", "ACK", strconv.FormatInt(at, 10))
	begin := time.Now()
	Exits(t, s, 2*t.Limit)
	t.Require(time.Since(begin) < 4*time.Second, "the exit as soon as the replica has acknowledged", "%v later", time.Since(begin))
	s2 := t.Start(process.Options{})
	step08.AckedReplica(t, s2) // and says no more
	s2.Signal(process.SigTerm)
	Exits(t.Hint("a replica that says nothing holds up the exit no longer than a client"), s2, 15*time.Second)
}

var savedLine = regexp.MustCompile(`saved in \d+ ms, drained in \d+ ms`)

func exNothingLeft(t *check.T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s)
	var clients, goroutines string
	t.Until(t.Limit, "connected_clients:1 at first", func() (bool, string) {
		info := c.Info()
		clients, goroutines = info["connected_clients"], info["goroutines"]
		return clients == "1" && goroutines != "", fmt.Sprint(info)
	})
	t.Sleep(100 * time.Millisecond)
	goroutines = c.Info()["goroutines"]
	var more []*check.Conn
	for range 10 {
		more = append(more, t.DialTo(s).Ask("+PONG\r\n", "PING"))
	}
	info := c.Hint("count those who are connected, and the goroutines (runtime.NumGoroutine), at the moment of INFO").Info()
	t.Require(info["connected_clients"] == "11" && info["goroutines"] != goroutines, "connected_clients:11 with ten more connections, and more goroutines than "+goroutines, "%v", info)
	for _, m := range more {
		m.Close()
	}
	t.Hint("a goroutine that is left over waits for something: a channel that nobody closes, or a socket that nobody wakes")
	t.Parallel(100, func(i int) {
		sub := t.DialTo(s).Ask(step07.Push("subscribe", "ch", 1), "SUBSCRIBE", "ch")
		if i%2 == 0 {
			sub.Reset()
		} else {
			sub.Close()
		}
	})
	t.Until(2*t.Limit, "connected_clients:"+clients+" and goroutines:"+goroutines+" again", func() (bool, string) {
		info := c.Info()
		return info["connected_clients"] == clients && info["goroutines"] == goroutines, fmt.Sprint(info)
	})
	s.Signal(process.SigTerm)
	Exits(t, s, 2*t.Limit)
	t.Require(savedLine.MatchString(s.Output()), "a line: saved in N ms, drained in N ms", "%s", s.Output())
}
