package server_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"byor/pkg/config"
	"byor/pkg/engine"
	"byor/pkg/pubsub"
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

// A server whose time stands still, so that a test can say when a key expires, and its end: like SHUTDOWN SAVE FORCE,
// it saves, and ends also where that fails.
func ExampleServer_Shutdown() {
	dir, err := os.MkdirTemp("", "redis")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	cfg := config.Default()
	cfg.Dir = dir
	srv := server.New(cfg, server.Options{
		Log:   server.LogTo(io.Discard),
		Clock: func() time.Time { return time.Unix(2_000_000_000, 0) },
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go srv.Serve(ln)
	if err := srv.Start(); err != nil {
		panic(err)
	}
	fmt.Print(ask(ln.Addr().String(), "SET k v EX 60\r\nPEXPIRETIME k\r\n"))
	fmt.Println(srv.Shutdown(context.Background(), server.ShutdownMode{Save: true, Force: true}))
	_, err = os.Stat(filepath.Join(dir, "dump.rdb"))
	fmt.Println(err)
	// Output:
	// +OK
	// :2000000060000
	// <nil>
	// <nil>
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

// listener is a client in this process, as a gateway has one for each of its browsers.
type listener struct{}

func (listener) RemoteAddr() net.Addr            { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7777} }
func (listener) Write(reply []byte) (int, error) { return fmt.Printf("reply %q\n", reply) }
func (listener) Deliver(m pubsub.Message)        { fmt.Printf("message on %s: %s\n", m.Channel, m.Payload) }
func (listener) Close() error                    { return nil }

// A client without a connection: replies come as bytes, before Write returns, and messages as what they are.
func ExampleServer_Attach() {
	cfg := config.Default()
	cfg.Save = nil
	srv := server.New(cfg, server.Options{Log: server.LogTo(io.Discard)})
	if err := srv.Start(); err != nil {
		panic(err)
	}
	browser, err := srv.Attach(listener{})
	if err != nil {
		panic(err)
	}
	defer browser.Close()
	browser.Write([]byte("PING\r\nSUBSCRIBE news\r\n"))
	other, err := srv.Attach(listener{})
	if err != nil {
		panic(err)
	}
	defer other.Close()
	other.Write([]byte("PUBLISH news hello\r\n"))
	// Output:
	// reply "+PONG\r\n*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"
	// message on news: hello
	// reply ":1\r\n"
}
