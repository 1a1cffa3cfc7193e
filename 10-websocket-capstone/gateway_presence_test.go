package main

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/resp"
)

func TestPresence(t *testing.T) {
	g := startGateway(t, nil)
	enter := func(name string) *peer {
		p := g.dial(protoJSON)
		p.say(`{"id":0,"op":"hello","name":"` + name + `"}`)
		p.hear()
		return p
	}
	watcher := g.dial(protoJSON)
	watcher.expect(`{"id":1,"op":"sub","patterns":["__presence__:*"]}`, `{"id":1,"result":{"subscribed":["__presence__:*"]}}`)

	ann := enter("ann")
	ann.expect(`{"id":1,"op":"sub","channels":["room"],"presence":true}`,
		`{"id":1,"result":{"subscribed":["room"],"presence":{"room":{"users":1,"members":["ann"]}}}}`,
		`{"push":"presence","channel":"room","users":1,"join":["ann"],"leave":[]}`)
	bob := enter("bob")
	bob.expect(`{"id":1,"op":"sub","channels":["room"],"presence":true}`,
		`{"id":1,"result":{"subscribed":["room"],"presence":{"room":{"users":2,"members":["ann","bob"]}}}}`)
	ann.expect("", `{"push":"presence","channel":"room","users":2,"join":["bob"],"leave":[]}`)
	// A second tab is no second user, and closing it is no leaving.
	bob2 := enter("bob")
	bob2.expect(`{"id":1,"op":"sub","channels":["room"],"presence":true}`,
		`{"id":1,"result":{"subscribed":["room"],"presence":{"room":{"users":2,"members":["ann","bob"]}}}}`)
	_ = bob2.Close()
	g.eventually(func() bool { return len(g.open()) == 3 }, "the tab is gone")
	bob.expect(`{"id":2,"op":"unsub","channels":["room"]}`,
		`{"push":"presence","channel":"room","users":2,"join":["bob"],"leave":[]}`, `{"id":2,"result":{"unsubscribed":["room"]}}`)
	ann.expect("", `{"push":"presence","channel":"room","users":1,"join":[],"leave":["bob"]}`)
	ann.expect(`{"id":3,"op":"presence","channels":["room","empty"]}`,
		`{"id":3,"result":{"room":{"users":1,"members":["ann"]},"empty":{"users":0,"members":[]}}}`)
	// Any Redis client can watch it too.
	watcher.say(`{"id":2,"op":"ping"}`)
	require.Contains(t, watcher.hear(), `"push":"pmessage","pattern":"__presence__:*","channel":"__presence__:room"`)
	_ = ann.Close()
	g.eventually(func() bool {
		g.presence.mu.Lock()
		defer g.presence.mu.Unlock()
		return len(g.presence.rooms) == 0
	}, "an empty room is forgotten")
}

func TestPresenceOfManyIsANumber(t *testing.T) {
	p := newPresence(time.Hour, func(string, []byte) {})
	defer p.close()
	for i := range presenceMembers {
		p.join("c", fmt.Sprint(i), &socket{done: make(chan struct{})})
	}
	require.Contains(t, string(p.appendSnapshots(nil, []string{"c"})), `"members"`)
	p.join("c", "one more", &socket{done: make(chan struct{})})
	require.JSONEq(t, `{"c":{"users":101}}`, string(p.appendSnapshots(nil, []string{"c"})))
	gone := make(chan struct{})
	close(gone)
	p.join("c", "ghost", &socket{done: gone})
	require.JSONEq(t, `{"c":{"users":101}}`, string(p.appendSnapshots(nil, []string{"c"})), "who has left cannot join")
}

func TestPresenceCannotBeForged(t *testing.T) {
	g := startGateway(t, nil)
	p := g.dial(protoJSON)
	p.expect(`{"id":1,"op":"pub","channel":"__presence__:room","data":"x"}`, denied(1, "presence is announced by the server only"))
	p.expect(`{"id":2,"op":"cmd","args":["PUBLISH","__presence__:room","x"]}`, denied(2, "presence is announced by the server only"))
	q := g.dial(protoRESP)
	q.raw(command("publish", "__presence__:room", "x"))
	q.hearRaw(refusedRaw(t, "PUBLISH", "presence is announced by the server only"))
	if ownOf(t) == nil {
		return
	}
	// Nor by any other client of the engine, in whatever way; what the gateway announces arrives.
	conn, err := g.opts.Dial(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1})
	require.NoError(t, err)
	defer conn.Close()
	r := resp.NewReader(conn)
	const forbidden = "NOPERM channels that begin with '__presence__:' are the server's own"
	for _, name := range []string{"PUBLISH", "SPUBLISH"} {
		for _, in := range []struct{ line, want string }{{name, forbidden}, {"MULTI", "OK"}, {name, "QUEUED"}} {
			args := []string{in.line}
			if in.line == name {
				args = append(args, "__presence__:room", "x")
			}
			_, err = conn.Write(resp.AppendCommandStrings(nil, args...))
			require.NoError(t, err)
			v, err := r.ReadValue()
			require.NoError(t, err)
			require.Equal(t, in.want, string(v.Str))
		}
		_, err = conn.Write(resp.AppendCommandStrings(nil, "EXEC"))
		require.NoError(t, err)
		v, err := r.ReadValue()
		require.NoError(t, err)
		require.Equal(t, forbidden, string(v.Elems[0].Str))
	}
	p.expect(`{"id":3,"op":"sub","channels":["__presence__:room"]}`, `{"id":3,"result":{"subscribed":["__presence__:room"]}}`)
	g.presence.publish("room", []byte("genuine"))
	require.Contains(t, p.hear(), "genuine")
}
