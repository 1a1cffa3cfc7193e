package step08

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
	"byor/pkg/check/trace"
	"byor/pkg/resp"
)

// Step 08, more questions to both ends: replicas that are slow, or several; and links that carry
// more than SETs, or break half-way.

// streamIs expects want as the next command of the stream.
func (r *Replica) streamIs(want ...string) {
	got, _ := r.Next()
	r.T.Require(strings.EqualFold(strings.Join(got, " "), strings.Join(want, " ")), fmt.Sprintf("%q in the stream", want), "%q", got)
}

func ownID(t *check.T) {
	s := t.Start(process.Options{})
	a, b := Attach(t, s), Attach(t, t.Start(process.Options{}))
	t.Require(a.id != b.id, "two servers, two replication IDs", "%s from both", a.id)
	t.Hint("the ID names one history of changes, and all replicas follow the same: make it when the server starts")
	again := Attach(t, s)
	t.Require(a.id == again.id, "+FULLRESYNC "+a.id+" for the next replica, too", "+FULLRESYNC %s", again.id)
}

func twoReplicas(t *check.T) {
	s := t.Alone()
	a := Attach(t, s)
	c, k := t.DialTo(s), t.Key("k")
	c.Ask("+OK\r\n", "SET", k, "1")
	a.streamIs("SELECT", "0")
	a.streamIs("SET", k, "1")
	b := Attach(t, s)
	t.Require(b.rdbHas(k, "1"), k+" in the second replica's snapshot", "it is not there")
	c.Ask("+OK\r\n", "SET", k, "2")
	b.streamIs("SELECT", "0")
	b.streamIs("SET", k, "2")
	t.Hint("every replica gets the whole stream, not only the one that came last")
	if cmd, _ := a.Next(); !strings.EqualFold(cmd[0], "SELECT") { // it may be repeated for both
		t.Require(len(cmd) == 3 && cmd[2] == "2", "SET "+k+" 2 for the first replica, too", "%q", cmd)
	} else {
		a.streamIs("SET", k, "2")
	}
	t.Hint("one replica has gone, and the others go on: take it out of s.replicas")
	a.Reset()
	c.Ask("+OK\r\n", "SET", k, "3")
	b.streamIs("SET", k, "3")
}

// rdbHas says whether the snapshot holds key with a short value, as plain strings.
func (r *Replica) rdbHas(key, value string) bool {
	if n, err := strconv.ParseInt(value, 10, 8); err == nil { // a small integer is packed by some
		if bytes.Contains(r.rdb, append([]byte(key), 0xc0, byte(n))) {
			return true
		}
	}
	return bytes.Contains(r.rdb, append([]byte(key), append([]byte{byte(len(value))}, value...)...))
}

func ackUnanswered(t *check.T) {
	s := t.Alone()
	r := Attach(t, s)
	t.Hint("an ACK may come from a client that is no replica: c.replica is nil then, so store nothing, and answer nothing")
	t.DialTo(s).Send(check.Commands("REPLCONF ACK 0", "PING")).Expect("+PONG\r\n")
	t.Hint("an answer to REPLCONF ACK stands in the middle of the stream, where the replica expects commands: answer nothing")
	k := t.Key("k")
	for round := range 2 { // an answer that comes behind the first round's change is found in the second
		for i := range 3 {
			r.Cmd("REPLCONF", "ACK", strconv.FormatInt(r.Offset+int64(i), 10))
		}
		t.Sleep(50 * time.Millisecond)
		t.DialTo(s).Ask("+OK\r\n", "SET", k, strconv.Itoa(round))
		for {
			size := 0
			v := streamValue(r.Conn, &size)
			t.Require(v.Kind == resp.Array, "nothing but commands, since an ACK gets no answer", "%s", check.Text(v))
			if len(v.Elems) == 3 && check.Text(v.Elems[1]) == k {
				break
			}
		}
	}
}

// slowReplica lets one replica stop in the snapshot and one in the stream, and then writes more than
// their sockets hold.
func slowReplica(t *check.T) {
	s := t.Alone()
	c := t.DialTo(s)
	mb := strings.Repeat("x", 1<<20)
	slowAttach(t, s)
	keys := make([]string, 24)
	for i := range keys {
		keys[i] = t.Key("big")
		c.Ask("+OK\r\n", "SET", keys[i], mb)
	}
	slowAttach(t, s)
	for _, k := range keys {
		c.Ask("+OK\r\n", "SET", k, "small")
	}
	c.Ask(fmt.Sprintf(":%d\r\n", len(keys)), append([]string{"DEL"}, keys...)...)
}

// slowAttach asks s for a snapshot and reads no more of it than +FULLRESYNC.
func slowAttach(t *check.T, s *process.Server) {
	defer t.Hint("%s", t.Hinted())
	c := t.DialTo(s).SmallWindow().Send(check.Commands("REPLCONF capa psync2")).Expect("+OK\r\n").Send(check.Commands("PSYNC ? -1"))
	t.Hint(noAnswerYet)
	skipLine(c, "+FULLRESYNC")
}

func acksByItself(t *check.T) {
	m := newFakeMaster(t)
	startFollower(t, m)
	stream := check.Commands("SELECT 0", "SET a 1")
	l := m.accept(500, emptyRDB, stream)
	want := strconv.Itoa(500 + len(stream))
	for range 2 {
		if got := l.ack(want); got != want {
			if _, err := strconv.Atoi(got); err == nil {
				t.Hint("ACKs come every second, and their offset is not right: begin with that of +FULLRESYNC, and add the length of each command of the stream when it is executed")
			}
			t.Fail("REPLCONF ACK "+want+", unasked: the offset of +FULLRESYNC and the bytes of the stream since", got)
		}
	}
}

func followCommands(t *check.T) {
	m := newFakeMaster(t)
	s := startFollower(t, m)
	l := m.accept(0, emptyRDB, "")
	c := t.DialTo(s)
	l.send(check.Commands("SELECT 0", "SET a 1"))
	t.Hint("the commands of the stream must be executed")
	eventually(c, "1", "GET", "a")
	t.Hint("SELECT in the stream changes the database of the link, and of nobody else")
	l.send(check.Commands("SELECT 3", "SET other 1", "SELECT 0", "SET b 1"))
	eventually(c, "1", "GET", "b")
	c.Ask("$-1\r\n", "GET", "other").Ask("+OK\r\n", "SELECT", "3").Ask(check.Bulk("1"), "GET", "other").Ask("$-1\r\n", "GET", "b").Ask("+OK\r\n", "SELECT", "0")
	t.Hint("a real master puts MULTI and EXEC around the changes of a transaction: apply what stands between, and let the link live")
	l.send(check.Commands("MULTI", "SET m 1", "SET m 2", "EXEC", "SET n 1"))
	eventually(c, "1", "GET", "n")
	c.Ask(check.Bulk("2"), "GET", "m")
	t.Hint("PUBLISH is in the stream for the subscribers of the replicas")
	sub := t.DialTo(s).Ask("*3\r\n"+check.Bulk("subscribe")+check.Bulk("ch")+":1\r\n", "SUBSCRIBE", "ch")
	l.send(check.Commands("PUBLISH ch hello"))
	sub.Expect("*3\r\n" + check.Bulk("message") + check.Bulk("ch") + check.Bulk("hello"))
}

func halfASnapshot(t *check.T) {
	m := newFakeMaster(t)
	s := startFollower(t, m)
	l := m.accept(0, rdbWith("old", "data"), "")
	c := t.DialTo(s)
	eventually(c.Hint("the snapshot behind $<length> must be loaded"), "data", "GET", "old")
	t.Hint("load the snapshot into a store of its own, without the lock, and exchange the two at its end: until then clients see the old data")
	l.c.Close()
	whole := rdbWith("new", "data")
	m.missing = len(whole) - len(whole)/2 // comes later
	l = m.accept(0, whole, "")
	t.Sleep(100 * time.Millisecond)
	c.Ask(check.Bulk("data"), "GET", "old").Ask("$-1\r\n", "GET", "new")
	l.c.Close()
	t.Hint("a snapshot that breaks off is worth nothing: forget it, keep the old data, and begin again with PING")
	t.Sleep(100 * time.Millisecond)
	c.Ask(check.Bulk("data"), "GET", "old").Ask("$-1\r\n", "GET", "new")
	l = m.accept(0, whole, "")
	c.Ask(check.Bulk("data"), "GET", "old")
	t.Hint("the snapshot came in two pieces and was not loaded. One Read is not the snapshot: read on until all of the $<length> bytes are there")
	l.send(whole[len(whole)-m.missing:])
	eventually(c, "data", "GET", "new")
}

func chain(t *check.T) {
	m := newFakeMaster(t)
	s := startFollower(t, m)
	l := m.accept(0, rdbWith("k", "v"), "")
	eventually(t.DialTo(s).Hint("the snapshot behind $<length> must be loaded"), "v", "GET", "k")
	t.Hint("what the master sends changes our data, and so belongs into our own stream, too")
	r := Attach(t, s)
	r.heard = true // what is missing here is missing for another reason
	t.Require(r.rdbHas("k", "v"), "k in the snapshot for the replica's replica", "%s", trace.Visible(r.rdb, 100))
	l.send(check.Commands("SELECT 0", "SET a 1", "DEL k"))
	eventually(t.DialTo(s).Hint("the commands of the stream must be executed"), "1", "GET", "a")
	t.Hint("what the master sends changes our data, and so belongs into our own stream, too")
	r.streamIs("SELECT", "0")
	r.streamIs("SET", "a", "1")
	r.streamIs("DEL", "k")
}

// lateMaster returns a fakeMaster at whose address nobody listens before open is called.
func lateMaster(t *check.T) (m *fakeMaster, open func()) {
	m = newFakeMaster(t)
	m.ln.Close()
	return m, func() {
		ln, err := net.Listen("tcp", m.Addr)
		if err != nil {
			t.Skip(err.Error())
		}
		m.ln = ln
		go func() {
			<-t.Context().Done()
			ln.Close()
		}()
	}
}
