package script_test

import (
	"bufio"
	"fmt"
	"io"
	"net"

	"byor/pkg/config"
	_ "byor/pkg/script" // servers run scripts
	"byor/pkg/server"
)

// A program whose server runs scripts imports this package, and does nothing else about it.
func Example() {
	cfg := config.Default()
	cfg.Save = nil
	srv := server.New(cfg, server.Options{Log: server.LogTo(io.Discard)})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go srv.Serve(ln)
	if err := srv.Start(); err != nil {
		panic(err)
	}
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	replies := bufio.NewReader(conn)
	for _, line := range []string{
		`EVAL "return redis.call('INCRBY', KEYS[1], ARGV[1])" 1 visits 5`,
		`EVAL "redis.call('LPUSH', KEYS[1], 'x')" 1 visits`,
		`FUNCTION LOAD "#!lua name=lib\nredis.register_function('seven', function() return 7 end)"`,
		"FCALL seven 0",
	} {
		fmt.Fprintf(conn, "%s\r\n", line)
		reply, err := replies.ReadString('\n')
		if err != nil {
			panic(err)
		}
		if reply[0] == '$' {
			reply, _ = replies.ReadString('\n')
		}
		fmt.Print(reply[:min(len(reply)-2, 66)], "\n")
	}
	// Output:
	// :5
	// -WRONGTYPE Operation against a key holding the wrong kind of value
	// lib
	// :7
}
