//go:build unix

package server

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// Twenty clients write pairs of keys in transactions and scripts, and the server is killed at random moments, as
// with kill -9. Then every transaction that was acknowledged must be there, whole; those that were not
// may be there, whole as well. The short form runs with the other tests:
//
//	go test ./pkg/server -run TestTorture -torture    (make torture)
//
// is the long one.
var torture = flag.Bool("torture", false, "run the long form of TestTorture")

const tortureClients = 20

// tortureMode is what else the server does meanwhile.
type tortureMode struct {
	name    string
	policy  string
	beside  []string // commands sent over and over again
	kills   int      // of the short form
	options []string
	long    struct{ kills, transactions int } // of the long form, at least
}

func tortureModes() []tortureMode {
	type amount = struct{ kills, transactions int }
	return []tortureMode{
		{name: "always", policy: "always", kills: 2, long: amount{20, 100_000}},
		{name: "always, goroutines", policy: "always", kills: 1, options: []string{"--io-threads", "0"}, long: amount{10, 30_000}},
		{name: "always, BGREWRITEAOF", policy: "always", kills: 2, beside: []string{"BGREWRITEAOF"}, long: amount{20, 50_000}},
		{name: "always, BGREWRITEAOF into commands", policy: "always", kills: 1, beside: []string{"BGREWRITEAOF"},
			options: []string{"--aof-use-rdb-preamble", "no"}, long: amount{10, 20_000}},
		{name: "always, BGSAVE", policy: "always", kills: 1, beside: []string{"BGSAVE"}, long: amount{10, 30_000}},
		{name: "always, both", policy: "always", kills: 1, beside: []string{"BGSAVE SCHEDULE", "BGREWRITEAOF"}, long: amount{10, 30_000}},
		{name: "everysec", policy: "everysec", kills: 1, long: amount{10, 50_000}},
		{name: "no", policy: "no", kills: 1, beside: []string{"BGREWRITEAOF"}, long: amount{10, 50_000}},
	}
}

func TestTorture(t *testing.T) {
	t.Parallel()
	for _, mode := range tortureModes() {
		t.Run(mode.name, func(t *testing.T) {
			run := &tortureRun{t: t, mode: mode, dir: t.TempDir()}
			start := time.Now()
			for !run.enough() {
				run.round()
			}
			require.Positive(t, run.acked())
			if _, err := exec.LookPath("redis-server"); err == nil {
				run.verify(launchRedis(t, run.dir, "--appendonly", "yes"), run.done) // what we leave, Redis takes over
			}
			t.Logf("%s: %d kills, %d acknowledged transactions, 0 lost, 0 torn, %d not acknowledged but there, in %v",
				mode.name, run.kills, run.acked(), run.extra, time.Since(start).Round(time.Millisecond))
		})
	}
}

type tortureRun struct {
	t     *testing.T
	mode  tortureMode
	dir   string
	kills int
	extra int // transactions that were not acknowledged and are there all the same
	// done is per client how many transactions are known to be there; each goes on from here.
	done [tortureClients]int
}

func (r *tortureRun) acked() int {
	n := -r.extra
	for _, d := range r.done {
		n += d
	}
	return n
}

func (r *tortureRun) enough() bool {
	if !*torture { // a busy machine may not get to acknowledge anything before the first kill
		return r.kills >= r.mode.kills && (r.acked() > 0 || r.kills >= 20)
	}
	return r.kills >= r.mode.long.kills && r.acked() >= r.mode.long.transactions
}

// round starts the server, checks what it has loaded, lets the clients write for a while, and kills it.
func (r *tortureRun) round() {
	options := append([]string{"--appendonly", "yes", "--appendfsync", r.mode.policy, "--loglevel", "warning"}, r.mode.options...)
	p := launchOurs(r.t, r.dir, options...)
	var clients, beside sync.WaitGroup
	acked := r.done
	for i := range tortureClients {
		clients.Add(1)
		go func() {
			defer clients.Done()
			acked[i] = writePairs(p, i, r.done[i])
		}()
	}
	var stop atomic.Bool
	if len(r.mode.beside) > 0 {
		beside.Add(1)
		go func() {
			defer beside.Done()
			repeat(p, r.mode.beside, &stop)
		}()
	}
	least, most := 100*time.Millisecond, 300*time.Millisecond
	if *torture {
		least, most = 300*time.Millisecond, 1200*time.Millisecond
	}
	time.Sleep(least + rand.N(most-least)) // the moment of the kill is what is random here
	p.kill()
	stop.Store(true)
	clients.Wait()
	beside.Wait()
	r.kills++
	r.verify(launchOurs(r.t, r.dir, options...), acked)
}

// writePairs sends transactions, one at a time, until the connection breaks, and returns the number of the
// last that was acknowledged. Transaction n of client i appends n to the list l:i and sets k:i:n.
func writePairs(p *process, i, n int) (acked int) {
	conn, err := net.Dial("unix", p.sock)
	if err != nil {
		return n
	}
	defer conn.Close()
	rd := resp.NewReader(conn)
	for {
		key, value := fmt.Sprintf("k:%d:%d", i, n+1), strconv.Itoa(n+1)
		b, replies := pair(n, key, "l:"+strconv.Itoa(i), value)
		if _, err := conn.Write(b); err != nil {
			return n
		}
		for reply := range replies {
			v, err := rd.ReadValue()
			if err != nil {
				return n
			}
			if reply == replies-1 && (len(v.Elems) != 2 || v.Elems[0].IsError() || v.Elems[1].Int != int64(n+1)) {
				p.t.Errorf("client %d, transaction %d: %s", i, n+1, show(v))
				return n
			}
		}
		n++
	}
}

// pair returns a transaction, every other time in the form of a script, and how many replies it has.
func pair(n int, key, list, value string) (b []byte, replies int) {
	if n%2 == 0 {
		const script = "return {redis.call('set', KEYS[1], ARGV[1]), redis.call('rpush', KEYS[2], ARGV[1])}"
		return resp.AppendCommandStrings(nil, "EVAL", script, "2", key, list, value), 1
	}
	b = resp.AppendCommandStrings(nil, "MULTI")
	b = resp.AppendCommandStrings(b, "SET", key, value)
	b = resp.AppendCommandStrings(b, "RPUSH", list, value)
	return resp.AppendCommandStrings(b, "EXEC"), 4
}

// repeat sends commands whatever the replies, until the connection breaks.
func repeat(p *process, commands []string, stop *atomic.Bool) {
	conn, err := net.Dial("unix", p.sock)
	if err != nil {
		return
	}
	defer conn.Close()
	rd := resp.NewReader(conn)
	for i := 0; !stop.Load(); i++ {
		if _, err := fmt.Fprintf(conn, "%s\r\n", commands[i%len(commands)]); err != nil {
			return
		}
		if _, err := rd.ReadValue(); err != nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// verify requires that all that was acknowledged is there, that nothing is torn, and nothing there twice.
func (r *tortureRun) verify(p *process, acked [tortureClients]int) {
	t, c := r.t, p.dial()
	keys := 0
	for i := range tortureClients {
		list := c.do(fmt.Sprintf("LRANGE l:%d 0 -1", i)).Elems
		there := len(list)
		require.GreaterOrEqual(t, there, acked[i], "client %d: acknowledged and lost", i)
		require.LessOrEqual(t, there, acked[i]+1, "client %d: more than were sent", i)
		r.extra += there - acked[i]
		for n, v := range list {
			require.Equal(t, strconv.Itoa(n+1), string(v.Str), "client %d", i)
		}
		for from := 1; from <= there; from += 1000 {
			to := min(from+999, there)
			args := []string{"MGET"}
			for n := from; n <= to; n++ {
				args = append(args, fmt.Sprintf("k:%d:%d", i, n))
			}
			c.send(args...)
			for k, v := range c.read().Elems {
				require.Equal(t, strconv.Itoa(from+k), string(v.Str), "client %d: a torn transaction", i)
			}
		}
		if keys += there; there > 0 {
			keys++
		}
		r.done[i] = there
	}
	c.want("DBSIZE", fmt.Sprintf(":%d", keys)) // a key without its element is torn, too
	p.kill()
}
