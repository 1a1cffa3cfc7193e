package main

// What step 07 was about, now from pkg/pubsub: a hub of channels and patterns, and a bounded queue
// for each subscriber. The commands are in pkg/basics.

import (
	"errors"

	"byor/pkg/basics"
	"byor/pkg/resp"
)

var (
	subscribe, psubscribe     = onSub((*basics.Subscriber).Subscribe), onSub((*basics.Subscriber).PSubscribe)
	unsubscribe, punsubscribe = onSub((*basics.Subscriber).Unsubscribe), onSub((*basics.Subscriber).PUnsubscribe)
)

// onSub makes a handler of one that knows only the subscriber. Who listens is not data: no effect.
func onSub(h func(s *basics.Subscriber, w *resp.Writer, args [][]byte)) handler {
	return func(c *client, args [][]byte) ([][]byte, error) {
		if c.sub == nil { // a log, or our master: nobody is there to listen
			return nil, errors.New("ERR only a client can subscribe")
		}
		h(c.sub, c.w, args)
		return nil, nil
	}
}

// publish answers PUBLISH. Messages are no data, so they are not in the log; but they travel to the
// replicas, whose subscribers get them too.
func publish(c *client, args [][]byte) ([][]byte, error) {
	c.w.Int(int64(c.srv.hub.Publish(args[1], args[2])))
	c.srv.feed(resp.AppendCommand(nil, args...))
	return nil, nil
}

// leave ends the connection, after what is still to be sent.
func (c *client) leave() {
	c.sub.Leave()
	if c.replica != nil {
		c.replica.queue.Close() // wakes serveReplica
	}
	c.conn.Close()
}
