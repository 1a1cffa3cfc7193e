package main

// The replica's end: we are a client of the master, with one question.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"byor/pkg/basics"
	"byor/pkg/rdb"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// follow follows the master as long as the server lives. A link that breaks is no reason to stop.
func (s *server) follow(ctx context.Context, port string) {
	for ctx.Err() == nil {
		err := s.followOnce(port)
		fmt.Fprintf(os.Stderr, "link to master %s: %v; trying again in a second\n", s.master, err)
		time.Sleep(time.Second)
	}
}

// followOnce makes the handshake, loads the snapshot and applies the stream until the link breaks.
func (s *server) followOnce(port string) error {
	conn, err := net.DialTimeout("tcp", s.master, 5*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if s.opts.Trace {
		conn = resp.Trace(conn, os.Stdout, "master")
	}
	// One reader for the whole life of the link. It reads ahead, and what it has read of the
	// stream, a second reader would never see.
	r := resp.NewCommandReader(conn)
	offset, err := handshake(conn, r, port)
	if err != nil {
		return err
	}
	fresh, err := s.receiveSnapshot(r)
	if err != nil {
		return err
	}
	s.replaceData(fresh)
	fmt.Fprintf(os.Stderr, "following %s from offset %d on\n", s.master, offset)
	return s.applyStream(conn, r, offset)
}

// handshake introduces us and asks for everything. It returns the offset of the snapshot.
func handshake(conn net.Conn, r *resp.CommandReader, port string) (offset int64, err error) {
	// region: PING, REPLCONF, PSYNC
	// Each answer is read before the next question: a master refuses PSYNC otherwise. We do not
	// announce "capa eof", so it will tell us the length of the snapshot in advance.
	for _, command := range []string{"PING", "REPLCONF listening-port " + port, "REPLCONF capa psync2", "PSYNC ? -1"} {
		if _, err = conn.Write(resp.AppendCommandStrings(nil, strings.Fields(command)...)); err != nil {
			return 0, err
		}
		answer, err := answerLine(r)
		if err != nil {
			return 0, err
		}
		if _, err := fmt.Sscanf(answer, "+FULLRESYNC %40s %d", new(string), &offset); err == nil {
			return offset, nil
		}
		if !strings.HasPrefix(answer, "+") && !strings.HasPrefix(command, "REPLCONF") {
			return 0, fmt.Errorf("the answer to %s is %q", command, answer)
		}
	}
	// endregion
	return 0, errors.New("PSYNC was not answered by +FULLRESYNC")
}

// answerLine returns the next line that is not empty: empty ones mean that the master is busy.
func answerLine(r *resp.CommandReader) (string, error) {
	for {
		line, err := r.ReadLine()
		if err != nil || len(line) > 0 {
			return string(line), err
		}
	}
}

// receiveSnapshot reads "$length" and the snapshot into a store of its own, so that our clients can
// go on with the old data, and keep it if the link breaks half-way.
func (s *server) receiveSnapshot(r *resp.CommandReader) (*store.Store, error) {
	fresh := store.New(s.data.Len())
	fresh.Expiry = store.KeepExpired
	line, err := answerLine(r)
	if err != nil {
		return nil, err
	}
	size, ok := resp.ParseInt([]byte(strings.TrimPrefix(line, "$")))
	if !ok {
		return nil, fmt.Errorf("%q where $length of the snapshot was expected", line)
	}
	// region: exactly so many bytes
	in := io.LimitReader(r, size)
	if err := basics.LoadRDB(rdb.NewReader(in), fresh); err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, in) // what is left of them, or it would be taken for the stream
	// endregion
	return fresh, err
}

// replaceData makes the snapshot our data. For our own log and replicas that is a change like any
// other, if a large one: everything goes, and this comes.
func (s *server) replaceData(fresh *store.Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data.Adopt(fresh)
	s.propagate(0, [][]byte{[]byte("FLUSHALL")})
	for db, effect := range basics.Effects(s.data) {
		s.propagate(db, effect)
	}
}

// applyStream executes what the master sends, and tells it every second how far we have come.
func (s *server) applyStream(conn net.Conn, r *resp.CommandReader, start int64) error {
	var offset atomic.Int64
	offset.Store(start)
	ack := func() {
		conn.Write(resp.AppendCommandStrings(nil, "REPLCONF", "ACK", strconv.FormatInt(offset.Load(), 10)))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			ack()
			time.Sleep(time.Second)
		}
	}()
	c := s.newClient(nil)
	c.isMaster = true
	for {
		args, err := r.ReadCommand()
		if err != nil {
			return err
		}
		// region: apply, count, never answer
		size := int64(len(resp.AppendCommand(nil, args...)))
		switch name := strings.ToLower(string(args[0])); name {
		case "replconf": // GETACK: the one thing that is answered, with the offset before it
			ack()
		case "multi", "exec": // a transaction: nothing can come between its commands anyway
		default:
			c.W.Buf = c.W.Buf[:0]
			c.execute(args)
			if c.W.Len() > 0 && c.W.Buf[0] == '-' {
				fmt.Fprintf(os.Stderr, "CRITICAL: the master's %q cannot be applied, from now on the data differ: %s", args, c.W.Buf)
			}
		}
		offset.Add(size)
		// endregion
	}
}
