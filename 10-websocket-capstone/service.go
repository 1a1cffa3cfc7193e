package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"byor/pkg/config"
	"byor/pkg/server"
	"byor/pkg/supervise"
)

// What makes a service of the program. SERVICE.md tells how to use it.

// settings are what the command line and the files say: to the server, and to the gateway.
type settings struct {
	cfg   *config.Config
	opts  gatewayOptions
	stdin *bytes.Buffer // what a lone "-" has read; nil where there was none
}

// readSettings reads the command line with parse, which is one of cfg's.
func readSettings(args []string, parse func(*config.Config, []string) error) (*settings, error) {
	s := &settings{cfg: config.Default(), opts: defaultGatewayOptions(), stdin: new(bytes.Buffer)}
	s.cfg.Others, s.cfg.OtherNames = s.opts.Set, s.opts.Has
	s.cfg.Stdin = io.TeeReader(os.Stdin, s.stdin)
	return s, parse(s.cfg, args)
}

// goneToBackground does what daemonize asks: it starts the program again with all of its arguments, away from the
// terminal, and reports whether this process is done with that. A supervisor wants the process that it has started, so with one the
// server stays in the foreground, as in Redis.
func goneToBackground(args []string, s *settings, boss *supervise.Supervisor) (gone bool, err error) {
	if supervise.Detached() || !s.cfg.Daemonize || boss.Mode() != supervise.None {
		return false, nil
	}
	return true, supervise.Detach(args, s.stdin.Bytes())
}

// hangups opens the log anew and loads the certificates anew at each SIGHUP. Without them a SIGHUP does nothing, as in
// Redis: a terminal that closes does not end the server.
func hangups(srv *server.Server) {
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP)
	go func() {
		for range heard {
			srv.Reload()
		}
	}()
}

// speaker returns how the program says what is not the server's: into the log where one is kept, since nobody
// reads the standard error of a service; else there.
func speaker(cfg *config.Config, srv *server.Server) func(format string, args ...any) {
	if cfg.LogFile != "" || cfg.SyslogEnabled {
		return srv.Warn
	}
	return func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
}
