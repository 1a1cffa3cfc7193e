package step08

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
)

// Step 08 beside a real redis-server, which is once the replica and once the master.

// sameData waits until b answers for all keys of a's as a does.
func sameData(t *check.T, a, b *process.Server, keys int) {
	ca, cb := t.DialTo(a), t.DialTo(b)
	want := make([]string, keys)
	for i := range keys {
		want[i] = check.Text(ca.Do("GET", fmt.Sprint("k", i)))
	}
	t.Until(3*t.Limit, "the replica has the master's data", func() (bool, string) {
		for i := range keys {
			if got := check.Text(cb.Do("GET", fmt.Sprint("k", i))); got != want[i] {
				return false, fmt.Sprintf("k%d is %q on the master and %q on the replica", i, want[i], got)
			}
		}
		return true, ""
	})
}

// writeWhile sets k0 … k(keys-1) again and again from several clients until f returns.
func writeWhile(t *check.T, s *process.Server, keys int, f func()) {
	var stop atomic.Bool
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() { recover() }() // sameData reports
			c := t.DialTo(s)
			for i := w; !stop.Load(); i++ {
				k := fmt.Sprint("k", i%keys)
				switch i % 7 {
				case 3:
					c.Do("DEL", k)
				case 5:
					c.Do("SET", k, strconv.Itoa(i), "EX", "1000")
				default:
					c.Do("SET", k, fmt.Sprintf("%d\r\n%d", w, i))
				}
			}
		}()
	}
	defer wg.Wait()
	defer stop.Store(true)
	f()
}

func linkUp(t *check.T, s *process.Server) {
	c := t.DialTo(s)
	t.Until(3*t.Limit, "redis-server's link to the step is up", func() (bool, string) {
		info := check.Text(c.Do("INFO", "replication"))
		return strings.Contains(info, "master_link_status:up"), info
	})
}

func redisFollows(t *check.T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s)
	for i := range 100 {
		c.Ask("+OK\r\n", "SET", fmt.Sprint("k", i), "before")
	}
	Attach(t, s).Close() // says it better, if nothing is there yet
	hint := t.Hinted()
	var r *process.Server
	writeWhile(t, s, 100, func() {
		r = t.Redis(process.Options{ReplicaOf: s.Addr})
		t.Hint("redis-server is a stricter reader than the checks above: +PONG, +OK, +OK, +FULLRESYNC, then $<length> and a snapshot that it can load")
		linkUp(t, r)
		t.Hint("redis-server takes all that comes behind the snapshot for the stream, and that is RESP arrays only: its REPLCONF ACK, too, must not be answered")
		link := masterLink(t, r)
		t.Sleep(1200 * time.Millisecond) // an ACK is sent meanwhile
		linkUp(t, r)
		t.Require(link != " " && masterLink(t, r) == link, "one link, and one snapshot", "redis-server has ended the link and begun again: something in the stream is no command")
	})
	t.Hint("%s", hint)
	sameData(t, s, r, 100)
}

// masterLink returns the number that a real replica has given to the link to its master, and its
// state: one that is to be closed lives for a second yet.
func masterLink(t *check.T, r *process.Server) string {
	list := check.Text(t.DialTo(r).Do("CLIENT", "LIST", "TYPE", "master"))
	id, _, _ := strings.Cut(list, " ")
	_, flags, _ := strings.Cut(list, " flags=")
	flags, _, _ = strings.Cut(flags, " ")
	return id + " " + flags
}

func followsRedis(t *check.T) {
	m := t.Redis(process.Options{})
	c := t.DialTo(m)
	for i := range 100 {
		c.Ask("+OK\r\n", "SET", fmt.Sprint("k", i), "before")
	}
	var s *process.Server
	writeWhile(t, m, 100, func() {
		s = t.Start(process.Options{ReplicaOf: m.Addr})
		rc, hint := t.DialTo(s), t.Hinted()
		t.Until(4*t.Limit, "the replica has its first keys", func() (bool, string) {
			if t.Hint("%s", hint); strings.Contains(check.Text(c.Do("INFO", "stats")), "sync_full:0\r") {
				t.Hint("nobody has asked redis-server for a snapshot yet (PSYNC): mend follower-handshake first")
			}
			v := rc.Do("EXISTS", "k0", "k1", "k2", "k8", "k9", "k10")
			return v.Int > 0, check.Text(v)
		})
		t.Sleep(200 * time.Millisecond)
	})
	t.Hint("the snapshot is there; now the commands of the stream must be executed, all of them, in their order (see stream-in-one-read and stream-commands)")
	sameData(t, m, s, 100)
}
