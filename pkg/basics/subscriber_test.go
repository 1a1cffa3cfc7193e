package basics

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"byor/pkg/pubsub"
	"byor/pkg/resp"
)

// peer is a subscriber at one end of a pipe, and what reads the other end.
type peer struct {
	t    *testing.T
	sub  *Subscriber
	w    *resp.Writer
	r    *resp.Reader
	conn net.Conn
}

func newPeer(t *testing.T, hub *pubsub.Hub, commit func()) *peer {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return &peer{t: t, sub: newSubscriber(hub, ours, commit), w: resp.NewWriter(nil), r: resp.NewReader(theirs), conn: theirs}
}

func (p *peer) do(h func(*Subscriber, *resp.Writer, [][]byte), args ...string) {
	var b [][]byte
	for _, a := range args {
		b = append(b, []byte(a))
	}
	h(p.sub, p.w, b)
	p.sub.Reply(p.w)
}

func (p *peer) gets(want string) {
	v, err := p.r.ReadValue()
	require.NoError(p.t, err)
	var words []string
	for _, e := range v.Elems {
		switch {
		case e.Null:
			words = append(words, "nil")
		case e.Kind == resp.Integer:
			words = append(words, strconv.FormatInt(e.Int, 10))
		default:
			words = append(words, string(e.Str))
		}
	}
	require.Equal(p.t, want, strings.Join(words, " "))
}

func TestSubscriber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, commits := pubsub.NewHub(), 0
		p := newPeer(t, hub, func() { commits++ })
		require.False(t, p.sub.Active())
		require.Zero(t, p.sub.Count())
		p.do((*Subscriber).Subscribe, "subscribe", "a", "b")
		p.do((*Subscriber).PSubscribe, "psubscribe", "x*")
		require.True(t, p.sub.Active())
		require.Equal(t, 3, p.sub.Count())
		require.Equal(t, 1, hub.Publish([]byte("a"), []byte("1")))
		require.Equal(t, 1, hub.Publish([]byte("xy"), []byte("2")))
		p.do((*Subscriber).Unsubscribe, "unsubscribe", "a")
		p.do((*Subscriber).Unsubscribe, "unsubscribe")
		p.do((*Subscriber).PUnsubscribe, "punsubscribe", "none", "x*")
		p.do((*Subscriber).PUnsubscribe, "punsubscribe")
		for _, want := range []string{"subscribe a 1", "subscribe b 2", "psubscribe x* 3", "message a 1", "pmessage x* xy 2",
			"unsubscribe a 2", "unsubscribe b 1", "punsubscribe none 1", "punsubscribe x* 0", "punsubscribe nil 0"} {
			p.gets(want)
		}
		require.Positive(t, commits, "nothing is sent before the log has it")
		require.Zero(t, hub.Publish([]byte("a"), []byte("3")))
		go p.sub.Leave()
		synctest.Wait()
		require.True(t, p.sub.Active(), "its replies never take another way again")
	})
}

// Who does not read is let go, at the latest when Leave has waited for its time; and the hub forgets.
func TestLeaveDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := pubsub.NewHub()
		p := newPeer(t, hub, func() {})
		p.do((*Subscriber).Subscribe, "subscribe", "a")
		p.sub.Leave()
		require.Zero(t, hub.Publish([]byte("a"), []byte("1")))
	})
}

// Who is too far behind loses the connection, and the publisher does not wait.
func TestTooSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := pubsub.NewHub()
		p := newPeer(t, hub, func() {})
		p.do((*Subscriber).Subscribe, "subscribe", "a")
		synctest.Wait() // the writer waits for us
		for range maxQueued + 1 {
			hub.Publish([]byte("a"), []byte("x"))
		}
		_, err := p.sub.conn.Write([]byte("x"))
		require.Error(t, err, "closed")
		p.sub.Leave()
	})
}

func TestNilSubscriber(t *testing.T) {
	var s *Subscriber
	require.False(t, s.Active())
	require.Zero(t, s.Count())
	s.Leave()
}
