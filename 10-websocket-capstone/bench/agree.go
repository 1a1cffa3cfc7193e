package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"byor/10-websocket-capstone/bench/load"
	"byor/10-websocket-capstone/bench/report"
	"byor/10-websocket-capstone/bench/servers"
)

// Is the bench itself right? Here the two sides are not servers but clients: this bench is A and redis-benchmark is B,
// and they take turns at the same server with the same number of the same commands. The CPU is the client's: where
// one client costs more than the server, its figures tell of the client.

var errNoRedisBenchmark = errors.New("redis-benchmark is not installed; it comes with Redis (Debian: apt install redis-tools)")

func findRedisBenchmark() error {
	if _, err := exec.LookPath("redis-benchmark"); err != nil {
		return errNoRedisBenchmark
	}
	return nil
}

func (b *bench) agree(ctx context.Context, s *servers.Server) error {
	for _, depth := range b.o.pipelines {
		g := b.newGroup(fmt.Sprintf("-P %d, %d clients, values of %s; the CPU is the client's", depth, b.o.conns, sizeText(b.o.size)))
		for _, m := range b.o.mixes {
			l := load.Load{Conns: b.o.conns, Pipeline: depth, Threads: b.o.threads, Mix: m, Client: b.o.client, Requests: b.o.requests}
			if err := b.agreeOn(ctx, g, s, l); err != nil {
				return fmt.Errorf("%s: %w", m.Name, err)
			}
		}
	}
	return nil
}

// agreeOn lets the two take turns at one test.
func (b *bench) agreeOn(ctx context.Context, g *report.Group, s *servers.Server, l load.Load) error {
	if l.Requests == 0 { // as many as take about the time that a round shall take
		probe := l
		probe.Duration = b.o.duration/2 + 1
		r, err := b.round(ctx, s, s, probe)
		if err != nil {
			return err
		}
		l.Requests = int64(r.PerSecond()*b.o.duration.Seconds()) + 1
	}
	rounds := make([][]round, 2)
	for n := range b.o.rounds {
		l.Seed = b.o.seed + uint64(n)
		for _, i := range order(n, 2) {
			var r round
			var err error
			if i == 0 {
				r, err = b.round(ctx, s, servers.Self(), l)
			} else if err = l.Mix.Prepare(ctx, s.Addr, int(l.Requests)+1000); err == nil {
				r, err = redisBenchmark(ctx, s.Addr, l, b.o)
			}
			if err != nil {
				return err
			}
			rounds[i] = append(rounds[i], r)
		}
	}
	b.add(g, &report.Test{Name: l.Mix.Name}, rounds)
	return nil
}

// redisBenchmark lets redis-benchmark do the work of l.
func redisBenchmark(ctx context.Context, addr string, l load.Load, o *options) (round, error) {
	where := []string{"-s", addr}
	if host, port, err := net.SplitHostPort(addr); err == nil {
		where = []string{"-h", host, "-p", port}
	}
	args := append(where, "-n", strconv.FormatInt(l.Requests, 10), "-c", strconv.Itoa(l.Conns),
		"-P", strconv.Itoa(l.Pipeline), "-r", strconv.Itoa(o.keySpace), "--csv")
	if words := l.Mix.Words("__rand_int__"); words != nil { // not with -t, which may do other work before
		args = append(args, words...)
	} else {
		args = append(args, "-t", strings.ToLower(l.Mix.Name))
	}
	cmd := exec.CommandContext(ctx, "redis-benchmark", args...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return round{}, fmt.Errorf("redis-benchmark: %w\n%s", err, complaint.String())
	}
	r, err := parseCSV(out, l.Requests)
	r.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return r, err
}

// parseCSV reads redis-benchmark's table: a line of titles and one of the test.
func parseCSV(out []byte, requests int64) (round, error) {
	rows, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
	if err != nil || len(rows) < 2 || len(rows[len(rows)-1]) < 8 {
		return round{}, fmt.Errorf("redis-benchmark printed no table: %q", out)
	}
	var v [8]float64 // name, commands a second, and in ms the mean, min, p50, p95, p99 and max
	for i, text := range rows[len(rows)-1][1:8] {
		if v[i+1], err = strconv.ParseFloat(text, 64); err != nil {
			return round{}, fmt.Errorf("redis-benchmark: %w", err)
		}
	}
	r := round{Result: &load.Result{Elapsed: time.Duration(float64(requests) / v[1] * float64(time.Second))}}
	r.Replies, r.All = requests, requests
	// Half of them within p50, and so on: the shape is lost, these figures are not.
	share := func(part float64, ms float64) {
		r.Hist.RecordN(int64(ms*float64(time.Millisecond)), uint64(part*float64(requests)))
	}
	share(0.50, v[4])
	share(0.45, v[5])
	share(0.04, v[6])
	r.Hist.RecordN(int64(v[7]*float64(time.Millisecond)), max(uint64(requests)-r.Hist.N, 1))
	return r, nil
}
