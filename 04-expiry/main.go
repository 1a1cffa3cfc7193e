// Step 04: keys that die. EXPIRE, TTL and SET's EX and PX, over the server of step 03.
//
// A key gets a deadline: an instant, not a number of seconds that somebody would have to count
// down. Two mechanisms then delete it, and it takes both. Lazy: whoever looks a key up compares its
// deadline with the clock first, so no client ever sees a dead key. Active: a sweeper looks at a
// few keys ten times a second, so that keys which nobody asks for again give their memory back.
//
// The tempting third way, a timer for each key, costs more than most values, and an old timer
// would kill a new value of the same name.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"byor/pkg/resp"
	"byor/pkg/version"
)

const (
	maxReplies = 64 << 10 // bytes of replies that may pile up before they are sent

	// The sweeper's numbers are Redis's, but for the last, which is a time there.
	sweepEvery  = 100 * time.Millisecond
	sweepSample = 20   // keys looked at while the lock is held once
	sweepRounds = 1000 // samples in a row at most, as long as more than a tenth had expired
)

// command is what the server knows about a command: the number of arguments, counted with the
// name (negative for "at least"), and the function.
type command struct {
	arity int
	run   func(c *client, args [][]byte)
}

// commands is the dispatch table; names are in lower case.
var commands = map[string]command{
	"ping": {-1, ping}, "echo": {2, echo}, "quit": {-1, quit}, "command": {-1, commandDocs},
	"get": {2, get}, "set": {-3, set}, "del": {-2, del}, "exists": {-2, exists}, "incr": {2, incr},
	// region: the new commands
	"expire": {-3, expire(1000)}, "pexpire": {-3, expire(1)},
	"ttl": {2, ttl(1000)}, "pttl": {2, ttl(1)},
	"persist": {2, persist}, "dbsize": {1, dbsize},
	// endregion
}

// keyspace is the data. It has no lock of its own: the server's lock protects it.
type keyspace struct {
	data map[string]string
	// deadlines holds an instant, in Unix milliseconds, for each key of data that has one, and for
	// no other. Most keys have none, and the sweeper need not look at those.
	deadlines map[string]int64
	clock     func() int64 // the time in Unix milliseconds; tests have their own
	now       int64        // the clock, read once for each command

	walk func() (key string, more bool) // the sweeper's way through deadlines; nil at the start
}

// server is what all connections share. It is safe for concurrent use.
type server struct {
	trace  io.Writer     // where -trace prints; nil for silence
	lastID atomic.Uint64 // number of the newest connection
	mu     sync.Mutex    // protects keys, for the length of one command or one sample
	keys   *keyspace
}

// client is one connection. Only its own goroutine uses it.
type client struct {
	srv     *server
	w       *resp.Writer // replies are appended here and leave when the batch is done
	closing bool         // set by QUIT
}

// execute runs one command and appends its reply, as in step 03.
func (c *client) execute(args [][]byte) {
	name := strings.ToLower(string(args[0]))
	cmd, ok := commands[name]
	if !ok {
		c.w.Error(unknownCommand(args))
		return
	}
	if n := len(args); n != cmd.arity && (cmd.arity >= 0 || n < -cmd.arity) {
		c.wrongArity(name)
		return
	}
	// The sweeper takes the same lock. Between two commands it may delete, within one it cannot.
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	// region: freeze the clock
	// A command happens at one instant. Read twice, the clock could let a key live at the start of
	// a command and be dead at its end.
	c.srv.keys.now = c.srv.keys.clock()
	// endregion
	cmd.run(c, args)
}

func newKeyspace(clock func() int64) *keyspace {
	return &keyspace{data: map[string]string{}, deadlines: map[string]int64{}, clock: clock}
}

// expired reports whether key is past its deadline. Like Redis it lets the key live through the
// millisecond that the deadline names.
func (k *keyspace) expired(key string) bool {
	deadline, ok := k.deadlines[key]
	return ok && k.now > deadline
}

// lookup returns the value of key. Every command finds keys through it and none touches data
// itself, so that a dead key is dead for all of them: EXISTS, DEL and INCR as much as GET.
func (k *keyspace) lookup(key string) (value string, ok bool) {
	// region: lazy deletion
	// Deleting is a write, also when it is GET that does it. Under a read lock it would crash
	// the process; our caller holds the one lock there is.
	if k.expired(key) {
		k.remove(key)
	}
	// endregion
	value, ok = k.data[key]
	return value, ok
}

// remove deletes a key and its deadline. One without the other would be a leak, or worse: a
// deadline waiting for a new key of the same name.
func (k *keyspace) remove(key string) {
	delete(k.data, key)
	delete(k.deadlines, key)
}

// set answers SET key value [EX seconds | PX milliseconds].
func set(c *client, args [][]byte) {
	k, key, deadline := c.srv.keys, string(args[1]), int64(0)
	// region: EX and PX
	var unitMs int64 // of the time to live; 0 while there is none
	var amount []byte
	// First everything that can be wrong, then the change: a command does all or nothing.
	for i := 3; i < len(args); i += 2 {
		unit := map[string]int64{"ex": 1000, "px": 1}[strings.ToLower(string(args[i]))]
		if unit == 0 || i+1 == len(args) || unitMs != 0 && unitMs != unit {
			c.w.Error("ERR syntax error")
			return
		}
		unitMs, amount = unit, args[i+1]
	}
	if unitMs != 0 {
		n, ok := resp.ParseInt(amount)
		if !ok {
			c.w.Error("ERR value is not an integer or out of range")
			return
		}
		if deadline, ok = k.deadlineIn(n, unitMs); !ok || n <= 0 {
			c.w.Error("ERR invalid expire time in 'set' command")
			return
		}
	}
	// endregion
	k.remove(key) // the old value and, just as much, the old deadline
	k.data[key] = string(args[2])
	if deadline != 0 {
		k.deadlines[key] = deadline
	}
	c.w.OK()
}

// deadlineIn turns "n units from now" into an instant, which is all that is ever stored. ok is
// false if the sum does not fit, for the client chooses n.
func (k *keyspace) deadlineIn(n, unitMs int64) (deadline int64, ok bool) {
	if n > math.MaxInt64/unitMs || n < math.MinInt64/unitMs || n*unitMs > math.MaxInt64-k.now {
		return 0, false
	}
	return k.now + n*unitMs, true
}

// expire returns the handler of EXPIRE key seconds (unitMs 1000) and PEXPIRE key milliseconds (1):
// 1 if the key now has that deadline, 0 if there is no such key.
func expire(unitMs int64) func(*client, [][]byte) {
	return func(c *client, args [][]byte) {
		// region: EXPIRE
		k, key := c.srv.keys, string(args[1])
		if len(args) > 3 {
			c.w.Error("ERR Unsupported option " + string(args[3]))
			return
		}
		n, ok := resp.ParseInt(args[2])
		if !ok {
			c.w.Error("ERR value is not an integer or out of range")
			return
		}
		// In seconds, a number may fit into 64 bits and its milliseconds not.
		deadline, ok := k.deadlineIn(n, unitMs)
		if !ok {
			c.w.Error("ERR invalid expire time in '" + strings.ToLower(string(args[0])) + "' command")
			return
		}
		if _, ok := k.lookup(key); !ok {
			c.w.Int(0)
			return
		}
		// The reply is 1 either way: the client asked for an end, and an end it is.
		if deadline > k.now {
			k.deadlines[key] = deadline
		} else {
			k.remove(key) // EXPIRE key -1 is a way to say DEL
		}
		c.w.Int(1)
		// endregion
	}
}

// ttl returns the handler of TTL (unitMs 1000) and PTTL (1): the time left, rounded to the nearest
// unit, -1 for a key without a deadline and -2 for no key.
func ttl(unitMs int64) func(*client, [][]byte) {
	return func(c *client, args [][]byte) {
		// region: TTL
		k, key := c.srv.keys, string(args[1])
		// lookup first: it may take the key away, and then there is no deadline either.
		_, exists := k.lookup(key)
		deadline, mortal := k.deadlines[key]
		switch {
		case !exists:
			c.w.Int(-2)
		case !mortal:
			c.w.Int(-1)
		default:
			c.w.Int((deadline - k.now + unitMs/2) / unitMs)
		}
		// endregion
	}
}

// persist answers PERSIST key: 1 if there was a deadline to take away.
func persist(c *client, args [][]byte) {
	// region: PERSIST
	k, key := c.srv.keys, string(args[1])
	k.lookup(key) // a dead key cannot be saved
	_, mortal := k.deadlines[key]
	delete(k.deadlines, key)
	if mortal {
		c.w.Int(1)
	} else {
		c.w.Int(0)
	}
	// endregion
}

// sweepOnce looks at a few keys that have a deadline, deletes those past it, and reports whether
// there were so many that it is worth looking again at once.
func (k *keyspace) sweepOnce() (again bool) {
	// region: active deletion
	k.now = k.clock()
	looked, dead := 0, 0
	for ; looked < sweepSample; looked++ {
		if k.walk == nil {
			// iter.Pull turns "for key := range" into a function that returns one key a call, so
			// that the walk goes on where the last sample ended. Go allows a map to change
			// meanwhile, and visits in random order, which makes each stretch a fair sample.
			k.walk, _ = iter.Pull(maps.Keys(k.deadlines))
		}
		key, more := k.walk()
		if !more {
			k.walk = nil // once around
			break
		}
		if k.expired(key) {
			k.remove(key)
			dead++
		}
	}
	// If few of the sample were dead, few of all are: a statistic instead of a full scan.
	again = dead*10 > looked
	// endregion
	return again
}

// sweep runs until tick is closed. It lets go of the lock after each sample, so that no client
// waits for more than twenty deletions, however many keys die at once.
func (s *server) sweep(tick <-chan time.Time) {
	for range tick {
		for round, again := 0, true; again && round < sweepRounds; round++ {
			s.mu.Lock()
			again = s.keys.sweepOnce()
			s.mu.Unlock()
		}
	}
}

func (c *client) wrongArity(name string) {
	c.w.Error("ERR wrong number of arguments for '" + name + "' command")
}

// unknownCommand words the error as in step 02.
func unknownCommand(args [][]byte) string {
	cut := func(b []byte, n int) []byte { return b[:min(n, len(b))] } // bytes, where %.128s counts letters
	list := ""
	for i := 1; i < len(args) && len(list) < 128; i++ {
		list += fmt.Sprintf("'%s' ", cut(args[i], 128-len(list)))
	}
	return fmt.Sprintf("ERR unknown command '%s', with args beginning with: %s", cut(args[0], 128), list)
}

// ping answers PING [message].
func ping(c *client, args [][]byte) {
	switch len(args) {
	case 1:
		c.w.SimpleString("PONG")
	case 2:
		c.w.Bulk(args[1])
	default:
		c.wrongArity("ping")
	}
}

func echo(c *client, args [][]byte) { c.w.Bulk(args[1]) }

func quit(c *client, _ [][]byte) {
	c.w.OK()
	c.closing = true
}

// commandDocs answers COMMAND DOCS, which redis-cli asks when it starts, with an empty list.
func commandDocs(c *client, _ [][]byte) { c.w.Array(0) }

// get answers GET key. Not a word about time in it: lookup has seen to that.
func get(c *client, args [][]byte) {
	if value, ok := c.srv.keys.lookup(string(args[1])); ok {
		c.w.BulkString(value)
	} else {
		c.w.Null()
	}
}

// del answers DEL key [key ...] with how many of them were there, which the dead were not.
func del(c *client, args [][]byte) {
	var n int64
	for _, key := range args[1:] {
		if _, ok := c.srv.keys.lookup(string(key)); ok {
			c.srv.keys.remove(string(key))
			n++
		}
	}
	c.w.Int(n)
}

// exists answers EXISTS key [key ...], counting arguments and not keys.
func exists(c *client, args [][]byte) {
	var n int64
	for _, key := range args[1:] {
		if _, ok := c.srv.keys.lookup(string(key)); ok {
			n++
		}
	}
	c.w.Int(n)
}

// incr answers INCR key. It changes the value and leaves the deadline: that is what makes
// "at most 100 requests a minute" a matter of INCR and EXPIRE.
func incr(c *client, args [][]byte) {
	key, n := string(args[1]), int64(0)
	if value, found := c.srv.keys.lookup(key); found {
		var ok bool
		// Dead counters are not found, so they begin at 0 again.
		if n, ok = resp.ParseInt([]byte(value)); !ok {
			c.w.Error("ERR value is not an integer or out of range")
			return
		}
	}
	if n == math.MaxInt64 {
		c.w.Error("ERR increment or decrement would overflow")
		return
	}
	c.srv.keys.data[key] = strconv.FormatInt(n+1, 10)
	c.w.Int(n + 1)
}

// dbsize answers DBSIZE: the keys in memory. It does not look at deadlines, so between a key's
// death and its deletion it shows what the sweeper still has to do.
func dbsize(c *client, _ [][]byte) { c.w.Int(int64(len(c.srv.keys.data))) }

// handle serves one client, as in step 03: answer what is whole, send, wait for more.
func (s *server) handle(conn net.Conn) {
	defer conn.Close()
	if s.trace != nil {
		conn = resp.Trace(conn, s.trace, fmt.Sprintf("#%d", s.lastID.Add(1)))
	}
	r, c := resp.NewCommandReader(conn), &client{srv: s, w: resp.NewWriter(conn)}
	for !c.closing {
		args, err := r.Next()
		if err == resp.ErrIncomplete {
			if c.w.Flush() != nil || r.Fill() != nil {
				return
			}
			continue
		}
		if err != nil {
			c.w.Error("ERR " + err.Error()) // a protocol error: say it, and close below
			break
		}
		c.execute(args)
		if c.w.Len() > maxReplies && c.w.Flush() != nil {
			return
		}
	}
	c.w.Flush()
}

// serve accepts connections until ln is closed, as in step 01.
func (s *server) serve(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			go s.handle(conn)
		case errors.Is(err, net.ErrClosed):
			return
		default: // too many open files: wait until somebody leaves
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// main listens and serves until Ctrl-C.
func main() {
	addr := flag.String("addr", "127.0.0.1:6380", "TCP `address` to listen on")
	trace := flag.Bool("trace", false, "print every byte that comes in and goes out, and what it means")
	flag.Parse()
	version.FlagsOnly()
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "04-expiry:", err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, func() { ln.Close() })
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	fmt.Printf("04-expiry listens on %s. In another terminal: redis-cli -p %s SET code 1234 EX 30, then: redis-cli -p %s TTL code (or type it into nc 127.0.0.1 %s). Ctrl-C ends it.\n",
		ln.Addr(), port, port, port)
	srv := &server{keys: newKeyspace(func() int64 { return time.Now().UnixMilli() })}
	if *trace {
		srv.trace = os.Stdout
	}
	// region: start the sweeper
	go srv.sweep(time.Tick(sweepEvery))
	// endregion
	srv.serve(ln)
}
