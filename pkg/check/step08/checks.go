// Package step08 holds the checks of step 08 and of its exercises: a snapshot, the stream of what changed since, and
// an offset that counts its bytes. Here are the master's checks; the replica's are in follow.go.
package step08

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
	"byor/pkg/check/trace"
	"byor/pkg/resp"
)

func init() {
	const build, wire = "Build it", "On the wire"
	check.Register(8, 0,
		check.Check{Name: "pending-output", After: 1, What: "PSYNC is refused while another answer is still to be sent", Run: pendingOutput, Guide: wire,
			Hint: "PSYNC came in one packet with PING, before the answer to that was read: refuse it (basics.ErrPendingOutput) as long as c.W is not empty"},
		check.Check{Name: "handshake", After: 3, What: "PING, REPLCONF and PSYNC get the answers a replica waits for", Run: handshake, Guide: wire,
			Hint: "+PONG, +OK, +OK, then +FULLRESYNC <40 hex digits> <offset>, and $<length> with the snapshot"},
		check.Check{Name: "own-id", After: 3, What: "the replication ID is one's own, and the same for all replicas", Run: ownID, Own: true, Guide: wire,
			Hint: "the ID names one history of changes. Make it at random when the server starts, or an offset of another server's history is taken for one of ours"},
		check.Check{Name: "no-file-stays", After: 3, What: "the snapshot's temporary file is removed", Run: noFileStays, Own: true, Guide: build,
			Hint: "a temporary file stays in the directory after each snapshot: defer file.Close() when you have it, since Close removes it"},
		check.Check{Name: "snapshot-frame", After: 4, What: "no line end follows the snapshot, the stream does at once", Run: snapshotFrame, Guide: wire,
			Hint: "expecting CRLF after the RDB: send $<length>\\r\\n and exactly that many bytes; unlike a bulk string nothing comes behind it"},
		check.Check{Name: "stream", After: 4, What: "each change reaches the replica as a command", Run: streamCommands, Guide: build,
			Hint: "the stream has what the append-only file gets, too: SELECT 0 first, then effects only, with absolute deadlines"},
		check.Check{Name: "stream-offset", After: 4, What: "the offset counts the stream's bytes", Run: streamOffset,
			Hint: "the offset is the number of bytes sent behind the snapshot, all of them, added to the offset in +FULLRESYNC"},
		check.Check{Name: "two-replicas", After: 4, What: "each replica gets the whole stream, and SELECT first", Run: twoReplicas,
			Hint: "a new listener does not know which database the stream is in: begin with SELECT again whenever one joins"},
		check.Check{Name: "slow-replica", After: 4, What: "a replica that does not read delays nobody", Run: slowReplica, Slow: 3,
			Hint: "a Write to a replica waits when its socket is full: under the lock only put the bytes into a queue, and write (the snapshot, too) without the lock"},
		check.Check{Name: "no-gap", After: 4, What: "a replica that attaches under writes misses none", Run: noGap, Slow: 3,
			Hint: "a gap between snapshot and registration: take the copy and enter the replica in the list under one lock, or writes between the two are lost"},
		check.Check{Name: "ack-unanswered", After: 5, What: "an ACK gets no answer", Run: ackUnanswered, Guide: build,
			Hint: "an answer to REPLCONF ACK stands in the middle of the stream, where the replica expects commands: answer nothing"},
		check.Check{Name: "redis-follows", After: 5, What: "a real redis-server follows and has the same data", Run: redisFollows, Own: true, Slow: 4, Guide: "How real Redis does it",
			Hint: "the same question as no-gap's, by a stricter reader: each change is in the snapshot or in the stream, once, and whole"},
	)
}

const noAnswerYet = "PSYNC is answered by +FULLRESYNC <40 hex digits> <offset>, then $<length> and the snapshot: write that first"

var fullResync = regexp.MustCompile(`^FULLRESYNC ([0-9a-f]{40}) (\d+)$`)

// Replica is the checker as a replica of the server under test.
type Replica struct {
	*check.Conn
	id     string // of +FULLRESYNC
	Offset int64  // of +FULLRESYNC
	rdb    []byte
	heard  bool // something of the stream has come
}

// Attach makes the handshake with s and reads the snapshot.
func Attach(t *check.T, s *process.Server) *Replica {
	c := t.DialTo(s).Ask("+PONG\r\n", "PING").Ask("+OK\r\n", "REPLCONF", "listening-port", "7878").
		Ask("+OK\r\n", "REPLCONF", "capa", "psync2").Cmd("PSYNC", "?", "-1")
	defer t.Hint("%s", t.Hinted())
	t.Hint(noAnswerYet)
	r := &Replica{Conn: c}
	check.Explained(func() {
		const want = "+FULLRESYNC <40 hex digits> <offset>"
		line := skipLine(c, want)
		m := fullResync.FindStringSubmatch(line)
		t.Require(m != nil, want, "%q", line)
		r.id = m[1]
		r.Offset, _ = strconv.ParseInt(m[2], 10, 64)
		head := skipLine(c, "$<length of the snapshot>")
		n, err := strconv.Atoi(strings.TrimPrefix(head, "$"))
		t.Require(err == nil && n > 0, "$<length of the snapshot>", "%q", head)
		snapshot(t, r, n)
	}, func(got string) string {
		if r.id == "" && check.Silent(got) && s.Alive() && !t.AnswersOthers(s) {
			return "since PSYNC nobody gets an answer, not even to PING: the replica's goroutine has taken the lock and not given it back. Whatever way beginSync ends, it must release it (piece 2)"
		}
		if r.id == "" && strings.HasPrefix(got, `"*`) {
			return "the stream came before +FULLRESYNC: until the snapshot has been sent, put what changes into the replica's queue"
		}
		if check.Closed(got) && len(r.rdb) == 0 && r.id == "" {
			return "the server closed the link behind PSYNC: " + noAnswerYet + ". If it is written, the server's terminal says why (replica … is gone)"
		}
		return ""
	})
	return r
}

// snapshot reads the n bytes of the snapshot that r was promised.
func snapshot(t *check.T, r *Replica, n int) {
	check.Explained(func() { r.rdb = exactly(r.Conn, n) }, func(got string) string {
		switch {
		case len(r.In) == 0 && check.Silent(got):
			return "the length is there, and nothing follows. A file that was just written stands at its end: seek back to its beginning before you send it"
		case check.Silent(got):
			return fmt.Sprintf("$%d promises more bytes than come (%d): the length must be that of the snapshot itself", n, len(r.In))
		}
		return ""
	})
	if r.rdb[0] == '*' {
		t.FailWith(check.Failure{Want: `a snapshot that opens with "REDIS00"`, Got: trace.Visible(r.rdb, 100), Seen: true,
			Hint: "the stream follows the length, and no snapshot. A file that was just written stands at its end: seek back to its beginning before you send it"})
	}
}

// skipLine returns the next line that is not a keep-alive, without a leading + and its end.
func skipLine(c *check.Conn, want string) string {
	by := c.T.Deadline(2 * c.T.Limit)
	for {
		for i := bytes.IndexByte(c.In, '\n'); i >= 0; i = bytes.IndexByte(c.In, '\n') {
			line, whole := strings.CutSuffix(string(c.In[:i]), "\r")
			if line == "" {
				c.In = c.In[i+1:]
				continue
			}
			if !whole {
				c.T.FailWith(check.Failure{Sent: c.Sent, Want: `a line with \r\n at its end`, Got: trace.Visible(c.In[:i+1], 100), Seen: true,
					Hint: `a bare \n is a keep-alive's end. The lines of +FULLRESYNC and of $<length> end with \r\n, as all lines do: a real replica cuts two bytes off`})
			}
			c.Done(i + 1)
			return strings.TrimPrefix(line, "+")
		}
		if err := c.Fill(by); err != nil {
			c.Got = append(c.Got, c.In...)
			c.T.FailWith(check.Failure{Sent: c.Sent, Want: want, Got: c.GotText(err)})
		}
	}
}

// exactly returns the next n bytes.
func exactly(c *check.Conn, n int) []byte {
	by := c.T.Deadline(2 * c.T.Limit)
	for len(c.In) < n {
		if err := c.Fill(by); err != nil {
			c.Got = append(c.Got, c.In...)
			c.T.FailWith(check.Failure{Want: fmt.Sprintf("%d bytes", n), Got: c.GotText(err)})
		}
	}
	b := append([]byte{}, c.In[:n]...)
	c.Done(n)
	return b
}

// Next returns the next command of the stream and its length in bytes. A real master's own PING is passed over,
// but counted.
func (r *Replica) Next() (cmd []string, size int) {
	for {
		v := r.value(&size)
		cmd = cmd[:0]
		for _, e := range v.Elems {
			cmd = append(cmd, check.Text(e))
		}
		if len(cmd) == 0 {
			r.T.Fail("a command as an array", trace.Visible([]byte(check.Text(v)), 100))
		}
		if !strings.EqualFold(cmd[0], "PING") {
			return cmd, size
		}
	}
}

// value is streamValue with a hint of its own as long as nothing has come at all.
func (r *Replica) value(size *int) resp.Value {
	if !r.heard {
		defer r.T.Hint("%s", r.T.Hinted())
		r.T.Hint("nothing comes behind the snapshot: hand out each effect to all replicas, from the moment of the snapshot on")
	}
	v := streamValue(r.Conn, size)
	r.heard = true
	return v
}

// streamValue reads one value and adds its length to size; bare line ends are keep-alives.
func streamValue(c *check.Conn, size *int) resp.Value {
	for {
		for len(c.In) > 0 && c.In[0] == '\n' {
			c.In = c.In[1:]
		}
		if len(c.In) > 0 {
			src := bytes.NewReader(c.In)
			rd := resp.NewReader(src)
			if v, err := rd.ReadValue(); err == nil {
				n := len(c.In) - src.Len() - rd.Buffered()
				c.In = c.In[n:]
				*size += n
				return v
			}
		}
		if err := c.Fill(c.T.Deadline(2 * c.T.Limit)); err != nil {
			c.Got = append(c.Got, c.In...)
			c.T.FailWith(check.Failure{Sent: c.Sent, Want: "the next command of the stream", Got: c.GotText(err)})
		}
	}
}

func pendingOutput(t *check.T) {
	c := t.Dial().Send(check.Commands("PING", "PSYNC ? -1")).Expect("+PONG\r\n")
	c.Expect(check.Err("ERR SYNC and PSYNC are invalid with pending output"))
}

// noFileStays looks at the server's directory when the snapshot has come.
func noFileStays(t *check.T) {
	dir := t.TempDir()
	s := t.Start(process.Options{Dir: dir})
	check.Explained(func() { t.DialTo(s).Ask("+OK\r\n", "SET", "k", "v") }, func(got string) string {
		if strings.Contains(got, "READONLY") {
			return "this server follows nobody, so its clients may write: READONLY is for a server that has a master, s.master != \"\" (piece 10)"
		}
		return ""
	})
	Attach(t, s)
	t.Until(t.Limit, "no temporary file is left when the snapshot has been sent", func() (bool, string) {
		files, err := filepath.Glob(filepath.Join(dir, "temp-*"))
		return err == nil && len(files) == 0, fmt.Sprint(files)
	})
}

func handshake(t *check.T) {
	r := Attach(t, t.Server())
	t.Require(bytes.HasPrefix(r.rdb, []byte("REDIS00")), `a snapshot that opens with "REDIS00"`, "%s", trace.Visible(r.rdb, 100))
	t.Hint("a replica that asks for another history, or for more of ours than we remember, gets +FULLRESYNC and everything")
	c := t.Dial().Ask("+OK\r\n", "REPLCONF", "capa", "psync2").Cmd("PSYNC", fakeID, "1")
	line := skipLine(c, "+FULLRESYNC <40 hex digits> <offset>")
	t.Require(fullResync.MatchString(line), "+FULLRESYNC <40 hex digits> <offset>", "%q", line)
}

func snapshotFrame(t *check.T) {
	s := t.Alone()
	r := Attach(t, s)
	k := t.Key("k")
	t.DialTo(s).Ask("+OK\r\n", "SET", k, "v")
	by := t.Deadline(t.Limit)
	for len(r.In) == 0 {
		if err := r.Fill(by); err != nil {
			t.Hint("nothing comes behind the snapshot: hand out each effect to all replicas").Fail("the stream", r.GotText(err))
		}
	}
	for len(r.In) > 0 && r.In[0] == '\n' { // a keep-alive of a real master
		r.In = r.In[1:]
	}
	t.Require(len(r.In) == 0 || r.In[0] == '*', "a command, from its * on, right behind the snapshot", "%s", trace.Visible(r.In, 100))
}

func streamCommands(t *check.T) {
	s := t.Alone()
	r := Attach(t, s)
	c, k, d := t.DialTo(s), t.Key("k"), t.Key("d")
	now := time.Now().UnixMilli()
	c.Ask("+OK\r\n", "SET", k, "1").Ask(":2\r\n", "INCR", k).Ask(check.Bulk("2"), "GET", k).Ask(":0\r\n", "DEL", t.Key("none")).
		Ask("+OK\r\n", "SET", d, "v", "EX", "100").Ask(":1\r\n", "DEL", k)
	first, _ := r.Next()
	t.Require(strings.EqualFold(first[0], "SELECT") && first[1] == "0", "SELECT 0", "%q", first)
	for _, want := range [][]string{{"SET", k, "1"}, {"INCR", k}} {
		got, _ := r.Next()
		ok := strings.EqualFold(strings.Join(got, " "), strings.Join(want, " ")) ||
			want[0] == "INCR" && strings.EqualFold(strings.Join(got, " "), "SET "+k+" 2")
		t.Require(ok, fmt.Sprintf("%q", want), "%q", got)
	}
	got, _ := r.Next()
	at, err := strconv.ParseInt(got[len(got)-1], 10, 64)
	t.Require(got[1] == d && err == nil && at > now+90_000 && at < now+110_000, "SET "+d+" v PXAT <Unix milliseconds>", "%q", got)
	got, _ = r.Next()
	t.Require(strings.EqualFold(got[0], "DEL") && got[1] == k, "DEL "+k, "%q", got)
	streamMore(t, r, c, k)
}

// streamMore asks for what is easily forgotten in the stream: other databases, deadlines that are
// given later, what expires, and messages.
func streamMore(t *check.T, r *Replica, c *check.Conn, k string) {
	t.Hint("a change in another database is sent behind a SELECT of that database")
	c.Ask("+OK\r\n", "SELECT", "1").Ask("+OK\r\n", "SET", k, "1")
	r.streamIs("SELECT", "1")
	r.streamIs("SET", k, "1")
	t.Hint("EXPIRE is sent as PEXPIREAT, with the moment in Unix milliseconds: the replica gets it later")
	now := time.Now().UnixMilli()
	c.Ask(":1\r\n", "EXPIRE", k, "100")
	got, _ := r.Next()
	t.Require(len(got) == 3 && strings.EqualFold(got[0], "PEXPIREAT") && got[1] == k, "PEXPIREAT "+k+" <Unix milliseconds>", "%q", got)
	at, err := strconv.ParseInt(got[2], 10, 64)
	t.Require(err == nil && at > now+90_000 && at < now+110_000, "a moment in 100 seconds, in Unix milliseconds", "%q", got)
	t.Hint("replicas do not delete what has expired, they wait for the master's DEL: send it when a key's time is over")
	c.Ask(":1\r\n", "PEXPIRE", k, "20")
	got, _ = r.Next()
	t.Require(strings.EqualFold(got[0], "PEXPIREAT"), "PEXPIREAT "+k+" <Unix milliseconds>", "%q", got)
	eventually(c, "(nil)", "GET", k)
	got, _ = r.Next()
	t.Require(len(got) == 2 && (strings.EqualFold(got[0], "DEL") || strings.EqualFold(got[0], "UNLINK")) && got[1] == k, "DEL "+k, "%q", got)
	t.Hint("PUBLISH is sent, too, for the subscribers of the replicas")
	c.Ask(":0\r\n", "PUBLISH", "channel", "message")
	r.streamIs("PUBLISH", "channel", "message")
}

func streamOffset(t *check.T) {
	s := t.Alone()
	r := Attach(t, s)
	c, k := t.DialTo(s), t.Key("k")
	c.Ask("+OK\r\n", "SET", k, "v")
	total := 0
	for {
		cmd, n := r.Next()
		total += n
		if len(cmd) > 1 && cmd[1] == k {
			break
		}
	}
	second := Attach(t, s)
	pings := second.Offset - r.Offset - int64(total) // 14 bytes each, should the ten seconds be over just now
	t.Require(pings == 0 || pings == 14 || pings == 28, fmt.Sprintf("a second replica's +FULLRESYNC offset is %d (%d + %d bytes of stream)",
		r.Offset+int64(total), r.Offset, total), "%d", second.Offset)
	r.Reset()
	second.Reset()
	missed := 0
	for i := range 500 { // the server needs a moment to see that both have gone
		v := strconv.Itoa(i)
		c.Ask("+OK\r\n", "SET", k, v)
		missed += len(resp.AppendCommandStrings(nil, "SET", k, v))
	}
	counted := Attach(t, s).Offset - second.Offset
	t.Hint("the offset grows also while nobody listens: feed counts first, and looks for replicas then (piece 4)").
		Require(counted >= int64(missed), fmt.Sprintf("the next +FULLRESYNC offset is greater by %d bytes of changes, or more", missed), "by %d", counted)
}

// noGap attaches replicas while counters run: snapshot and stream together must make the data.
func noGap(t *check.T) {
	s := t.Server()
	base := t.Key("gap")
	anchor := Attach(t, s) // nothing happens yet, so its offset is beyond doubt
	var stop atomic.Bool
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() { recover() }() // the reader below reports
			c := t.DialTo(s)
			for i := 0; !stop.Load(); i++ {
				var in []byte
				for j := range 50 {
					in = resp.AppendCommandStrings(in, append([]string{"SET"}, gapWrite(base, w, i*50+j)...)...)
				}
				c.Send(string(in))
				for range 50 {
					c.Reply()
				}
				time.Sleep(time.Millisecond)
			}
		}()
	}
	defer wg.Wait()
	defer stop.Store(true)
	t.Sleep(30 * time.Millisecond)
	for range 5 {
		r := Attach(t, s)
		joined(t, r, base)
		r.Close()
	}
	late := Attach(t, s)
	stop.Store(true)
	wg.Wait()
	end := t.Key("end")
	t.DialTo(s).Ask("+OK\r\n", "SET", end, "v")
	t.Hint("the offset in +FULLRESYNC must be that of the very moment of the snapshot: take the copy, the list and the offset under one lock")
	a, b := anchor.Offset+anchor.sizeUntil(end), late.Offset+late.sizeUntil(end)
	t.Require(a == b, fmt.Sprintf("the offset %d, where a replica is that attached before", a), "%d", b)
}

// sizeUntil reads the stream until key is changed and returns how many bytes that were.
func (r *Replica) sizeUntil(key string) (total int64) {
	for {
		cmd, n := r.Next()
		total += int64(n)
		if len(cmd) > 1 && cmd[1] == key {
			return total
		}
	}
}

// gapWrite returns key and value of the i-th write of noGap's client w. There are few keys, so that the snapshot stays
// small however long it takes.
func gapWrite(base string, w, i int) []string {
	return []string{fmt.Sprintf("%s:%d:%d", base, w, i%300), fmt.Sprint("v", i)}
}

// joined expects each of noGap's writes in the snapshot or in the stream.
func joined(t *check.T, r *Replica, base string) {
	inSnapshot := func(w, i int) bool {
		kv := gapWrite(base, w, i)
		return bytes.Contains(r.rdb, append([]byte(kv[0]), string(rune(len(kv[1])))+kv[1]...))
	}
	seen := [4]int{-1, -1, -1, -1}
	for n := 0; n < 400; {
		cmd, _ := r.Next()
		if len(cmd) < 3 || !strings.HasPrefix(cmd[1], base+":") {
			continue
		}
		n++
		client, _, _ := strings.Cut(strings.TrimPrefix(cmd[1], base+":"), ":")
		w, _ := strconv.Atoi(client)
		i, _ := strconv.Atoi(strings.TrimPrefix(cmd[2], "v"))
		t.Require(!inSnapshot(w, i), fmt.Sprintf("write %d of client %d in the stream only, or an INCR would be made twice", i, w),
			"it is in the snapshot as well")
		if seen[w] < 0 && i > 0 { // the first of this writer: the one before is in the snapshot
			t.Require(inSnapshot(w, i-1), fmt.Sprintf("write %d of client %d in the snapshot, since the stream begins with the next", i-1, w),
				"it is in neither")
		} else if seen[w] >= 0 {
			t.Require(i == seen[w]+1, fmt.Sprintf("write %d of client %d", seen[w]+1, w), "write %d", i)
		}
		seen[w] = i
	}
}
