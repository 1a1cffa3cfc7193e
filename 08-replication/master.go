package main

// The master's end. A replica is a client until it says PSYNC. Then we send our stream, and it sends
// only REPLCONF ACK.

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

// maxBehind is how many bytes of the stream may wait for a replica (client-output-buffer-limit replica
// in Redis). They begin to wait when the snapshot begins to travel.
const maxBehind = 256 << 20

// replica is the master's view of one of its replicas.
type replica struct {
	conn  net.Conn
	queue *pubsub.Queue // the part of the stream that is not sent yet
	acked int64         // the offset that it has confirmed
}

// psync answers PSYNC replid offset. The two say what the replica has already. We keep no past, so
// each replica gets everything.
func psync(c *client, _ [][]byte) ([][]byte, error) {
	// region: PSYNC
	if c.W.Len() > 0 || c.Sub.Active() {
		// Both sides have to know at which byte the snapshot begins. Behind other answers they do not.
		return nil, basics.ErrPendingOutput
	}
	c.replica = &replica{conn: c.Conn, queue: pubsub.NewQueue(maxBehind, 1<<24)}
	c.replica.queue.OnOverflow = func() { c.Conn.Close() }
	go c.srv.serveReplica(c.replica)
	// endregion
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

// beginSync takes the picture and adds the replica to those that get the stream.
func (s *server) beginSync(r *replica) (d *basics.Dump, header string, err error) {
	// region: one moment
	s.mu.Lock()
	defer s.mu.Unlock()
	patience := func() error { _, err := io.WriteString(r.conn, "\n"); return err }
	if err := s.disk.WhenFree(patience); err != nil {
		return nil, "", err
	}
	// What was executed before is in the picture, what comes later is in the queue, nothing is in both.
	d = s.disk.Begin()
	s.replicas[r] = true
	s.streamDB = -1 // a new listener does not know which database we mean
	header = fmt.Sprintf("+FULLRESYNC %s %d\r\n", s.replID, s.offset)
	// endregion
	return d, header, nil
}

// sendSnapshot sends header, the answer to PSYNC, and behind it the picture.
func (s *server) sendSnapshot(r *replica, d *basics.Dump, header string) (err error) {
	// region: send the snapshot
	file, size, err := s.disk.TempFile(d)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err = fmt.Fprintf(r.conn, "%s$%d\r\n", header, size); err == nil {
		_, err = io.Copy(r.conn, file) // no line end behind it: this is no bulk string
	}
	// endregion
	return err
}

// feed appends b to the stream. It counts also when nobody listens. The caller holds s.mu.
func (s *server) feed(b []byte) {
	// region: hand out the stream
	s.offset += int64(len(b))
	for r := range s.replicas {
		r.queue.Deliver(pubsub.Message{Payload: b}) // copies, and never waits
	}
	// endregion
}

// sendStream sends what is put into the queue, for as long as the replica takes it.
func (r *replica) sendStream() error {
	// region: hand out the stream
	for {
		messages, err := r.queue.Receive()
		if err != nil {
			return err
		}
		var b []byte // all that gathered while we were writing leaves in one Write
		for _, m := range messages {
			b = append(b, m.Payload...)
		}
		if _, err := r.conn.Write(b); err != nil {
			return err
		}
	}
	// endregion
}

// publish answers PUBLISH. The log does not get a message, but the replicas do: they have subscribers.
func publish(c *client, args [][]byte) ([][]byte, error) {
	c.W.Int(int64(c.srv.hub.Publish(args[1], args[2])))
	c.srv.feed(resp.AppendCommand(nil, args...))
	return nil, nil
}

// replconf answers REPLCONF name value …
func replconf(c *client, args [][]byte) ([][]byte, error) {
	// region: the ACK
	if len(args) == 3 && strings.EqualFold(string(args[1]), "ack") {
		if offset, ok := resp.ParseInt(args[2]); ok && c.replica != nil {
			c.replica.acked = offset
		}
		return nil, nil // an answer would stand in the middle of the stream
	}
	// endregion
	c.W.OK()
	return nil, nil
}

// pingReplicas is called every ten seconds. A real replica gives its master up after 60 silent seconds.
func (s *server) pingReplicas() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.replicas) > 0 {
		s.feed(resp.AppendCommandStrings(nil, "ping"))
	}
}
