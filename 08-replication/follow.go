package main

// The replica's end. It is a client of the master, and asks for only one thing: everything.

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"byor/pkg/basics"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// follow follows the master as long as the server lives. When the link breaks, it builds a new one.
func (s *server) follow(ctx context.Context, port string) {
	basics.Every(ctx, time.Second, func() {
		err := s.followOnce(port)
		fmt.Fprintf(os.Stderr, "link to master %s: %v; trying again in a second\n", s.master, err)
	})
}

// followOnce makes the handshake, loads the snapshot and applies the stream until the link breaks.
func (s *server) followOnce(port string) error {
	conn, err := s.opts.Dial(s.master)
	if err != nil {
		return err
	}
	defer conn.Close()
	// One reader for the whole life of the link. A second one would miss what this one has read ahead.
	r := resp.NewCommandReader(conn)
	offset, err := handshake(conn, r, port)
	if err != nil {
		return err
	}
	fresh, err := s.receiveSnapshot(r)
	if err != nil {
		return err
	}
	// region: exactly so many bytes
	// Our own log and our own replicas see a change like any other: FLUSHALL, then all of fresh.
	s.mu.Lock()
	basics.Replace(s.data, fresh, s.propagate)
	s.mu.Unlock()
	// endregion
	fmt.Fprintf(os.Stderr, "following %s from offset %d on\n", s.master, offset)
	return s.applyStream(conn, r, offset)
}

// handshake introduces us and asks for everything. It returns the offset of the snapshot.
func handshake(conn net.Conn, r *resp.CommandReader, port string) (offset int64, err error) {
	// region: ask for everything
	// One question, one answer: a master refuses PSYNC while it still owes another answer.
	for _, ask := range []string{"PING", "REPLCONF listening-port " + port, "REPLCONF capa psync2", "PSYNC ? -1"} {
		if _, err = conn.Write(resp.AppendCommandStrings(nil, strings.Fields(ask)...)); err != nil {
			return 0, err
		}
		answer, err := answerLine(r)
		if err != nil {
			return 0, err
		}
		if _, err := fmt.Sscanf(answer, "+FULLRESYNC %40s %d", new(string), &offset); err == nil {
			return offset, nil
		}
		if !strings.HasPrefix(answer, "+") && !strings.HasPrefix(ask, "REPLCONF") {
			return 0, fmt.Errorf("the answer to %s is %q", ask, answer)
		}
	}
	// endregion
	return 0, fmt.Errorf("PSYNC was not answered by +FULLRESYNC")
}

// answerLine returns the next line that is not empty. A busy master sends empty ones meanwhile.
func answerLine(r *resp.CommandReader) (string, error) {
	for {
		line, err := r.ReadLine()
		if err != nil || len(line) > 0 {
			return string(line), err
		}
	}
}

// receiveSnapshot reads "$length" and the snapshot, into a store of its own: clients see the old one.
func (s *server) receiveSnapshot(r *resp.CommandReader) (fresh *store.Store, err error) {
	// region: exactly so many bytes
	line, err := answerLine(r)
	if err != nil {
		return nil, err
	}
	size, ok := resp.ParseInt([]byte(strings.TrimPrefix(line, "$")))
	if !ok {
		return nil, fmt.Errorf("%q where $length of the snapshot was expected", line)
	}
	in := io.LimitReader(r, size)
	if fresh, err = basics.LoadBeside(in, s.data); err == nil {
		_, err = io.Copy(io.Discard, in) // what is left of them, or it would be taken for the stream
	}
	// endregion
	return fresh, err
}

// applyStream executes what the master sends, and tells it every second how far we have come.
func (s *server) applyStream(conn net.Conn, r *resp.CommandReader, start int64) error {
	// region: count and confirm
	var offset atomic.Int64
	offset.Store(start)
	ack := func() { conn.Write(resp.AppendCommandStrings(nil, "REPLCONF", "ACK", fmt.Sprint(offset.Load()))) }
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go basics.Every(ctx, time.Second, ack)
	// endregion
	for c := s.newClient(nil); ; {
		args, err := r.ReadCommand()
		if err != nil {
			return err
		}
		// region: apply, never answer
		switch strings.ToLower(string(args[0])) {
		case "replconf", "multi", "exec": // no change; see the guide on transactions
		default:
			c.Apply(c.execute, args)
		}
		// endregion
		// region: count and confirm
		if strings.EqualFold(string(args[0]), "replconf") {
			ack() // GETACK asks for the offset in front of it
		}
		offset.Add(int64(len(resp.AppendCommand(nil, args...))))
		// endregion
	}
}
