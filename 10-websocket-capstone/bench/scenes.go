package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"byor/10-websocket-capstone/bench/client"
	"byor/10-websocket-capstone/bench/report"
	"byor/10-websocket-capstone/bench/servers"
	"byor/10-websocket-capstone/bench/stats"
)

// The scenes of -full are about other things than commands a second: memory, time to load, pauses. Each begins with
// servers of its own.

func (b *bench) scenes(ctx context.Context) error {
	if !b.canStart() {
		return nil
	}
	return errors.Join(b.memory(ctx), b.loading(ctx), b.pauses(ctx))
}

// kinds are what a million keys may hold, each as a command for key number i.
var kinds = []struct {
	name    string
	command func(i int, args []string) []string
}{
	{"small strings", func(i int, args []string) []string { return append(args, "SET", name("string", i), "xxx") }},
	{"hashes of 3 fields", func(i int, args []string) []string {
		return append(args, "HSET", name("hash", i), "name", "xxx", "age", "42", "town", "yyy")
	}},
	{"sorted sets of 3 members", func(i int, args []string) []string {
		return append(args, "ZADD", name("zset", i), "1", "one", "2", "two", "3", "three")
	}},
	{"sets of 3 integers", func(i int, args []string) []string {
		return append(args, "SADD", name("set", i), "1", "20", "300")
	}},
	{"lists of 3 elements", func(i int, args []string) []string {
		return append(args, "RPUSH", name("list", i), "one", "two", "three")
	}},
}

// ofEach makes keys of all kinds in turn.
func ofEach(i int, args []string) []string { return kinds[i%len(kinds)].command(i, args) }

func name(kind string, i int) string { return kind + ":" + strconv.Itoa(i) }

// settling is how long a server has after the last key, to give back what it needed on the way.
var settling = 3 * time.Second

// memory measures what keys of each kind take of the machine's memory, not of what the server itself counts.
func (b *bench) memory(ctx context.Context) error {
	g := b.newGroup(fmt.Sprintf("memory (RSS) gained by %s keys, %v after the last", stats.Thousands(float64(b.o.keys)), settling))
	for _, k := range kinds {
		f := &report.Figure{Name: k.name, Unit: report.Bytes}
		ss, err := b.start(ctx)
		for i := 0; i < len(ss) && err == nil; i++ {
			var gained int64
			gained, err = b.gained(ctx, ss[i], k.command)
			f.Sides = append(f.Sides, stats.SampleOf([]float64{float64(gained)}))
		}
		stopAll(ss)
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		b.figure(g, f)
	}
	return nil
}

func (b *bench) gained(ctx context.Context, s *servers.Server, command func(int, []string) []string) (int64, error) {
	before, _, ok := s.Memory()
	if !ok {
		return 0, nil
	}
	if err := fill(ctx, s.Addr, b.o.keys, command); err != nil {
		return 0, err
	}
	if err := pause(ctx, settling); err != nil {
		return 0, err
	}
	after, _, _ := s.Memory()
	return after - before, nil
}

func fill(ctx context.Context, addr string, n int, command func(int, []string) []string) error {
	c, err := client.Dial(ctx, addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	return c.Fill(n, command)
}

// pause waits, but not beyond the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// aofOnly are the settings of a log that stays one: rewritten, it would be loaded from a snapshot.
var aofOnly = []string{"--appendonly", "yes", "--auto-aof-rewrite-percentage", "0"}

// loading measures how long a server needs until it serves: from a snapshot, from a log, from a master. The files
// are each server's own.
func (b *bench) loading(ctx context.Context) error {
	g := b.newGroup(fmt.Sprintf("from the start until it answers, with %s keys, a fifth of each kind above", stats.Thousands(float64(b.o.keys))))
	for _, scene := range []struct {
		name  string
		files []string // settings under which the files are made
		args  []string // settings under which they are loaded
		last  string   // the command that ends the making of them
	}{
		{"load a snapshot (RDB)", nil, nil, "SAVE"},
		{"replay a log (AOF)", aofOnly, aofOnly, "PING"},
	} {
		dirs, err := b.makeFiles(ctx, scene.files, scene.last)
		if err == nil {
			err = b.timed(g, scene.name, func(i int) (time.Duration, error) {
				began := time.Now()
				s, err := b.sources[i].Start(ctx, dirs[i], scene.args...)
				if err != nil {
					return 0, err
				}
				defer s.Kill()
				return time.Since(began), b.hasKeys(ctx, s)
			})
		}
		for _, d := range dirs {
			_ = os.RemoveAll(d)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", scene.name, err)
		}
	}
	return b.fullSync(ctx, g)
}

// makeFiles lets each server fill a directory of its own.
func (b *bench) makeFiles(ctx context.Context, args []string, last string) (dirs []string, err error) {
	for _, source := range b.sources {
		dir, err := os.MkdirTemp("", "bench-files-")
		if err != nil {
			return dirs, err
		}
		dirs = append(dirs, dir)
		s, err := source.Start(ctx, dir, args...)
		if err != nil {
			return dirs, err
		}
		err = fill(ctx, s.Addr, b.o.keys, ofEach)
		if err == nil {
			_, err = client.Once(ctx, s.Addr, time.Minute, last)
		}
		s.Stop()
		if err != nil {
			return dirs, err
		}
	}
	return dirs, nil
}

// timed lets all take turns at something that takes time, and adds the figure.
func (b *bench) timed(g *report.Group, name string, once func(i int) (time.Duration, error)) error {
	took := make([][]float64, len(b.sources))
	for n := range b.o.rounds {
		for _, i := range order(n, len(b.sources)) {
			d, err := once(i)
			if err != nil {
				return err
			}
			took[i] = append(took[i], float64(d))
		}
	}
	f := &report.Figure{Name: name}
	for _, vs := range took {
		f.Sides = append(f.Sides, stats.SampleOf(vs))
	}
	b.figure(g, f)
	return nil
}

// hasKeys makes sure that what was loaded is there: to load nothing is quick.
func (b *bench) hasKeys(ctx context.Context, s *servers.Server) error {
	v, err := client.Once(ctx, s.Addr, time.Minute, "DBSIZE")
	if err == nil && v.Int != int64(b.o.keys) {
		err = fmt.Errorf("%s has %d keys and not %d", s.Name, v.Int, b.o.keys)
	}
	return err
}

// fullSync measures how long a new replica needs until it has all that its master has; both are of the same make.
func (b *bench) fullSync(ctx context.Context, g *report.Group) error {
	masters, err := b.start(ctx, "--repl-diskless-sync-delay", "0")
	defer func() { stopAll(masters) }()
	for i := 0; i < len(masters) && err == nil; i++ {
		err = fill(ctx, masters[i].Addr, b.o.keys, ofEach)
	}
	if err != nil {
		return err
	}
	return b.timed(g, "full sync of a new replica", func(i int) (time.Duration, error) {
		_, port := splitAddr(masters[i].Addr)
		began := time.Now()
		s, err := b.sources[i].Start(ctx, "", "--replicaof", "127.0.0.1 "+port)
		if err != nil {
			return 0, err
		}
		defer s.Kill()
		if err := awaitLink(ctx, s.Addr); err != nil {
			return 0, err
		}
		return time.Since(began), b.hasKeys(ctx, s)
	})
}

// awaitLink waits until a replica says that it has what its master has.
func awaitLink(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	c, err := client.Dial(ctx, addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	for c.Info("replication")["master_link_status"] != "up" {
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("the replica has no link: %w", err)
		}
	}
	return nil
}
