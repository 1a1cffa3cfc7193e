package server

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ownersPipe is the end of a pipe that the process itself holds.
type ownersPipe struct{ net.Conn }

func (ownersPipe) Owner() bool { return true }

// On reserved channels only the process may publish, at the master and at a replica. What it publishes goes to
// replicas, and a replica takes it from its master, whose own matter it is who may publish there.
func TestReservedChannelsAndReplicas(t *testing.T) {
	t.Parallel()
	start := func(options ...string) (*Server, string) {
		s, addr := startServer(t, options...)
		s.eng.Lock()
		s.reserved = "__own__:"
		s.eng.Unlock()
		return s, addr
	}
	master, addr := start()
	_, replicaAddr := start("--replicaof", hostPort(addr))
	client, replica, listener := dial(t, addr), dial(t, replicaAddr), dial(t, replicaAddr)
	require.Eventually(t, func() bool { return string(replica.do("ROLE").Elems[3].Str) == "connected" }, time.Minute, time.Millisecond)
	listener.want("SUBSCRIBE __own__:a", `*["subscribe" "__own__:a" :1]`)
	const refused = "-NOPERM channels that begin with '__own__:' are the server's own"
	for _, at := range []*testConn{client, replica} {
		for _, name := range []string{"PUBLISH", "SPUBLISH"} {
			at.want(name+" __own__:a forged", refused)
			at.want("MULTI", "+OK")
			at.want(name+" __own__:a forged", "+QUEUED")
			at.want("EXEC", "*["+refused+"]")
		}
	}
	ours, theirs := net.Pipe()
	go master.ServeConn(ownersPipe{theirs})
	t.Cleanup(func() { ours.Close() })
	owner := over(t, ours)
	owner.want("PUBLISH __own__:a genuine", ":0")
	require.Equal(t, `*["message" "__own__:a" "genuine"]`, show(listener.read()), "and nothing before it")
}
