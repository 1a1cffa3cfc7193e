package main

// The commands of steps 03 to 05. Those on data, as GET and SET, are imported from pkg/basics; those that
// need to know the client stand here, and one of them, PING, has learnt something.

import (
	"bytes"
	"context"

	"byor/pkg/basics"
)

// A handler appends the reply to c.w and returns the command's effect: a command that changes the
// data in the same way at whatever time it is executed. It is nil when nothing changed, because
// the command only reads or had nothing to do. A handler that fails returns the error instead of
// a reply, and has changed nothing. The arguments are valid during the call only.
type handler func(c *client, args [][]byte) (effect [][]byte, err error)

// onData makes a handler of one that knows no clients, only the database that the client has chosen.
func onData(h basics.Handler) handler {
	return func(c *client, args [][]byte) ([][]byte, error) { return h(c.db, c.w, args) }
}

var (
	get, set, del  = onData(basics.Get), onData(basics.Set), onData(basics.Del)
	exists, incr   = onData(basics.Exists), onData(basics.Incr)
	dbsize         = onData(basics.DBSize)
	flushAll       = onData(basics.FlushAll)
	expire, ttl    = onData(basics.Expire), onData(basics.TTL)
	persist        = onData(basics.Persist)
	wrongArity     = basics.WrongArity
	unknownCommand = basics.UnknownCommand
)

// ping answers PING [message]. For a subscriber, all replies are arrays.
func ping(c *client, args [][]byte) ([][]byte, error) {
	switch {
	case len(args) > 2:
		return nil, wrongArity("ping")
	case c.subscriptions() > 0:
		c.w.Array(2)
		c.w.BulkString("pong")
		c.w.Bulk(bytes.Join(args[1:], nil))
	case len(args) == 2:
		c.w.Bulk(args[1])
	default:
		c.w.SimpleString("PONG")
	}
	return nil, nil
}

func echo(c *client, args [][]byte) ([][]byte, error) {
	c.w.Bulk(args[1])
	return nil, nil
}

func quit(c *client, _ [][]byte) ([][]byte, error) {
	c.w.OK()
	c.closing = true
	return nil, nil
}

// commandDocs answers COMMAND DOCS, which redis-cli asks when it starts, with an empty list.
func commandDocs(c *client, _ [][]byte) ([][]byte, error) {
	c.w.Array(0)
	return nil, nil
}

// selectDB answers SELECT index. It changes the client and not the data, so it has no effect.
func selectDB(c *client, args [][]byte) ([][]byte, error) {
	db, err := basics.Select(c.srv.data, args[1])
	if err != nil {
		return nil, err
	}
	c.db = db
	c.w.OK()
	return nil, nil
}

// expireInBackground deletes keys whose time has come and that nobody asks for.
func (s *server) expireInBackground(ctx context.Context) {
	basics.Sweep(ctx, &s.mu, s.data, nil)
}
