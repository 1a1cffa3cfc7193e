package step08

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
	"byor/pkg/check/trace"
	"byor/pkg/resp"
)

// The exercises of step 08.

func init() {
	ex := func(k int, c check.Check) {
		c.Own = true
		check.Register(8, k, c)
	}
	ex(1, check.Check{Name: "role", What: "ROLE tells master from replica, with offsets", Run: exRole, Slow: 2,
		Hint: "keep what REPLCONF listening-port said until there is a replica; what ROLE reads of the link is written under the lock"})
	ex(2, check.Check{Name: "promotion", What: "REPLICAOF NO ONE makes a master of a replica", Run: exPromotion, Slow: 2,
		Hint: "the link is closed for good; a command of the old master that was read already must not be applied behind the promotion"})
	ex(3, check.Check{Name: "min-replicas", What: "writes are refused without enough good replicas", Run: exMinReplicas, Slow: 2,
		Hint: "decide where READONLY is decided; a good replica is one that sent an ACK within ten seconds"})
	ex(4, check.Check{Name: "wait", What: "WAIT asks the replicas and answers as soon as enough have acknowledged", Run: exWait, Slow: 2,
		Hint: "GETACK goes into the stream, and what you wait for is the offset before it; wait without the lock that the ACKs need"})
	ex(5, check.Check{Name: "partial-resync", What: "PSYNC with our id and a remembered offset goes on from there", Run: exPartial, Slow: 2,
		Hint: "what the replica lacks is read and the replica joins the listeners under one lock; nothing else stands between +CONTINUE and those bytes"})
	ex(6, check.Check{Name: "info-replication", What: "INFO replication shows roles, offsets and lag", Run: exInfoRepl, Slow: 2,
		Hint: "slave0's offset is the last one acknowledged, master_repl_offset the stream's end"})
}

// AckedReplica attaches to s and acknowledges the offset it began with.
func AckedReplica(t *check.T, s *process.Server) *Replica {
	r := Attach(t, s)
	r.Cmd("REPLCONF", "ACK", strconv.FormatInt(r.Offset, 10))
	return r
}

func exRole(t *check.T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s)
	v := c.Do("ROLE")
	t.Require(len(v.Elems) == 3 && check.Text(v.Elems[0]) == "master" && v.Elems[1].Kind == resp.Integer && len(v.Elems[2].Elems) == 0,
		"[master <offset> []]", "%s", check.Text(v))
	r := AckedReplica(t, s)
	want := fmt.Sprintf("[[127.0.0.1 7878 %d]]", r.Offset)
	t.Until(t.Limit, "ROLE lists "+want, func() (bool, string) {
		v := c.Do("ROLE")
		return len(v.Elems) == 3 && check.Text(v.Elems[2]) == want && v.Elems[2].Elems[0].Elems[2].Kind == resp.BulkString, check.Text(v)
	})
	t.DialTo(s).Ask(check.Err("ERR value is not an integer or out of range"), "REPLCONF", "listening-port", "x")
	r.Close()
	t.Hint("REPLCONF takes several pairs at once: look at each")
	t.DialTo(s).Ask("+OK\r\n", "REPLCONF", "capa", "psync2", "listening-port", "7979").Cmd("PSYNC", "?", "-1")
	t.Until(t.Limit, "ROLE lists the replica with port 7979, and no more the one that has gone", func() (bool, string) {
		v := c.Do("ROLE")
		return len(v.Elems) == 3 && len(v.Elems[2].Elems) == 1 && strings.HasPrefix(check.Text(v.Elems[2]), "[[127.0.0.1 7979 "), check.Text(v)
	})
	t.Hint("what ROLE reads of the link is written under the lock, whenever the link changes")
	roleOfReplica(t)
}

// roleOfReplica follows ROLE of a replica through the states of its link.
func roleOfReplica(t *check.T) {
	m := newFakeMaster(t)
	f := startFollower(t, m)
	fc := t.DialTo(f)
	is := func(states ...string) {
		var want []string
		for _, state := range states {
			want = append(want, "[slave "+strings.Replace(m.Addr, ":", " ", 1)+" "+state+"]")
		}
		t.Until(2*t.Limit, "ROLE answers "+strings.Join(want, " or "), func() (bool, string) {
			v := fc.Do("ROLE")
			return slices.Contains(want, check.Text(v)) && v.Elems[2].Kind == resp.Integer && v.Elems[4].Kind == resp.Integer, check.Text(v)
		})
	}
	is("connect -1", "connecting -1", "handshake -1") // the last is a real Redis's word for a part of connecting
	whole := rdbWith("k", "v")
	m.missing = len(whole) / 2
	l := m.accept(100, whole, "")
	is("sync -1")
	stream := check.Commands("SELECT 0", "SET a 1")
	l.send(whole[len(whole)-m.missing:] + stream)
	is(fmt.Sprintf("connected %d", 100+len(stream)))
	l.c.Close()
	is("connect -1", "connecting -1", "handshake -1")
}

func exPromotion(t *check.T) {
	m := newFakeMaster(t)
	s := startFollower(t, m)
	soon := strconv.FormatInt(time.Now().Add(600*time.Millisecond).UnixMilli(), 10)
	l := m.accept(0, rdbWith("k", "v"), check.Commands("SELECT 0", "SET a 1", "SET short v PXAT "+soon))
	c := t.DialTo(s)
	eventually(c, "1", "GET", "a")
	v := c.Do("REPLICAOF", "NO", "NOBODY")
	t.Require(v.IsError() && strings.HasPrefix(check.Text(v), "ERR"), "-ERR …", "%s", check.Text(v))
	c.Ask("+OK\r\n", "REPLICAOF", "no", "one").Ask("+OK\r\n", "SET", "mine", "1").Ask(check.Bulk("v"), "GET", "k").Ask(check.Bulk("1"), "GET", "a")
	l.c.Write([]byte(check.Commands("SET a 2"))) // the old master goes on, if it still can
	_, err := l.read(2 * t.Limit)
	for err == nil { // acknowledgements from before
		_, err = l.read(2 * t.Limit)
	}
	t.Require(!strings.Contains(check.PlainErr(err), "timeout"), "the link is closed", "it is open")
	t.Sleep(800 * time.Millisecond)
	c.Ask(check.Bulk("1"), "GET", "a").Ask("$-1\r\n", "GET", "short").Ask(":2\r\n", "INCR", "mine").
		Ask("+OK\r\n", "REPLICAOF", "NO", "ONE")
	Attach(t, s)
}

func exMinReplicas(t *check.T) {
	s := t.Start(process.Options{Extra: []string{"-min-replicas-to-write", "1"}})
	c := t.DialTo(s)
	no := check.Err("NOREPLICAS Not enough good replicas to write.")
	c.Ask(no, "SET", "a", "1").Ask(no, "INCR", "n").Ask(no, "DEL", "a").Ask("$-1\r\n", "GET", "a").Ask("+PONG\r\n", "PING")
	r := AckedReplica(t, s)
	eventually(c, "OK", "SET", "a", "1")
	c.Ask(check.Bulk("1"), "GET", "a")
	r.Close()
	t.Until(t.Limit, "writes are refused again once the replica has gone", func() (bool, string) {
		v := check.Text(c.Do("SET", "a", "2"))
		return strings.HasPrefix(v, "NOREPLICAS"), v
	})
	m := newFakeMaster(t)
	f := t.Start(process.Options{ReplicaOf: m.Addr, Extra: []string{"-min-replicas-to-write", "1"}})
	m.accept(0, emptyRDB, check.Commands("SELECT 0", "SET a 7"))
	eventually(t.DialTo(f).Hint("a replica applies its master's stream all the same"), "7", "GET", "a")
}

func exWait(t *check.T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s)
	c.Ask("+OK\r\n", "SET", "a", "1").Ask(":0\r\n", "WAIT", "0", "100").Ask(":0\r\n", "WAIT", "1", "50").
		Ask(check.Err("ERR timeout is negative"), "WAIT", "1", "-1").Ask(check.Err("ERR timeout is not an integer or out of range"), "WAIT", "1", "x")
	r := AckedReplica(t, s)
	c.Ask("+OK\r\n", "SET", "a", "2").Cmd("WAIT", "1", "0")
	t.DialTo(s).Hint("other clients are not held up by a WAIT").Ask("+PONG\r\n", "PING").Ask(check.Bulk("2"), "GET", "a")
	before, asked := r.Offset, false
	for !asked {
		cmd, n := r.Next()
		if asked = strings.EqualFold(cmd[0], "REPLCONF"); !asked {
			before += int64(n)
		}
	}
	c.Hint("nothing was acknowledged yet").Silent(100 * time.Millisecond)
	r.Cmd("REPLCONF", "ACK", strconv.FormatInt(before, 10))
	c.Hint("what was changed before the WAIT has been acknowledged: GETACK itself does not count").Expect(":1\r\n").
		Ask("+OK\r\n", "SET", "a", "3")
	begin := time.Now()
	c.Ask(":0\r\n", "WAIT", "1", "300")
	t.Require(time.Since(begin) >= 250*time.Millisecond, "an answer after the timeout of 300 ms", "after %v", time.Since(begin))
	m := newFakeMaster(t)
	f := startFollower(t, m)
	m.accept(0, emptyRDB, "")
	v := check.Text(t.DialTo(f).Do("WAIT", "0", "0"))
	t.Require(strings.HasPrefix(v, "ERR WAIT cannot be used with replica instances."), "-ERR WAIT cannot be used with replica instances.", "%s", v)
}

func exPartial(t *check.T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1")
	first := t.DialTo(s).Ask("+PONG\r\n", "PING").Ask("+OK\r\n", "REPLCONF", "capa", "psync2").Cmd("PSYNC", "?", "-1")
	m := fullResync.FindStringSubmatch(skipLine(first, "+FULLRESYNC <id> <offset>"))
	t.Require(m != nil, "+FULLRESYNC <id> <offset>", "%v", m)
	offset, _ := strconv.Atoi(m[2])
	size, _ := strconv.Atoi(strings.TrimPrefix(skipLine(first, "$<length>"), "$"))
	exactly(first, size)
	c.Ask("+OK\r\n", "SET", "a", "2").Ask("+OK\r\n", "SET", "b", "3")
	stream := check.Commands("SELECT 0", "SET a 2", "SET b 3")
	got := string(exactly(first, len(stream)))
	t.Require(strings.EqualFold(got, stream), trace.Visible([]byte(stream), 0), "%s", trace.Visible([]byte(got), 0))
	first.Close()
	c.Ask("+OK\r\n", "SET", "late", "4")
	more := got + check.Commands("SET late 4")
	for _, at := range []int{1, len(check.Commands("SELECT 0")) + 1, len(got) + 1, len(more) + 1} {
		r := t.DialTo(s).Ask("+OK\r\n", "REPLCONF", "capa", "psync2").Cmd("PSYNC", m[1], strconv.Itoa(offset+at))
		line := skipLine(r, "CONTINUE")
		t.Require(strings.HasPrefix(line, "CONTINUE"), fmt.Sprintf("+CONTINUE for offset %d of %d", offset+at, offset+len(more)), "%s", line)
		rest := more[at-1:]
		had := string(exactly(r, len(rest)))
		t.Require(strings.EqualFold(had, rest), trace.Visible([]byte(rest), 0), "%s", trace.Visible([]byte(had), 0))
		c.Ask("+OK\r\n", "SET", "then", "5")
		next := check.Commands("SET then 5")
		had = string(exactly(r, len(next)))
		t.Require(strings.EqualFold(had, next), trace.Visible([]byte(next), 0), "%s", trace.Visible([]byte(had), 0))
		more += next
		r.Close()
	}
	for _, bad := range [][]string{{fakeID, strconv.Itoa(offset + 1)}, {m[1], strconv.Itoa(offset + len(more) + 1000)}} {
		r := t.DialTo(s).Ask("+OK\r\n", "REPLCONF", "capa", "psync2").Cmd("PSYNC", bad[0], bad[1])
		line := skipLine(r, "FULLRESYNC")
		t.Require(strings.HasPrefix(line, "FULLRESYNC"), fmt.Sprintf("+FULLRESYNC for PSYNC %q", bad), "%s", line)
		r.Close()
	}
	longStream(t, s)
}

// longStream makes 4 MB of stream, of which the last one is remembered.
func longStream(t *check.T, s *process.Server) {
	before := Attach(t, s)
	before.Close()
	t.Hint("a megabyte is remembered: what is older is forgotten, and who asks for it gets everything")
	c, stream := t.DialTo(s), check.Commands("SELECT 0")
	for i := range 40 {
		set := check.Commands(fmt.Sprintf("SET big%d %s", i, strings.Repeat("x", 100<<10)))
		c.Exchange(set, "+OK\r\n")
		stream += set
	}
	r := t.DialTo(s).Ask("+OK\r\n", "REPLCONF", "capa", "psync2").Cmd("PSYNC", before.id, strconv.FormatInt(before.Offset+1, 10))
	line := skipLine(r, "FULLRESYNC")
	t.Require(strings.HasPrefix(line, "FULLRESYNC"), "+FULLRESYNC for what is 4 MB old", "%s", line)
	r.Close()
	at := len(stream) - 900<<10
	r = t.DialTo(s).Ask("+OK\r\n", "REPLCONF", "capa", "psync2").Cmd("PSYNC", before.id, strconv.FormatInt(before.Offset+int64(at)+1, 10))
	line = skipLine(r, "CONTINUE")
	t.Require(strings.HasPrefix(line, "CONTINUE"), "+CONTINUE for what is 900 KB old", "%s", line)
	had := string(exactly(r, len(stream)-at))
	t.Hint("so many bytes, from the end of the stream: is the one that it asks for the first of them?")
	t.Require(strings.EqualFold(had, stream[at:]), "the last 900 KB of the stream, from "+trace.Visible([]byte(stream[at:]), 60), "%s", trace.Visible([]byte(had), 60))
}

func exInfoRepl(t *check.T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s)
	info := c.InfoOf("replication")
	t.Require(info["role"] == "master" && info["connected_slaves"] == "0" && len(info["master_replid"]) == 40, "role:master, connected_slaves:0, master_replid of 40 digits", "%v", info)
	r := AckedReplica(t, s)
	want := fmt.Sprintf("ip=127.0.0.1,port=7878,state=online,offset=%d,lag=", r.Offset)
	t.Until(t.Limit, "slave0:"+want+"…", func() (bool, string) {
		info := c.InfoOf("replication")
		return info["connected_slaves"] == "1" && strings.HasPrefix(info["slave0"], want), fmt.Sprint(info)
	})
	c.Ask("+OK\r\n", "SET", "a", "1")
	end := r.Offset + int64(len(check.Commands("SELECT 0", "SET a 1")))
	info = c.InfoOf("replication")
	t.Require(info["master_repl_offset"] == strconv.FormatInt(end, 10), fmt.Sprintf("master_repl_offset:%d", end), "%s", info["master_repl_offset"])
	m := newFakeMaster(t)
	f := startFollower(t, m)
	fc := t.DialTo(f)
	info = fc.InfoOf("replication")
	t.Require(info["role"] == "slave" && info["master_link_status"] == "down", "role:slave, master_link_status:down before the master answers", "%v", info)
	stream := check.Commands("SELECT 0", "SET a 1")
	l := m.accept(50, emptyRDB, stream)
	t.Until(2*t.Limit, fmt.Sprintf("master_link_status:up and slave_repl_offset:%d", 50+len(stream)), func() (bool, string) {
		info := fc.InfoOf("replication")
		return info["master_link_status"] == "up" && info["slave_repl_offset"] == strconv.Itoa(50+len(stream)) &&
			info["master_host"]+":"+info["master_port"] == m.Addr, fmt.Sprint(info)
	})
	l.c.Close()
	m.ln.Close()
	t.Until(2*t.Limit, "master_link_status:down once the link is cut", func() (bool, string) {
		v := fc.InfoOf("replication")["master_link_status"]
		return v == "down", v
	})
}
