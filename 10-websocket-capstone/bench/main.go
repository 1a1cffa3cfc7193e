// Command bench races servers that speak RESP: step 10 against a real redis-server, two commits, or any two addresses.
//
//	go run ./10-websocket-capstone/bench
//	go run ./10-websocket-capstone/bench -addr 127.0.0.1:6380 -t get -P 1
//	go run ./10-websocket-capstone/bench -a 127.0.0.1:6380 -b old=127.0.0.1:6381 -html report.html
//
// It has five rooms. client asks one thing at a time, load puts load on a server and measures, servers finds, builds,
// starts and ends them, stats does the arithmetic, and report shows the result. This package says what is measured, in
// which order: plan.go lists it, race.go lets the servers take turns, and the scenes are what -full adds.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"byor/10-websocket-capstone/bench/report"
	"byor/10-websocket-capstone/bench/servers"
)

// bench is a race in progress.
type bench struct {
	o       *options
	sources []*servers.Source
	rep     *report.Report
	text    *report.Text
	// elements is how many elements a test that takes them away finds, once it has run dry with fewer.
	elements map[string]int
}

// run does what the flags say and writes the report to out.
func run(ctx context.Context, o *options, args []string, out io.Writer) error {
	b := &bench{o: o, text: &report.Text{Out: out}, elements: map[string]int{}}
	b.rep = &report.Report{Machine: servers.Machine()}
	b.rep.Options = strings.Join(append([]string{"bench"}, args...), " ") + ": " + o.String()
	if o.agree { // it may be missing, and then nothing else need be built
		if err := findRedisBenchmark(); err != nil {
			return err
		}
	}
	defer func() {
		for _, s := range b.sources {
			s.Close()
		}
	}()
	for _, spec := range o.specs() {
		s, err := servers.Open(ctx, spec)
		if err != nil {
			return err
		}
		b.sources = append(b.sources, s)
	}
	b.rep.Started = time.Now() // to build is not to race
	if err := b.steps(ctx); err != nil {
		return err
	}
	b.rep.Took = time.Since(b.rep.Started)
	if o.html != "" {
		if err := writePage(o.html, b.rep); err != nil {
			return err
		}
		fmt.Fprintf(out, "\nThe report is in %s.\n", o.html)
	}
	return b.text.Foot(b.rep)
}

func writePage(path string, r *report.Report) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(report.HTML(f, r), f.Close())
}

// start starts all servers, or finds them. The caller ends them, also after an error.
func (b *bench) start(ctx context.Context, args ...string) (ss []*servers.Server, err error) {
	args = append(strings.Fields(b.o.serverArgs), args...)
	for _, source := range b.sources {
		s, err := source.Start(ctx, "", args...)
		if err != nil {
			return ss, err
		}
		ss = append(ss, s)
	}
	return ss, nil
}

func stopAll(ss []*servers.Server) {
	for _, s := range ss {
		s.Stop()
	}
}

func main() {
	o, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v (-help lists the flags)\n", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, o, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
