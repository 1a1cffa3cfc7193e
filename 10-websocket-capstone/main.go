// Step 10, the capstone: everything that the steps before built by hand, hardened in pkg, put
// together, and opened to browsers. This file only wires: the engine is pkg/server, the WebSocket
// gateway stands beside it in this folder.
//
//	go run ./10-websocket-capstone [redis.conf] [--port 6380] [--dir D] [--appendonly yes] … [-trace]
//
// The options are redis-server's; those that begin with --http and --ws are the gateway's, and -trace
// shows every byte, as in the steps before.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"byor/pkg/config"
	"byor/pkg/history"
	"byor/pkg/resp"
	_ "byor/pkg/script" // which registers EVAL and its like
	"byor/pkg/server"
	"byor/pkg/supervise"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	all := args
	args, eyes := takeTrace(args)
	args, plain, err := takeFastPath(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s\n", err, seeHelp)
		return 1
	}
	if code, done := aboutItself(os.Stdout, args); done {
		return code
	}
	set, err := readSettings(args, (*config.Config).ParseArgs)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s\n", err, seeHelp)
		return 1
	}
	cfg, opts := set.cfg, &set.opts
	boss := supervise.Open(cfg.Supervised, os.Getenv)
	if gone, err := goneToBackground(all, set, boss); err != nil {
		fmt.Fprintf(os.Stderr, "Can't go to the background: %v\n", err)
		return 1
	} else if gone {
		return 0
	}
	page := ""
	var live atomic.Pointer[gateway]
	srv := server.New(cfg, server.Options{Wrap: eyes, WholeProcess: true, Plain: plain, ReservedChannels: presencePrefix, Supervisor: boss,
		History: history.New(opts.History), WebTLS: opts.webTLS(), Beside: infoSection(&live),
		Listening: func() { fmt.Println(greeting(cfg, page)) }})
	opts.Dial, opts.Password, opts.Stopping = dialInMemory(srv.ServeConn), srv.Password, srv.Stopping
	opts.Born, opts.Locked = cfg.BornName, srv.NeedsLogin
	opts.Attach = func(p server.Peer) (io.WriteCloser, error) { return srv.Attach(p) }
	opts.Logf = speaker(cfg, srv)
	if opts.Certs, err = srv.Certs(); err != nil {
		opts.Logf("%v", err)
		return 1
	}
	gw, at, err := openGateway(*opts)
	if err != nil {
		opts.Logf("%v", err)
		return 1
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	hangups(srv)
	page = at
	live.Store(gw)
	return serve(srv, gw, signals)
}

// serve runs the server until it ends, by a signal, by SHUTDOWN or by a failure, and returns the exit code.
func serve(srv *server.Server, gw *gateway, signals chan os.Signal) int {
	failed, goesOn := make(chan error, 1), make(chan error)
	go func() { failed <- srv.Run(context.Background()) }()
	asked := signals // nil while the first signal is being obeyed: stop listens to the second
	for {
		select {
		case err := <-failed:
			if err != nil {
				gw.opts.Logf("%v", err)
				return 1
			}
			return leave(srv, gw)
		case <-srv.Done():
			return leave(srv, gw)
		case sig := <-asked:
			asked = nil
			go func() {
				if err := stop(srv, gw, sig, signals); err != nil {
					goesOn <- err
				}
			}()
		case <-goesOn: // the data could not be saved: an exit that loses data is worse than none
			asked = signals
			if err := gw.reopen(); err != nil {
				gw.opts.Logf("gateway: %v", err)
			}
		}
	}
}

// takeTrace takes -trace out of a command line. If it was there, eyes lets you watch each connection; else
// eyes is nil. For a browser you watch its session, behind the gateway: RESP, as everywhere.
func takeTrace(args []string) (rest []string, eyes func(net.Conn) net.Conn) {
	for _, a := range args {
		if a != "-trace" && a != "--trace" {
			rest = append(rest, a)
			continue
		}
		var id atomic.Int64
		eyes = func(conn net.Conn) net.Conn { return resp.Trace(conn, os.Stdout, fmt.Sprintf("#%d", id.Add(1))) }
	}
	return rest, eyes
}

// takeFastPath takes --fast-path out of a command line: what of the fast path is left out, to see what it brings.
func takeFastPath(args []string) (rest []string, plain server.Plain, err error) {
	for i := 0; i < len(args); i++ {
		if args[i] != "--fast-path" {
			rest = append(rest, args[i])
			continue
		}
		if i++; i == len(args) {
			return nil, plain, errors.New("--fast-path: what is to be left out?")
		}
		if plain, err = server.ParsePlain(args[i]); err != nil {
			return nil, plain, fmt.Errorf("--fast-path: %w", err)
		}
	}
	return rest, plain, nil
}

// leave ends the process's work once the server has shut down. After a signal the browsers have
// gone already; after the command SHUTDOWN their sessions have ended, and they get the time to hear it.
func leave(srv *server.Server, gw *gateway) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = gw.Drain(ctx) // cuts off browsers that do not hang up in time
	return srv.ExitCode()
}

// greeting says what to type next, and where to look.
func greeting(cfg *config.Config, page string) string {
	port, how := cfg.Port, "-p"
	if port == 0 && cfg.TLSPort != 0 {
		port, how = cfg.TLSPort, "--tls -p"
	}
	line := fmt.Sprintf("Redis is listening on port %d. Try: redis-cli %s %d", port, how, port)
	if page != "" {
		line += " and the page at " + page
	}
	return line
}

// stop says goodbye to the browsers and then shuts the server down as sig asks. A second signal
// ends the process at once. An error means that the server goes on.
func stop(srv *server.Server, gw *gateway, sig os.Signal, signals <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	over := make(chan error, 1)
	go func() {
		draining, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_ = gw.Drain(draining) // cuts off browsers that do not hang up in time
		over <- srv.ShutdownOn(ctx, sig)
	}()
	select {
	case err := <-over:
		return err
	case <-signals:
		fmt.Fprintln(os.Stderr, "A second signal: exiting without saving.")
		os.Exit(1)
	}
	return nil
}
