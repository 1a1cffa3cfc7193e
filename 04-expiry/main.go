// Step 04: keys that die. EXPIRE, TTL and SET's EX and PX, over the server of step 03.
//
// A key gets a deadline. It is an instant, so nobody has to count seconds down. Two mechanisms
// delete a dead key, and it takes both. Lazy: every look-up compares the deadline with the clock
// first, so no client ever sees a dead key. Active: a sweeper looks at a few keys ten times a
// second, so keys that nobody asks for again give their memory back. A timer for each key is the
// tempting third way. It costs more memory than most values, and an old timer kills a new value.
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

	// The first two numbers are Redis's. In place of the third, Redis has a time.
	sweepEvery  = 100 * time.Millisecond
	sweepSample = 20   // keys that are looked at while the lock is held
	sweepRounds = 1000 // samples in a row at most
)

// command is a function and how many arguments it takes, with the name (negative: at least).
type command struct {
	arity int
	run   func(c *client, args [][]byte)
}

// commands is the dispatch table; names are in lower case.
var commands = map[string]command{
	"ping": {-1, ping}, "echo": {2, echo}, "quit": {-1, quit}, "command": {-1, commandDocs},
	"get": {2, get}, "set": {-3, set}, "del": {-2, del}, "exists": {-2, exists}, "incr": {2, incr},
	// New. A pair differs by its unit only: 1000 milliseconds, or 1.
	"expire": {-3, expire(1000)}, "pexpire": {-3, expire(1)},
	"ttl": {2, ttl(1000)}, "pttl": {2, ttl(1)},
	"persist": {2, persist}, "dbsize": {1, dbsize},
}

// keyspace is the data. It has no lock of its own: the server's lock protects it.
type keyspace struct {
	data map[string]string
	// deadlines holds an instant, in Unix milliseconds, only for those keys of data that have one.
	deadlines map[string]int64
	clock     func() int64 // the time in Unix milliseconds; tests bring their own
	now       int64        // what the clock said at the start of this command
	// walk is the sweeper's way through deadlines, one key a call; nil at the start.
	walk func() (key string, more bool)
}

// server is what all connections share. It is safe for concurrent use.
type server struct {
	trace  io.Writer     // where -trace prints; nil for silence
	lastID atomic.Uint64 // number of the newest connection
	mu     sync.Mutex    // protects keys; held for one command or one sample
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
	// The sweeper takes the same lock, so it can delete between two commands but not within one.
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	// region: the clock and TTL
	// A command happens at one instant. With two looks at the clock, a key could die in between.
	c.srv.keys.now = c.srv.keys.clock()
	// endregion
	cmd.run(c, args)
}

func newKeyspace(clock func() int64) *keyspace {
	return &keyspace{data: map[string]string{}, deadlines: map[string]int64{}, clock: clock}
}

// expired reports whether key is past its deadline. In the deadline's own millisecond it lives.
func (k *keyspace) expired(key string) bool {
	// region: lazy deletion
	deadline, ok := k.deadlines[key]
	return ok && k.now > deadline
	// endregion
}

// lookup returns the value of key. Every command finds its keys through lookup and none reads data
// itself. So a dead key is dead for EXISTS, DEL and INCR as much as for GET.
func (k *keyspace) lookup(key string) (value string, ok bool) {
	// region: lazy deletion
	// Here GET deletes, and deleting is writing. Under a read lock this would crash the process.
	// A lock taken here would wait for ever, because execute holds it already.
	if k.expired(key) {
		k.remove(key)
	}
	// endregion
	value, ok = k.data[key]
	return value, ok
}

// remove deletes a key and its deadline, which would else kill the next key of the same name.
func (k *keyspace) remove(key string) {
	delete(k.data, key)
	delete(k.deadlines, key)
}

// deadlineIn turns "amount units from now" into an instant; nothing else is ever stored. least is the
// smallest amount that the command takes. If there is no such instant, it answers with the error.
func (c *client) deadlineIn(name string, amount []byte, unitMs, least int64) (deadline int64, ok bool) {
	// region: a number becomes an instant
	n, ok := resp.ParseInt(amount)
	if !ok {
		c.w.Error("ERR value is not an integer or out of range")
		return 0, false
	}
	now := c.srv.keys.now
	// The client chooses n. Ask before you multiply and add: a sum that is too large wraps around
	// into the past, and the key would be gone.
	if n < least || n > math.MaxInt64/unitMs || n*unitMs > math.MaxInt64-now {
		c.w.Error("ERR invalid expire time in '" + name + "' command")
		return 0, false
	}
	return now + n*unitMs, true
	// endregion
}

// set answers SET key value [EX seconds | PX milliseconds].
func set(c *client, args [][]byte) {
	k, key, deadline := c.srv.keys, string(args[1]), int64(0) // 0 stands for no deadline
	// region: EX and PX
	// First everything that can be wrong, then the change: a command does all or nothing.
	unitMs, amount := int64(0), []byte(nil) // 0 while there is no time to live
	for i := 3; i < len(args); i += 2 {
		unit := map[string]int64{"ex": 1000, "px": 1}[strings.ToLower(string(args[i]))]
		if unit == 0 || i+1 == len(args) || unitMs != 0 && unitMs != unit {
			c.w.Error("ERR syntax error")
			return
		}
		unitMs, amount = unit, args[i+1]
	}
	if unitMs != 0 {
		var ok bool
		if deadline, ok = c.deadlineIn("set", amount, unitMs, 1); !ok {
			return
		}
	}
	// endregion
	k.data[key] = string(args[2])
	// region: EX and PX
	// A new value brings its own deadline or none. The old value's deadline is not its own.
	delete(k.deadlines, key)
	if deadline != 0 {
		k.deadlines[key] = deadline
	}
	// endregion
	c.w.OK()
}

// expire returns the handler of EXPIRE key seconds (unitMs 1000) and PEXPIRE key milliseconds (1).
// It answers 1 if the key now has that deadline, and 0 if there is no such key.
func expire(unitMs int64) func(*client, [][]byte) {
	return func(c *client, args [][]byte) {
		if len(args) > 3 {
			c.w.Error("ERR Unsupported option " + string(args[3]))
			return
		}
		deadline, ok := c.deadlineIn(strings.ToLower(string(args[0])), args[2], unitMs, math.MinInt64/unitMs)
		if !ok {
			return
		}
		// region: EXPIRE
		k, key := c.srv.keys, string(args[1])
		if _, ok := k.lookup(key); !ok {
			c.w.Int(0)
			return
		}
		if deadline > k.now {
			k.deadlines[key] = deadline
		} else {
			k.remove(key) // EXPIRE key -1 is a way to say DEL
		}
		c.w.Int(1) // either way: the client asked for an end, and got it
		// endregion
	}
}

// ttl returns the handler of TTL (unitMs 1000) and PTTL (1). It answers the time left, rounded to
// the nearest unit, -1 for a key without a deadline, and -2 for no key.
func ttl(unitMs int64) func(*client, [][]byte) {
	return func(c *client, args [][]byte) {
		// region: the clock and TTL
		k, key := c.srv.keys, string(args[1])
		// lookup comes first: it may take the key away, and then the deadline is gone, too.
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

// persist answers PERSIST key with 1 if there was a deadline to take away, and else with 0.
func persist(c *client, args [][]byte) {
	// region: PERSIST
	k, key := c.srv.keys, string(args[1])
	k.lookup(key) // takes a dead key away: PERSIST comes too late for it
	var n int64
	if _, mortal := k.deadlines[key]; mortal {
		delete(k.deadlines, key)
		n = 1
	}
	c.w.Int(n)
	// endregion
}

// sweepOnce looks at a few keys that have a deadline and deletes the dead among them. It reports
// whether they were so many that it is worth looking again at once.
func (k *keyspace) sweepOnce() (again bool) {
	// region: one sample
	k.now = k.clock() // no command is running that would have read it
	looked, dead := 0, 0
	for ; looked < sweepSample; looked++ {
		if k.walk == nil {
			// iter.Pull turns "for key := range" into a function that returns one key a call. So
			// the next sample goes on where this one stops. The map may change meanwhile.
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
	// If few of the sample are dead, few of all are: a statistic instead of a full scan.
	return dead*10 > looked
	// endregion
}

// sweep runs until tick is closed. However many keys die at once, a client waits for one sample.
func (s *server) sweep(tick <-chan time.Time) {
	// region: the sweeper
	for range tick {
		for round, again := 0, true; again && round < sweepRounds; round++ {
			s.mu.Lock()
			again = s.keys.sweepOnce()
			s.mu.Unlock() // between two samples it is the clients' turn
		}
	}
	// endregion
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

// commandDocs answers COMMAND DOCS with an empty list. redis-cli asks it when it starts.
func commandDocs(c *client, _ [][]byte) { c.w.Array(0) }

// get answers GET key. There is not a word about time in it: lookup has seen to that.
func get(c *client, args [][]byte) {
	if value, ok := c.srv.keys.lookup(string(args[1])); ok {
		c.w.BulkString(value)
	} else {
		c.w.Null()
	}
}

// del answers DEL key [key ...] with how many of them were there. Dead keys were not.
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

// exists answers EXISTS key [key ...]. It counts arguments: a key named twice counts twice.
func exists(c *client, args [][]byte) {
	var n int64
	for _, key := range args[1:] {
		if _, ok := c.srv.keys.lookup(string(key)); ok {
			n++
		}
	}
	c.w.Int(n)
}

// incr answers INCR key. It changes the value and leaves the deadline alone.
func incr(c *client, args [][]byte) {
	key, n := string(args[1]), int64(0)
	if value, found := c.srv.keys.lookup(key); found {
		var ok bool // a dead counter is not found, so it begins at 0 again
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

// dbsize answers DBSIZE with the number of keys in memory, dead or alive.
func dbsize(c *client, _ [][]byte) { c.w.Int(int64(len(c.srv.keys.data))) }

// handle serves one client as in step 03: it answers what is whole, sends, and waits for more.
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
		default: // too many open files: wait until a client leaves
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
	// region: the sweeper
	go srv.sweep(time.Tick(sweepEvery))
	// endregion
	srv.serve(ln)
}
