// Command fanout measures what a published message costs when it goes to many subscribers: processor time of the
// server for one delivery, how late messages come, and the memory of a connection that is idle. Browsers over
// WebSockets stand beside TCP clients of the same server and of a real redis-server.
//
//	go run ./10-websocket-capstone/bench/fanout -subs 500 -bytes 147
//
// The servers are processes of their own, and so the processor time is theirs alone, whatever else the machine does.
// That is not true of the latencies: the load runs on the same processors.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"text/tabwriter"
	"time"

	"byor/10-websocket-capstone/bench/servers"
	"byor/10-websocket-capstone/bench/stats"
	"byor/pkg/redistest/port"
)

// options say what is measured.
type options struct {
	subs  int           // subscribers
	rate  float64       // messages a second, where that is given
	bytes int           // of a payload
	idle  int           // connections whose memory is measured, 0 for none
	time  time.Duration // of each measurement
	ours  string        // the server, as servers.Open understands it
	redis bool          // race a real one, too
}

func main() {
	o := options{}
	flag.IntVar(&o.subs, "subs", 500, "subscribers of the channel")
	flag.Float64Var(&o.rate, "rate", 20, "messages a second of the second measurement")
	flag.IntVar(&o.bytes, "bytes", 147, "bytes of a payload")
	flag.IntVar(&o.idle, "idle", 5000, "idle connections whose memory is measured, 0 for none")
	flag.DurationVar(&o.time, "time", 5*time.Second, "how long each measurement takes")
	flag.StringVar(&o.ours, "server", "capstone", "step 10: capstone, commit:REVISION or a program's path")
	flag.BoolVar(&o.redis, "redis", true, "race the redis-server that is installed, too")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, &o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// check refuses what cannot be measured.
func (o *options) check() error {
	if o.subs < 1 || o.subs > 100_000 || o.idle < 0 || o.idle > 100_000 {
		return errors.New("there are between 1 and 100000 subscribers, and at most as many idle connections")
	}
	if o.bytes < stampLen || o.bytes > 60_000 {
		return fmt.Errorf("a payload has between %d and 60000 bytes: it says when it was sent", stampLen)
	}
	if !(o.rate > 0 && o.rate <= 1e6) || o.time < 100*time.Millisecond {
		return errors.New("the rate is more than 0, and a measurement takes at least 100ms")
	}
	return nil
}

// run measures all there is to measure and writes the table to out.
func run(ctx context.Context, o *options, out io.Writer) error {
	if err := o.check(); err != nil {
		return err
	}
	ours, err := servers.Open(ctx, "step 10="+o.ours)
	if err != nil {
		return err
	}
	defer ours.Close()
	lines := []line{{"step 10, WebSocket", ours, dialWebSocket}, {"step 10, TCP", ours, dialTCP}}
	if o.redis {
		redis, err := servers.Open(ctx, "redis")
		if err != nil {
			return err
		}
		lines = append(lines, line{"redis-server, TCP", redis, dialTCP})
	}
	fmt.Fprintf(out, "%s\n%d subscribers, payloads of %d bytes, %s each\n\n", servers.Machine(), o.subs, o.bytes, o.time)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\tCPU a delivery,\t\tCPU a delivery,\tp50\tp99\tp50\tp99\tmemory of an\t\n")
	fmt.Fprintf(t, "\tsaturated\tdeliveries/s\tat %g msg/s\tthere\tthere\tat half load\tthere\tidle connection\t\n", o.rate)
	for _, l := range lines {
		r, err := l.measure(ctx, o)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", l.name, micros(r.full.cpu), stats.Thousands(r.full.perSecond),
			micros(r.rated.cpu), stats.Brief(r.rated.p50), stats.Brief(r.rated.p99), stats.Brief(r.half.p50), stats.Brief(r.half.p99), kilobytes(r.idle))
	}
	return t.Flush()
}

func micros(d time.Duration) string {
	if d == 0 {
		return "?" // the system does not tell
	}
	return strconv.FormatFloat(float64(d)/1e3, 'f', 2, 64) + " µs"
}

func kilobytes(n float64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatFloat(n/1024, 'f', 1, 64) + " KB"
}

// line is a line of the table: a way to a server.
type line struct {
	name   string
	source *servers.Source
	dial   dialer
}

// results are what was measured of it.
type results struct {
	full, rated, half result
	idle              float64 // bytes of an idle connection
}

// measure starts the server once for the deliveries and once for the memory.
func (l *line) measure(ctx context.Context, o *options) (r results, err error) {
	err = l.with(ctx, func(s *server) error {
		f, err := newFan(ctx, s, l.dial, o)
		if err != nil {
			return err
		}
		defer f.close()
		if r.full, err = f.saturate(ctx); err != nil {
			return err
		}
		if r.rated, err = f.pace(ctx, o.rate); err != nil {
			return err
		}
		r.half, err = f.pace(ctx, r.full.perSecond/float64(o.subs)/2)
		return err
	})
	if err != nil || o.idle == 0 {
		return r, err
	}
	err = l.with(ctx, func(s *server) error {
		r.idle, err = idleMemory(ctx, s, l.dial, o.idle)
		return err
	})
	return r, err
}

// server is one that runs, with the port of its page.
type server struct {
	*servers.Server
	page string
}

// with starts the server for as long as do takes.
func (l *line) with(ctx context.Context, do func(*server) error) error {
	n, free, err := port.Reserve()
	if err != nil {
		return err
	}
	defer free()
	args := []string{"--maxclients", "100100"}
	if l.name != "redis-server, TCP" {
		args = append(args, "--http-port", strconv.Itoa(n), "--ws-connections", "100100", "--ws-ops-rate", "0")
	} else {
		args[1] = "10000" // it asks the system for as many descriptors
	}
	s, err := l.source.Start(ctx, "", args...)
	if err != nil {
		return err
	}
	defer s.Stop()
	return do(&server{s, "127.0.0.1:" + strconv.Itoa(n)})
}
