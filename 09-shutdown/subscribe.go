package main

// What step 07 was about, now from pkg/pubsub: a hub of channels and patterns, and a bounded queue
// for each subscriber.

import (
	"time"

	"byor/pkg/pubsub"
	"byor/pkg/resp"
)

// A subscriber may be this far behind before it is disconnected.
const (
	maxQueued      = 1 << 13  // messages
	maxQueuedBytes = 32 << 20 // as Redis (client-output-buffer-limit pubsub)
)

// Besides messages a queue carries the client's own replies, so that both keep their order.
const (
	reply   = pubsub.Kind(100) // Payload is RESP already
	goodbye = pubsub.Kind(101) // the writer ends here
)

func subscribe(c *client, args [][]byte) ([][]byte, error) {
	c.startQueue()
	for _, name := range args[1:] {
		n, _ := c.srv.hub.Subscribe(c.queue, name)
		c.confirm("subscribe", name, n)
	}
	return nil, nil
}

func psubscribe(c *client, args [][]byte) ([][]byte, error) {
	c.startQueue()
	for _, name := range args[1:] {
		n, _ := c.srv.hub.PSubscribe(c.queue, name)
		c.confirm("psubscribe", name, n)
	}
	return nil, nil
}

func unsubscribe(c *client, args [][]byte) ([][]byte, error) {
	return c.unsubscribe("unsubscribe", pubsub.Channel, args[1:], c.srv.hub.Unsubscribe)
}

func punsubscribe(c *client, args [][]byte) ([][]byte, error) {
	return c.unsubscribe("punsubscribe", pubsub.Pattern, args[1:], c.srv.hub.PUnsubscribe)
}

func (c *client) unsubscribe(verb string, kind pubsub.Kind, names [][]byte, end func(pubsub.Subscriber, []byte) (int, bool)) ([][]byte, error) {
	c.startQueue()
	if len(names) == 0 {
		for _, name := range c.srv.hub.Subscriptions(c.queue, kind) {
			names = append(names, []byte(name))
		}
	}
	for _, name := range names {
		n, _ := end(c.queue, name)
		c.confirm(verb, name, n)
	}
	if len(names) == 0 {
		c.confirm(verb, nil, c.subscriptions())
	}
	return nil, nil
}

func (c *client) confirm(verb string, name []byte, n int) {
	c.w.Array(3)
	c.w.BulkString(verb)
	if name == nil {
		c.w.Null()
	} else {
		c.w.Bulk(name)
	}
	c.w.Int(int64(n))
}

// publish answers PUBLISH. Messages are no data, so they are not in the log; but they travel to the
// replicas, whose subscribers get them too.
func publish(c *client, args [][]byte) ([][]byte, error) {
	c.w.Int(int64(c.srv.hub.Publish(args[1], args[2])))
	c.srv.repl.Feed(resp.AppendCommand(nil, args...))
	return nil, nil
}

// subscriptions is the number of channels and patterns that the client listens to.
func (c *client) subscriptions() int {
	if c.queue == nil {
		return 0
	}
	n, _ := c.srv.hub.Count(c.queue)
	return n
}

// startQueue gives the client a queue, and a goroutine that from now on writes all it is sent.
func (c *client) startQueue() {
	if c.queue != nil {
		return
	}
	c.queue = pubsub.NewQueue(maxQueuedBytes, maxQueued)
	c.queue.OnOverflow = func() { c.conn.Close() }
	c.drained = make(chan struct{})
	go c.writeQueue()
}

// enqueueReply moves the replies gathered so far into the queue.
func (c *client) enqueueReply() {
	c.queue.Deliver(pubsub.Message{Kind: reply, Payload: c.w.Buf})
	c.w.Buf = c.w.Buf[:0]
}

func (c *client) writeQueue() {
	defer close(c.drained)
	w := resp.NewWriter(c.conn)
	for last := false; !last; {
		messages, err := c.queue.Receive()
		if err != nil {
			return // too slow; OnOverflow has closed the connection
		}
		for _, m := range messages {
			switch m.Kind {
			case reply:
				w.Raw(m.Payload)
			case goodbye:
				last = true
			case pubsub.Pattern:
				w.Raw(resp.AppendCommand(nil, []byte("pmessage"), m.Pattern, m.Channel, m.Payload))
			default:
				w.Raw(resp.AppendCommand(nil, []byte("message"), m.Channel, m.Payload))
			}
		}
		c.srv.commit()
		if w.Flush() != nil {
			c.conn.Close() // wakes the reader, which says goodbye
		}
	}
}

// leave ends the connection, after what is still in the queue.
func (c *client) leave() {
	if c.queue != nil {
		c.srv.hub.UnsubscribeAll(c.queue)
		c.conn.SetWriteDeadline(time.Now().Add(time.Second))
		c.queue.Deliver(pubsub.Message{Kind: goodbye})
		<-c.drained
	}
	if c.replica != nil {
		c.replica.End()
	}
	c.conn.Close()
}
