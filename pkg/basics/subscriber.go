package basics

import (
	"errors"
	"net"
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

// Subscriber is a client's end of step 07. From its first (P)SUBSCRIBE on it is active: everything
// that the client is sent goes through a bounded queue, and one goroutine writes it. Its methods are
// called by the client's own goroutine, all but Leave with the server's lock held, under which also
// PUBLISH runs. A nil Subscriber stands for a client that cannot subscribe: it is never active.
type Subscriber struct {
	hub     *pubsub.Hub
	conn    net.Conn
	commit  func()
	queue   *pubsub.Queue // nil until active
	drained chan struct{} // closed when the writer has ended
}

// newSubscriber returns an end for conn that listens to nothing yet. commit is called before anything
// is written, to wait for the log, without the server's lock.
func newSubscriber(hub *pubsub.Hub, conn net.Conn, commit func()) *Subscriber {
	return &Subscriber{hub: hub, conn: conn, commit: commit}
}

// Active reports whether the client has ever subscribed, so that its replies go through the queue.
func (s *Subscriber) Active() bool { return s != nil && s.queue != nil }

// Count is the number of channels and patterns that the client listens to.
func (s *Subscriber) Count() int {
	if !s.Active() {
		return 0
	}
	n, _ := s.hub.Count(s.queue)
	return n
}

// Subscribe answers SUBSCRIBE channel [channel ...].
func (s *Subscriber) Subscribe(w *resp.Writer, args [][]byte) {
	s.start()
	for _, name := range args[1:] {
		n, _ := s.hub.Subscribe(s.queue, name)
		confirm(w, "subscribe", name, n)
	}
}

// PSubscribe answers PSUBSCRIBE pattern [pattern ...].
func (s *Subscriber) PSubscribe(w *resp.Writer, args [][]byte) {
	s.start()
	for _, name := range args[1:] {
		n, _ := s.hub.PSubscribe(s.queue, name)
		confirm(w, "psubscribe", name, n)
	}
}

// Unsubscribe answers UNSUBSCRIBE [channel ...]; without channels it ends all of them.
func (s *Subscriber) Unsubscribe(w *resp.Writer, args [][]byte) {
	s.end(w, "unsubscribe", pubsub.Channel, args[1:], s.hub.Unsubscribe)
}

// PUnsubscribe answers PUNSUBSCRIBE [pattern ...]; without patterns it ends all of them.
func (s *Subscriber) PUnsubscribe(w *resp.Writer, args [][]byte) {
	s.end(w, "punsubscribe", pubsub.Pattern, args[1:], s.hub.PUnsubscribe)
}

func (s *Subscriber) end(w *resp.Writer, verb string, kind pubsub.Kind, names [][]byte, end func(pubsub.Subscriber, []byte) (int, bool)) {
	s.start()
	if len(names) == 0 {
		for _, name := range s.hub.Subscriptions(s.queue, kind) {
			names = append(names, []byte(name))
		}
	}
	for _, name := range names {
		n, _ := end(s.queue, name)
		confirm(w, verb, name, n)
	}
	if len(names) == 0 {
		confirm(w, verb, nil, s.Count()) // there was nothing to end, but there must be a reply
	}
}

func confirm(w *resp.Writer, verb string, name []byte, n int) {
	w.Array(3)
	w.BulkString(verb)
	if name == nil {
		w.Null()
	} else {
		w.Bulk(name)
	}
	w.Int(int64(n))
}

// OnChannels are the commands of step 07, but for PUBLISH: a message also goes to the replicas.
var OnChannels = Table[*Client]{
	"subscribe": {-2, "s", onSub((*Subscriber).Subscribe)}, "unsubscribe": {-1, "s", onSub((*Subscriber).Unsubscribe)},
	"psubscribe": {-2, "s", onSub((*Subscriber).PSubscribe)}, "punsubscribe": {-1, "s", onSub((*Subscriber).PUnsubscribe)},
}

// onSub makes a command of a method that knows only the subscriber. Who listens is not data: no effect.
func onSub(h func(s *Subscriber, w *resp.Writer, args [][]byte)) func(*Client, [][]byte) ([][]byte, error) {
	return func(c *Client, args [][]byte) ([][]byte, error) {
		if c.Sub == nil { // nobody is there to listen
			return nil, errors.New("ERR only a client can subscribe")
		}
		h(c.Sub, c.W, args)
		return nil, nil
	}
}

// start gives the client a queue, and a goroutine that from now on writes all it is sent.
func (s *Subscriber) start() {
	if s.queue != nil {
		return
	}
	s.queue = pubsub.NewQueue(maxQueuedBytes, maxQueued)
	s.queue.OnOverflow = func() { s.conn.Close() }
	s.drained = make(chan struct{})
	go s.write()
}

// Reply moves the replies gathered in w into the queue of an active subscriber.
func (s *Subscriber) Reply(w *resp.Writer) {
	s.queue.Deliver(pubsub.Message{Kind: reply, Payload: w.Buf})
	w.Buf = w.Buf[:0]
}

func (s *Subscriber) write() {
	defer close(s.drained)
	w := resp.NewWriter(s.conn)
	for last := false; !last; {
		messages, err := s.queue.Receive()
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
		s.commit()
		if w.Flush() != nil {
			s.conn.Close() // wakes the reader, which says goodbye
		}
	}
}

// Leave ends all subscriptions and the writer, after what is still in the queue. It waits at most
// about a second for a peer that does not read. The caller does not hold the lock.
func (s *Subscriber) Leave() {
	if !s.Active() {
		return
	}
	s.hub.UnsubscribeAll(s.queue)
	s.conn.SetWriteDeadline(time.Now().Add(time.Second))
	s.queue.Deliver(pubsub.Message{Kind: goodbye})
	<-s.drained
}
