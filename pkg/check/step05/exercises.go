package step05

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
	"byor/pkg/check/trace"
	"byor/pkg/resp"
)

// The exercises of step 05.

func init() {
	check.Register(5, 1, check.Check{Name: "getdel-effect", What: "GETDEL is logged as DEL, and not at all for a missing key", Run: exGetDelEffect, Own: true,
		Hint: "the effect is a slice of arguments like any other: DEL and the key"})
	check.Register(5, 2, check.Check{Name: "load-truncated", What: "-load-truncated=false refuses a torn log and leaves it alone", Run: exLoadTruncated, Own: true,
		NotRedis: "its flag has another name", Hint: "replay knows where the last whole command ends: say so, exit with 1, and write nothing"})
	check.Register(5, 3, check.Check{Name: "transactions", What: "MULTI … EXEC in the log is executed whole or not at all", Run: exLogTransactions, Own: true, Slow: 2,
		NotRedis: "it cuts off the torn command at one start, and the open transaction at the next",
		Hint:     "queue copies until EXEC; at the end of the file with a transaction open, cut back to the byte before its MULTI"})
	check.Register(5, 4, check.Check{Name: "rewrite", What: "BGREWRITEAOF leaves the shortest log and loses nothing", Run: exRewrite, Own: true, Slow: 4,
		NotRedis: "its log has several files", Hint: "a new file beside the old one, synced, then renamed; go on writing to the new descriptor, beginning with SELECT"},
		check.Check{Name: "rewrite-on-disk", What: "the new log is on the disk before it replaces the old one, and its name after it", Run: exRewriteOnDisk, Own: true, Slow: 2,
			NotRedis: "its log has several files", Hint: "sync the new file, rename it, then sync the directory"})
	check.Register(5, 5, check.Check{Name: "aof-info", What: "INFO counts the log's bytes and syncs", Run: exAOFInfo, Own: true,
		NotRedis: "its INFO has other lines", Hint: "count where Sync is called, and only calls that were made; a batch of replies waits for one"})
}

func exGetDelEffect(t *check.T) {
	s := Logged(t)
	t.DialTo(s).Ask("+OK\r\n", "SET", "a", "v").Ask(check.Bulk("v"), "GETDEL", "a").Ask("$-1\r\n", "GETDEL", "a").Ask("$-1\r\n", "GET", "a").
		Ask(check.Err("ERR wrong number of arguments for 'getdel' command"), "GETDEL")
	log := AOFCommands(t, s.Opt.Dir)
	last := log[len(log)-1]
	t.Require(len(log) == 3 && strings.EqualFold(strings.Join(last, " "), "DEL a"), "SELECT, SET, DEL a in the log", "%q", log)
	Restart(t, s).Ask("$-1\r\n", "GET", "a")
}

func exLoadTruncated(t *check.T) {
	s := t.Start(process.Options{Fsync: "always", Extra: []string{"-load-truncated=false"}})
	t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1").Ask("+OK\r\n", "SET", "b", "2")
	s.Kill()
	b := aofBytes(t, s.Opt.Dir)
	CutFile(t, aofPath(t, s.Opt.Dir), b, len(b)-5)
	RefusesToStart(t, s)
	code, _ := s.Exit(t.Limit)
	whole := strconv.Itoa(bytes.LastIndex(b, []byte("*3\r\n")))
	t.Require(code == 1, "exit code 1", "%d", code)
	t.Require(strings.Contains(s.Output(), whole), "a message with the offset "+whole+" of the last whole command's end", "%s", s.Output())
	after := aofBytes(t, s.Opt.Dir)
	t.Require(len(after) == len(b)-5, "the file as it was", "%d bytes instead of %d", len(after), len(b)-5)
	s.Opt.Extra = nil
	StartAgain(t, s)
	t.DialTo(s).Hint("without the flag the tail is cut as before").Ask(check.Bulk("1"), "GET", "a").Ask("$-1\r\n", "GET", "b")
}

func exLogTransactions(t *check.T) {
	s := Logged(t)
	t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1")
	s.Kill()
	path, before := aofPath(t, s.Opt.Dir), aofBytes(t, s.Opt.Dir)
	multi := check.Commands("MULTI", "SET b 2", "INCR a", "EXEC")
	whole := append(append([]byte{}, before...), multi...)
	write := func(b []byte) {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Skip(err.Error())
		}
	}
	write(append(append([]byte{}, whole...), check.Commands("SET c 3")...))
	StartAgain(t, s)
	t.DialTo(s).Ask(check.Bulk("2"), "GET", "a").Ask(check.Bulk("2"), "GET", "b").Ask(check.Bulk("3"), "GET", "c")
	s.Kill()
	for _, cut := range []int{len(check.Commands("MULTI")), len(check.Commands("MULTI", "SET b 2")), len(check.Commands("MULTI", "SET b 2")) + 7, len(multi) - 2, 5} {
		write(whole[:len(before)+cut])
		StartAgain(t, s)
		t.DialTo(s).Ask(check.Bulk("1"), "GET", "a").Ask("$-1\r\n", "GET", "b").Ask(check.Err("ERR unknown command 'MULTI', with args beginning with: "), "MULTI")
		s.Kill()
		after := aofBytes(t, s.Opt.Dir)
		t.Require(bytes.Equal(after, before), "the file cut back to before MULTI: "+trace.Visible(before, 100), "%s", trace.Visible(after, 200))
	}
}

func exRewrite(t *check.T) {
	s := Logged(t)
	c := t.DialTo(s).Ask("+Background append only file rewriting started\r\n", "BGREWRITEAOF")
	one := strings.Repeat(string(resp.AppendCommandStrings(nil, "INCR", "n")), 1000)
	for range 3 {
		c.Send(one)
		for range 1000 {
			c.Reply()
		}
	}
	c.Ask("+OK\r\n", "SET", "ttl", "v", "EX", "1000").Ask("+OK\r\n", "SET", "gone", "v").Ask(":1\r\n", "DEL", "gone")
	c.Ask("+OK\r\n", "SELECT", "5").Ask("+OK\r\n", "SET", "gone", "v").Ask(":1\r\n", "DEL", "gone").Ask("+OK\r\n", "SELECT", "2").
		Ask("+OK\r\n", "SET", "two", "v").Ask("+OK\r\n", "SELECT", "0")
	c.Do("BGREWRITEAOF")
	t.Hint("the second BGREWRITEAOF left the log long: an os.File keeps the name it was opened with, so after the rename f.Name() is not the log's")
	t.Until(2*t.Limit, "a log of at most 300 bytes", func() (bool, string) {
		n := len(aofBytes(t, s.Opt.Dir))
		return n < 300, fmt.Sprint(n, " bytes")
	})
	t.Hint("one SELECT for each database with keys, one SET for each key, with PXAT if it has a deadline; then go on behind them, beginning with SELECT")
	log := AOFCommands(t, s.Opt.Dir)
	t.Require(len(log) == 5 && strings.EqualFold(log[0][0], "SELECT") && len(find(log, "n")) == 1 && len(find(log, "ttl")) == 1 && len(find(log, "two")) == 1,
		"SELECT 0 and two SETs, SELECT 2 and one SET", "%q", log)
	ttl := find(log, "ttl")[0]
	t.Require(len(ttl) == 5 && strings.EqualFold(ttl[3], "PXAT"), "SET ttl v PXAT …", "%q", ttl)
	c.Ask(":3001\r\n", "INCR", "n")
	c = Restart(t, s).Ask(check.Bulk("3001"), "GET", "n").Between(900_000, 1_000_000, "PTTL", "ttl").Ask("$-1\r\n", "GET", "gone")
	t.Hint("a kill at any moment, also during the rewrite, loses nothing that was acknowledged")
	for round := range 3 {
		acked := killWhileRewriting(t, s, c)
		StartAgain(t, s)
		c = t.DialTo(s)
		got, _ := strconv.Atoi(check.Text(c.Do("GET", "n")))
		t.Require(got >= acked, fmt.Sprintf("n at %d or more after kill %d", acked, round+1), "%d", got)
	}
}

// exRewriteOnDisk looks at the order in which a rewrite reaches the disk. Under no, nothing else syncs meanwhile.
func exRewriteOnDisk(t *check.T) {
	s, soFar := t.StartWatched(process.Options{Fsync: "no"}, "fsync,fdatasync,rename,renameat,renameat2")
	t.DialTo(s).Ask(":1\r\n", "INCR", "n").Ask(":2\r\n", "INCR", "n").
		Ask("+Background append only file rewriting started\r\n", "BGREWRITEAOF")
	lines := func() (all []string, renamed int) {
		all = strings.Split(check.JoinResumed(soFar()), "\n")
		return all, slices.IndexFunc(all, func(l string) bool { return strings.Contains(l, "rename") && strings.Contains(l, ".aof") })
	}
	t.Hint("write a new file beside the log, and rename it over the log when it is whole")
	t.Until(t.Limit, "a rename to the log", func() (bool, string) {
		all, renamed := lines()
		return renamed >= 0, strings.Join(all, "\n")
	})
	all, renamed := lines()
	t.Hint("the new file replaced the log before it was on the disk: Sync it, then rename it").
		Require(slices.ContainsFunc(all[:renamed], isSync), "fsync, then rename", "%s", strings.Join(all, "\n"))
	t.Hint("a rename changes the directory, and a power cut may take that back: after the rename open the directory, Sync it and close it")
	t.Until(t.Limit, "fsync of the directory after the rename", func() (bool, string) {
		all, _ := lines()
		return slices.ContainsFunc(all[renamed:], isSync), strings.Join(all, "\n")
	})
}

// killWhileRewriting counts n up while rewrites run, kills the server, and returns the last number
// that was acknowledged.
func killWhileRewriting(t *check.T, s *process.Server, c *check.Conn) (acked int) {
	killed := s.KillAfter(150 * time.Millisecond)
	for i := 0; ; i++ {
		if i%50 == 0 && !c.TrySend(check.Commands("BGREWRITEAOF")) || i%50 == 0 && lost(c.TryReply()) {
			break
		}
		if !c.TrySend(check.Commands("INCR n")) {
			break
		}
		v, err := c.TryReply()
		if err != nil {
			break
		}
		acked = int(v.Int)
	}
	<-killed
	return acked
}

func lost(_ resp.Value, err error) bool { return err != nil }

func exAOFInfo(t *check.T) {
	num := func(c *check.Conn, name string) int {
		v := c.Info()[name]
		n, err := strconv.Atoi(v)
		t.Require(err == nil, "a line "+name+":N in INFO", "%q", v)
		return n
	}
	s := Logged(t)
	c := t.DialTo(s)
	before := num(c, "aof_fsyncs")
	for range 5 {
		c.Ask("+OK\r\n", "SET", "k", "v")
	}
	after := num(c, "aof_fsyncs")
	t.Require(after == before+5, "five more fsyncs for five SETs", "%d, then %d", before, after)
	size := len(aofBytes(t, s.Opt.Dir))
	t.Require(num(c, "aof_current_size") == size, fmt.Sprintf("aof_current_size:%d", size), "%d", num(c, "aof_current_size"))
	c.Exchange(strings.Repeat(check.Commands("SET k v"), 100), strings.Repeat("+OK\r\n", 100))
	t.Require(num(c, "aof_fsyncs")-after <= 30, "far fewer than 100 fsyncs for a pipeline of 100", "%d", num(c, "aof_fsyncs")-after)
	no := t.DialTo(t.Start(process.Options{Fsync: "no"}))
	no.Ask("+OK\r\n", "SET", "k", "v")
	t.Require(num(no, "aof_fsyncs") == 0, "aof_fsyncs:0 under no", "%d", num(no, "aof_fsyncs"))
}
