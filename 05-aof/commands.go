package main

// The commands that you wrote in steps 03 and 04. Those on data now work on pkg/store. They live in
// pkg/basics, so that later steps can use them too. The ones that need to know the client are here.
// One thing is new, and this step is about it: a handler returns an effect.

import (
	"context"

	"byor/pkg/basics"
)

// A handler appends the reply to c.w and returns the command's effect. The effect is a command, too:
// it changes the data in the same way, whenever it is executed. It is nil when nothing changed. A
// handler that fails has changed nothing; it returns an error and writes no reply. The arguments are
// valid during the call only.
type handler func(c *client, args [][]byte) (effect [][]byte, err error)

// onData makes a handler from one that knows no client, only the database that the client selected.
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

func ping(c *client, args [][]byte) ([][]byte, error) {
	switch len(args) {
	case 1:
		c.w.SimpleString("PONG")
	case 2:
		c.w.Bulk(args[1])
	default:
		return nil, wrongArity("ping")
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

// commandDocs answers COMMAND DOCS with an empty list. redis-cli asks for it when it starts.
func commandDocs(c *client, _ [][]byte) ([][]byte, error) {
	c.w.Array(0)
	return nil, nil
}

// selectDB answers SELECT index. It changes the client, not the data, so it has no effect.
func selectDB(c *client, args [][]byte) ([][]byte, error) {
	db, err := basics.Select(c.srv.data, args[1])
	if err != nil {
		return nil, err
	}
	c.db = db
	c.w.OK()
	return nil, nil
}

// expireInBackground deletes the expired keys that nobody asks for.
func (s *server) expireInBackground(ctx context.Context) {
	basics.Sweep(ctx, &s.mu, s.data, nil)
}
