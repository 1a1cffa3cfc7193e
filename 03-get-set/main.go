// Step 03: a key-value server. GET, SET, DEL, EXISTS and INCR over one map that all clients share.
//
// Two ideas are new. The first is a dispatch table. A command is a name, a number of arguments and
// a function. What holds for every command is written once, in execute: look the name up, count the
// arguments, take the lock.
//
// The second is that lock. A hundred goroutines run execute at the same time, and Go ends a process
// in which two goroutines write to one map at once. The lock is held for the whole command and not
// for a single access to the map. That makes INCR, a read and a write, one indivisible thing.
//
// The parser of step 02 now comes from pkg/resp. It no longer copies what it parses.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
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

// maxReplies is how many bytes of replies may pile up before they are sent. Without a bound, one
// packet full of "GET big" would make the server hold hundreds of copies of big at once.
const maxReplies = 64 << 10

// command is what the server knows about a command, apart from its name.
type command struct {
	// arity is the number of arguments. Redis counts the name too, and so do we: GET key has 2.
	// A negative number is a minimum: DEL key [key ...] has -2.
	arity int
	run   func(c *client, args [][]byte)
}

// commands is the dispatch table; names are in lower case. Nobody writes to it once the server
// runs, so every goroutine may read it without a lock.
var commands = map[string]command{
	"ping":    {-1, ping},
	"echo":    {2, echo},
	"quit":    {-1, quit},
	"command": {-1, commandDocs},
	// region: GET
	"get": {2, get},
	// endregion
	// region: SET
	"set": {-3, set},
	// endregion
	// region: DEL and EXISTS
	"del":    {-2, del},
	"exists": {-2, exists},
	// endregion
	// region: INCR
	"incr": {2, incr},
	// endregion
}

// server is what all connections share. It is safe for concurrent use.
type server struct {
	trace  io.Writer     // where -trace prints; nil for silence
	lastID atomic.Uint64 // number of the newest connection

	mu sync.Mutex // protects data, for the length of one command
	// data holds strings, not []byte. A Go string is any bytes, text or not, and nobody can change
	// it. So one goroutine can hand it to another without a copy and without a lock.
	data map[string]string
}

func newServer() *server { return &server{data: map[string]string{}} }

// client is one connection. Only its own goroutine uses it.
type client struct {
	srv     *server
	w       *resp.Writer // collects the replies of a batch, until handle flushes them
	closing bool         // set by QUIT
}

// execute runs one command and appends its reply to c.w. What stands here holds for every command.
func (c *client) execute(args [][]byte) {
	// region: dispatch
	name := strings.ToLower(string(args[0])) // names ignore case, keys do not
	cmd, ok := commands[name]
	if !ok {
		c.w.Error(unknownCommand(args))
		return
	}
	if n := len(args); n != cmd.arity && (cmd.arity >= 0 || n < -cmd.arity) {
		c.wrongArity(name)
		return
	}
	// One lock around the whole handler. A handler therefore locks nothing. It cannot forget to,
	// and it cannot wait for itself by locking twice. It only touches memory (its reply goes to a
	// buffer), so a slow client never makes others wait for the lock.
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	cmd.run(c, args)
	// endregion
}

func (c *client) wrongArity(name string) {
	c.w.Error("ERR wrong number of arguments for '" + name + "' command")
}

// get answers GET key: the value, or null where there is none.
func get(c *client, args [][]byte) {
	// region: GET
	// ok tells a key with an empty value ("$0") from no key at all ("$-1").
	value, ok := c.srv.data[string(args[1])]
	if !ok {
		c.w.Null()
		return
	}
	c.w.BulkString(value)
	// endregion
}

// set answers SET key value. The options of Redis's SET come in exercise 2 and in step 04.
func set(c *client, args [][]byte) {
	// region: SET
	if len(args) > 3 {
		c.w.Error("ERR syntax error")
		return
	}
	// string(…) copies, and here it has to: args point into the connection's read buffer, and the
	// next packet overwrites that.
	c.srv.data[string(args[1])] = string(args[2])
	c.w.OK()
	// endregion
}

// del answers DEL key [key ...] with the number of keys that it removed.
func del(c *client, args [][]byte) {
	// region: DEL and EXISTS
	var n int64
	for _, key := range args[1:] {
		// string(key) as an index costs nothing: the compiler sees that the map only looks at it.
		if _, ok := c.srv.data[string(key)]; ok {
			delete(c.srv.data, string(key))
			n++
		}
	}
	c.w.Int(n)
	// endregion
}

// exists answers EXISTS key [key ...]. It counts arguments, so a key named twice counts twice.
func exists(c *client, args [][]byte) {
	// region: DEL and EXISTS
	var n int64
	for _, key := range args[1:] {
		if _, ok := c.srv.data[string(key)]; ok {
			n++
		}
	}
	c.w.Int(n)
	// endregion
}

// incr answers INCR key. Redis has no type for numbers: a counter is a string of digits. A missing
// key counts as 0.
func incr(c *client, args [][]byte) {
	// region: INCR
	key := string(args[1])
	var n int64
	if value, found := c.srv.data[key]; found {
		// resp.ParseInt takes only what INCR itself would write. strconv's takes "+1" and "007".
		var ok bool
		if n, ok = resp.ParseInt([]byte(value)); !ok {
			c.w.Error("ERR value is not an integer or out of range")
			return
		}
	}
	if n == math.MaxInt64 {
		c.w.Error("ERR increment or decrement would overflow")
		return
	}
	// Nobody else has touched the key since we read it, because execute holds the lock. With a lock
	// for each access to the map, two clients could both read 41 and both store 42.
	c.srv.data[key] = strconv.FormatInt(n+1, 10)
	c.w.Int(n + 1)
	// endregion
}

// handle serves one client. It collects replies while there are whole commands, and sends them when
// there are none left. A pipeline of a hundred commands then costs one read and one write.
func (s *server) handle(conn net.Conn) {
	defer conn.Close()
	if s.trace != nil {
		conn = resp.Trace(conn, s.trace, fmt.Sprintf("#%d", s.lastID.Add(1)))
	}
	r, c := resp.NewCommandReader(conn), &client{srv: s, w: resp.NewWriter(conn)}
	// region: the conversation
	for !c.closing {
		args, err := r.Next()
		if err == resp.ErrIncomplete {
			// No whole command is left. Send first, then wait: a client without its answer says
			// nothing more, and both sides would wait for ever.
			if c.w.Flush() != nil || r.Fill() != nil {
				return
			}
			continue
		}
		if err != nil {
			c.w.Error("ERR " + err.Error()) // no RESP: say so, send it below, and close
			break
		}
		c.execute(args)
		if c.w.Len() > maxReplies && c.w.Flush() != nil {
			return
		}
	}
	c.w.Flush()
	// endregion
}

// unknownCommand words the error, as in step 02.
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
	case 2: // so that a client can tell its pings apart
		c.w.Bulk(args[1])
	default: // the table knows a minimum and no maximum, so PING counts for itself
		c.wrongArity("ping")
	}
}

func echo(c *client, args [][]byte) { c.w.Bulk(args[1]) }

func quit(c *client, _ [][]byte) {
	// Only a mark: handle still has to send the replies to the commands before this one.
	c.w.OK()
	c.closing = true
}

// commandDocs answers COMMAND DOCS with an empty list. redis-cli asks for it when it starts.
func commandDocs(c *client, _ [][]byte) { c.w.Array(0) }

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
		fmt.Fprintln(os.Stderr, "03-get-set:", err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, func() { ln.Close() })
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	fmt.Printf("03-get-set listens on %s. In another terminal: redis-cli -p %s SET greeting hello (or: nc 127.0.0.1 %s, then type SET greeting hello). Ctrl-C ends it.\n",
		ln.Addr(), port, port)
	srv := newServer()
	if *trace {
		srv.trace = os.Stdout
	}
	srv.serve(ln)
}
