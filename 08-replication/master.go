package main

// The master's end. A replica is a client that says REPLCONF a few times, then PSYNC, and is no
// client any more: from then on we send it our stream, and it sends nothing but REPLCONF ACK.

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"byor/pkg/basics"
	"byor/pkg/pubsub"
	"byor/pkg/resp"
)

// maxBehind is how many bytes of the stream a replica may be behind before it is disconnected. It
// has to cover the time that the snapshot takes to arrive (client-output-buffer-limit replica).
const maxBehind = 256 << 20

// replica is the master's view of one of its replicas.
type replica struct {
	conn  net.Conn
	queue *pubsub.Queue // the stream, as far as it is not sent yet
	acked int64         // the offset that it has confirmed
}

// psync answers PSYNC replid offset. The replica says what it has, "?" and -1 for nothing, and may
// hope to get only what it missed; we keep no past, so it gets everything.
func psync(c *client, _ [][]byte) ([][]byte, error) {
	if c.W.Len() > 0 || c.Sub.Active() {
		// It must have read all answers: the snapshot is no RESP, so both must know at which byte it begins.
		return nil, basics.ErrPendingOutput
	}
	c.replica = &replica{conn: c.Conn, queue: pubsub.NewQueue(maxBehind, 1<<24)}
	c.replica.queue.OnOverflow = func() { c.Conn.Close() }
	go c.srv.serveReplica(c.replica)
	return nil, nil
}

// serveReplica sends a snapshot, then the stream, until the replica is gone.
func (s *server) serveReplica(r *replica) {
	defer r.conn.Close()
	d, header, err := s.beginSync(r)
	if err == nil {
		err = s.sendSnapshot(r, d, header)
	}
	if err == nil {
		err = r.sendStream()
	}
	fmt.Fprintf(os.Stderr, "replica %s is gone: %v\n", r.conn.RemoteAddr(), err)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.replicas, r)
}

// beginSync takes the picture and adds the replica to those who get the stream.
func (s *server) beginSync(r *replica) (d *basics.Dump, header string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// An empty line says: still there, be patient.
	patience := func() error { _, err := io.WriteString(r.conn, "\n"); return err }
	if err := s.disk.WhenFree(patience); err != nil {
		return nil, "", err
	}
	// region: no gap
	// Under one lock: what was executed before is in the picture, what is executed afterwards is in
	// the queue, and nothing is in both or in neither.
	d = s.disk.Begin()
	s.replicas[r] = true
	s.streamDB = -1 // a new listener does not know which database we mean
	header = fmt.Sprintf("+FULLRESYNC %s %d\r\n", s.replID, s.offset)
	// endregion
	return d, header, nil
}

// sendSnapshot sends header, the answer to PSYNC, and behind it the picture.
func (s *server) sendSnapshot(r *replica, d *basics.Dump, header string) (err error) {
	// region: snapshot, then stream
	// "$length", then so many bytes, and no line end behind them: it looks like a bulk string, and
	// is none. The next byte belongs to the stream.
	file, size, err := s.disk.TempFile(d)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err = fmt.Fprintf(r.conn, "%s$%d\r\n", header, size); err == nil {
		_, err = io.Copy(r.conn, file)
	}
	// endregion
	return err
}

// sendStream sends what is put into the queue, for as long as the replica takes it.
func (r *replica) sendStream() error {
	for {
		// Everything that has gathered while we were writing comes at once, and leaves at once.
		messages, err := r.queue.Receive()
		if err != nil {
			return err
		}
		var b []byte
		for _, m := range messages {
			b = append(b, m.Payload...)
		}
		if _, err := r.conn.Write(b); err != nil {
			return err
		}
	}
}

// feed appends b to the stream. Every byte counts, whether anybody listens or not. The caller holds s.mu.
func (s *server) feed(b []byte) {
	// region: count and hand out
	s.offset += int64(len(b))
	for r := range s.replicas {
		r.queue.Deliver(pubsub.Message{Payload: b}) // copies, and never waits
	}
	// endregion
}

// publish answers PUBLISH. A message is no data, so the log has none, but the replicas' subscribers get it.
func publish(c *client, args [][]byte) ([][]byte, error) {
	c.W.Int(int64(c.srv.hub.Publish(args[1], args[2])))
	c.srv.feed(resp.AppendCommand(nil, args...))
	return nil, nil
}

// replconf answers REPLCONF name value ...: OK to what a replica tells of itself, nothing to ACK.
func replconf(c *client, args [][]byte) ([][]byte, error) {
	// region: ACK
	if len(args) == 3 && strings.EqualFold(string(args[1]), "ack") {
		if offset, ok := resp.ParseInt(args[2]); ok && c.replica != nil {
			c.replica.acked = offset
		}
		return nil, nil // an answer would be taken for a part of the stream
	}
	// endregion
	c.W.OK()
	return nil, nil
}

// pingReplicas is called every ten seconds: a real replica takes a master that has said nothing for 60
// seconds for dead. We do so as a replica, too, for those who follow us.
func (s *server) pingReplicas() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.replicas) > 0 {
		s.feed(resp.AppendCommandStrings(nil, "ping"))
	}
}
