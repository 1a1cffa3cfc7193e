package step08

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
)

func init() {
	const build, wire = "Build it", "On the wire"
	check.Register(8, 0,
		check.Check{Name: "follower-handshake", After: 6, What: "a replica asks PING, REPLCONF and, after their answers, PSYNC ? -1", Run: followerHandshake, Own: true, Guide: wire,
			Hint: "PING, REPLCONF listening-port, REPLCONF capa …, PSYNC ? -1, as arrays; a real master refuses PSYNC with answers pending"},
		check.Check{Name: "refused-replconf", After: 6, What: "a replica goes on when the master refuses REPLCONF", Run: refusedReplconf, Own: true, Guide: build,
			Hint: "an error to REPLCONF ended the handshake. An old master does not know the option, and can send its data all the same: go on, and give up only when PING or PSYNC fails"},
		check.Check{Name: "old-data-goes", After: 7, What: "a full resync replaces the replica's data", Run: oldDataGoes, Own: true,
			Hint: "the snapshot is the whole truth: the replica's old data have to go when it comes"},
		check.Check{Name: "half-a-snapshot", After: 7, What: "old data stay, and can be read, until the whole snapshot is there", Run: halfASnapshot, Own: true, Guide: build, Slow: 2,
			Hint: "load the snapshot into a store of its own, without the lock, and exchange the two at its end: until then clients see the old data"},
		check.Check{Name: "reconnects", After: 7, What: "a replica comes back after its link was cut", Run: reconnects, Own: true, Slow: 4,
			Hint: "the link's end is no reason to stop: wait a moment and begin again with PING"},
		check.Check{Name: "stream-in-one-read", After: 8, What: "stream bytes that arrive together with the snapshot are applied", Run: streamInOneRead, Own: true, Guide: build,
			Hint: "a new bufio.Reader after the handshake loses what the old one had read ahead: one reader for the link's whole life"},
		check.Check{Name: "link-in-pieces", After: 8, What: "answers, snapshot and stream that come one byte at a time are understood", Run: linkInPieces, Own: true, Slow: 2,
			Hint: "one Read is not one answer, and not the snapshot: read whole lines, then exactly $<length> bytes, then commands, all through one reader"},
		check.Check{Name: "snapshot-rest", After: 8, What: "all of the $<length> bytes belong to the snapshot", Run: snapshotRest, Own: true, Guide: build,
			Hint: "what the loader left of the snapshot's $<length> bytes was executed as if it belonged to the stream: throw those bytes away"},
		check.Check{Name: "stream-commands", After: 8, What: "SELECT, MULTI, EXEC and PUBLISH in the stream do what they say", Run: followCommands, Own: true, Guide: build,
			Hint: "the link to the master is a client of its own, with a database of its own"},
		check.Check{Name: "chain", After: 8, What: "a replica has replicas of its own", Run: chain, Own: true, Guide: build,
			Hint: "what the master sends changes our data, and so belongs into our own stream, too"},
		check.Check{Name: "follows-redis", After: 8, What: "it follows a real redis-server and has the same data", Run: followsRedis, Own: true, Slow: 4, Guide: "How real Redis does it",
			Hint: "a real master sends what stream-in-one-read and stream-commands send, and keep-alives: empty lines, also before +FULLRESYNC"},
		check.Check{Name: "silent-replica", After: 9, What: "a replica sends no replies to what it is sent", Run: silentReplica, Own: true,
			Hint: "replying to propagated writes: a command from the master gets no answer; only REPLCONF ACK goes back"},
		check.Check{Name: "getack", After: 9, What: "GETACK is answered with the offset before it", Run: getAck, Own: true, Slow: 2,
			Hint: "counting the current GETACK: answer with the offset of all bytes before it, then add its 37"},
		check.Check{Name: "acks-by-itself", After: 9, What: "a replica acknowledges once a second, unasked", Run: acksByItself, Own: true, Guide: "The idea", Slow: 2,
			Hint: "REPLCONF ACK <offset> is sent every second, though nobody asks and nothing comes: a master takes a silent replica for dead"},
		check.Check{Name: "read-only", After: 10, What: "a replica refuses writes from clients", Run: readOnly, Own: true, Guide: build,
			Hint: "a client's change on a replica is answered -READONLY You can't write against a read only replica. The master's own changes are not asked"},
		check.Check{Name: "master-expires", After: 10, What: "a replica leaves expired keys for the master to delete, but hides them", Run: masterExpires, Own: true, Slow: 2,
			Hint: "a replica that expires by itself changes data its master did not change: hide an expired key, remove it when DEL comes"},
	)
}

// Step 08: a replica asks its master, loads what it gets, follows the stream and says how far it is.

func followerHandshake(t *check.T) {
	m := newFakeMaster(t)
	m.wary = true
	s := startFollower(t, m)
	l := m.accept(0, emptyRDB, "")
	names := ""
	for _, c := range l.all {
		names += strings.ToUpper(c[0]) + " "
	}
	t.Require(strings.HasPrefix(names, "PING REPLCONF ") && strings.HasSuffix(names, "PSYNC "), "PING, REPLCONF …, PSYNC", "%q", l.all)
	last := l.all[len(l.all)-1]
	t.Require(len(last) == 3 && last[1] == "?" && last[2] == "-1", "PSYNC ? -1", "%q", last)
	port := false
	for _, c := range l.all {
		port = port || len(c) > 2 && strings.EqualFold(c[1], "listening-port") && c[2] == strconv.Itoa(s.Port)
	}
	t.Require(port, fmt.Sprintf("REPLCONF listening-port %d", s.Port), "%q", l.all)
}

func refusedReplconf(t *check.T) {
	m := newFakeMaster(t)
	m.old = true
	startFollower(t, m)
	m.accept(0, rdbWith("snap", "shot"), "")
}

// startFollower starts a server that follows m.
func startFollower(t *check.T, m *fakeMaster) *process.Server {
	return t.Start(process.Options{ReplicaOf: m.Addr})
}

// eventually expects the reply want within the check's limit.
func eventually(c *check.Conn, want string, args ...string) {
	c.T.Until(2*c.T.Limit, fmt.Sprintf("%q answers %s", args, want), func() (bool, string) {
		v := check.Text(c.Do(args...))
		return v == want, v
	})
}

func streamInOneRead(t *check.T) {
	m := newFakeMaster(t)
	s := startFollower(t, m)
	l := m.accept(0, rdbWith("snap", "shot"), check.Commands("SELECT 0", "SET streamed 1", "INCR streamed"))
	c := t.DialTo(s)
	eventually(c.Hint("the snapshot behind $<length> must be loaded"), "shot", "GET", "snap")
	l.send(check.Commands("SET later 1"))
	applied(t, s, func() {
		eventually(c.Hint("the commands of the stream must be executed"), "1", "GET", "later")
	})
	c.Hint("a new bufio.Reader after the handshake loses what the old one had read ahead: one reader for the link's whole life").
		Ask(check.Bulk("2"), "GET", "streamed")
}

// snapshotRest sends bytes behind the snapshot's own end, but within its $<length>, and more than a loader reads ahead.
func snapshotRest(t *check.T) {
	m := newFakeMaster(t)
	s := startFollower(t, m)
	l := m.accept(0, rdbWith("snap", "shot")+strings.Repeat(check.Commands("SET rest 1"), 8000), "")
	c := t.DialTo(s)
	eventually(c, "shot", "GET", "snap")
	l.send(check.Commands("SELECT 0", "SET later 1"))
	eventually(c, "1", "GET", "later")
	c.Ask("$-1\r\n", "GET", "rest")
}

// applied runs f. If what it expects does not come, the server may have said that it cannot do what its master does.
func applied(t *check.T, s *process.Server, f func()) {
	check.Explained(f, func(string) string {
		if out := s.Output(); strings.Contains(out, "cannot be applied") && strings.Contains(out, "READONLY") {
			return "the server refuses its own master's commands (its terminal says so: cannot be applied). READONLY is for clients, and c.isMaster tells the master"
		}
		return ""
	})
}

func linkInPieces(t *check.T) {
	m := newFakeMaster(t)
	m.slow = true
	s := startFollower(t, m)
	l := m.accept(0, rdbWith("snap", "shot"), "")
	l.send(check.Commands("SELECT 0", "SET streamed 1", "INCR streamed"))
	c := t.DialTo(s)
	eventually(c, "shot", "GET", "snap")
	t.Hint("one Read is not one command: a command is whole when its last byte has come")
	eventually(c, "2", "GET", "streamed")
}

func silentReplica(t *check.T) {
	m := newFakeMaster(t)
	s := startFollower(t, m)
	l := m.accept(0, emptyRDB, check.Commands("SELECT 0", "SET a 1", "INCR a", "PING", "DEL b", "SET c d"))
	c := t.DialTo(s)
	eventually(c.Hint("the commands of the stream must be executed"), "d", "GET", "c")
	c.Hint("replying to propagated writes: a command from the master gets no answer; only REPLCONF ACK goes back")
	const n = 12 // in the check's time, fewer than these come unasked
	l.send(strings.Repeat(check.Commands("REPLCONF GETACK *"), n))
	by := time.Now().Add(t.Limit)
	for i := range n {
		if _, err := l.nextAck(); err != nil || time.Now().After(by) {
			t.Hint("GETACK was not answered: that is REPLCONF in the stream, and the one thing that gets an answer, REPLCONF ACK <offset>").
				Fail(fmt.Sprintf("REPLCONF ACK <offset>, %d times, for so many REPLCONF GETACK *", n), fmt.Sprintf("%d of them in %v", i, t.Limit))
		}
	}
}

func getAck(t *check.T) {
	m := newFakeMaster(t)
	s := startFollower(t, m)
	l := m.accept(1000, emptyRDB, "")
	t.DialTo(s).Ask("+PONG\r\n", "PING")
	first := check.Commands("SELECT 0", "SET a 1")
	ask := check.Commands("REPLCONF GETACK *")
	l.send(first + ask)
	t.Hint("the offset is that of +FULLRESYNC, and behind each command of the stream its length in bytes is added; counting the current GETACK " +
		"is too much: answer, then add its 37")
	ackIs(t, l, 1000+len(first))
	t.Hint("a GETACK is a part of the stream as well: its 37 bytes are added when it has been answered, and PING counts, too")
	l.send(ask)
	ackIs(t, l, 1000+len(first)+len(ask))
	l.send(check.Commands("PING") + ask)
	counted := 1000 + len(first) + 2*len(ask) + len(check.Commands("PING"))
	ackIs(t, l, counted)
	t.Hint("MULTI and EXEC change nothing, and their bytes are counted all the same: every command of the stream is (piece 9)")
	transaction := check.Commands("MULTI", "SET a 2", "EXEC")
	l.send(transaction + ask)
	ackIs(t, l, counted+len(ask)+len(transaction))
}

// ackIs expects want as the offset acknowledged at once, before an unasked ACK (they come once a
// second) can have counted the GETACK itself.
func ackIs(t *check.T, l *link, want int) {
	if got := l.ack(strconv.Itoa(want)); got != strconv.Itoa(want) {
		t.Fail(fmt.Sprintf("REPLCONF ACK %d: the bytes before this GETACK, plus the offset of +FULLRESYNC", want), "REPLCONF ACK "+got)
	}
}

func masterExpires(t *check.T) {
	m := newFakeMaster(t)
	s := startFollower(t, m)
	at := strconv.FormatInt(time.Now().Add(200*time.Millisecond).UnixMilli(), 10)
	later := strconv.FormatInt(time.Now().Add(time.Hour).UnixMilli(), 10)
	l := m.accept(0, emptyRDB, check.Commands("SELECT 0", "SET short 41 PXAT "+at, "SET there 1"))
	c := t.DialTo(s)
	eventually(c.Hint("the commands of the stream must be executed"), "1", "GET", "there")
	t.Sleep(500 * time.Millisecond)
	c.Hint("a replica hides what has expired").Ask("$-1\r\n", "GET", "short")
	t.Hint("a replica that expires by itself changes data its master did not change: the master's clock decides, and here it gave the key more time")
	l.send(check.Commands("PEXPIREAT short " + later))
	eventually(c, "41", "GET", "short")
	l.send(check.Commands("DEL short"))
	eventually(c, "(nil)", "GET", "short")
}

func oldDataGoes(t *check.T) {
	m := newFakeMaster(t)
	s := startFollower(t, m)
	l := m.accept(0, rdbWith("old", "data"), "")
	c := t.DialTo(s)
	loaded(t, s, l, c)
	l.c.Close()
	m.accept(0, rdbWith("new", "data"), "")
	eventually(c, "data", "GET", "new")
	c.Hint("the snapshot is the whole truth: drop the old keyspace before you load it").Ask("$-1\r\n", "GET", "old")
}

// loaded waits until the server has the snapshot that l sent, in which old is data. If it does not come, something
// else may be wrong than its loading.
func loaded(t *check.T, s *process.Server, l *link, c *check.Conn) {
	check.Explained(func() {
		eventually(c.Hint("the snapshot behind $<length> must be loaded"), "data", "GET", "old")
	}, func(got string) string {
		if check.Silent(got) && s.Alive() && !t.AnswersOthers(s) {
			return "since the snapshot came nobody gets an answer: followOnce takes the lock to exchange the two stores, and must release it before applyStream (piece 7)"
		}
		if got != "(nil)" {
			return ""
		}
		l.send("\r\n") // is that what it waits for?
		for range 20 {
			if check.Text(c.Do("GET", "old")) == "data" {
				return "the server waited for two bytes more, and loaded the snapshot when they came: it has exactly $<length> bytes, and no line end behind it (piece 7)"
			}
			time.Sleep(50 * time.Millisecond)
		}
		return ""
	})
}

func reconnects(t *check.T) {
	m, open := lateMaster(t)
	s := startFollower(t, m)
	t.Sleep(100 * time.Millisecond)
	open()
	for i := range 3 {
		l := m.accept(0, rdbWith("round", strconv.Itoa(i)), "")
		eventually(t.DialTo(s).Hint("the snapshot behind $<length> must be loaded"), strconv.Itoa(i), "GET", "round")
		l.c.Close()
	}
}

func readOnly(t *check.T) {
	m := newFakeMaster(t)
	s := startFollower(t, m)
	m.accept(0, rdbWith("k", "v"), "")
	c := t.DialTo(s)
	eventually(c.Hint("the snapshot behind $<length> must be loaded"), "v", "GET", "k")
	t.Hint("-READONLY You can't write against a read only replica. The master's own writes come by the link and are not asked")
	for _, cmd := range []string{"SET k w", "DEL k", "INCR n", "EXPIRE k 100", "PERSIST k", "FLUSHALL"} {
		c.Ask(check.Err("READONLY You can't write against a read only replica."), strings.Fields(cmd)...)
	}
	c.Ask(check.Bulk("v"), "GET", "k")
	t.Hint("a replica is read by many: only changes are refused").DialTo(s).Ask("+PONG\r\n", "PING").Ask(":1\r\n", "DBSIZE").Ask(":-1\r\n", "TTL", "k")
}
