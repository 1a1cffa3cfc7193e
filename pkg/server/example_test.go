package server_test

import (
	"fmt"
	"io"
	"net"
	"strings"

	"byor/pkg/config"
	"byor/pkg/engine"
	"byor/pkg/server"
	"byor/pkg/store"
)

// A Redis of one's own with a command of one's own, which redis-cli can be asked to send, too:
//
//	redis-cli -p 7000 shout greeting
//
// A program outside of this module does the same, once the module has a name under which it can be fetched: "make
// module NAME=example.com/you/redis" in a fork gives it one.
func Example() {
	shout := engine.Command{Name: "shout", Arity: 2, Flags: engine.ReadOnly | engine.Fast, Keys: engine.At(1, 1, 1), Handler: func(c *engine.Call) {
		s, ok := engine.Fetch[*store.String](c, c.Args[1]) // replies WRONGTYPE itself
		switch {
		case !ok:
		case s == nil:
			c.Reply.Null()
		default:
			c.Reply.BulkString(strings.ToUpper(string(s.View())) + "!")
		}
	}}
	cfg := config.Default() // of which ParseArgs and LoadFile change what they are told
	cfg.Save = nil
	srv := server.New(cfg, server.Options{Log: server.LogTo(io.Discard), Commands: []engine.Command{shout}})
	ln, err := net.Listen("tcp", "127.0.0.1:0") // in a program: srv.Run, which listens where the configuration says
	if err != nil {
		panic(err)
	}
	go srv.Serve(ln)
	if err := srv.Start(); err != nil {
		panic(err)
	}
	fmt.Print(ask(ln.Addr().String(), "SET greeting hello\r\nSHOUT greeting\r\nSHOUT\r\n"))
	// Output:
	// +OK
	// $6
	// HELLO!
	// -ERR wrong number of arguments for 'shout' command
}

// ask sends lines, as nc would, and returns the replies.
func ask(addr, lines string) string {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, lines+"QUIT\r\n")
	replies, _ := io.ReadAll(conn)
	return strings.TrimSuffix(strings.ReplaceAll(string(replies), "\r", ""), "+OK\n")
}
