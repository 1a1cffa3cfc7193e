package main

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// Station 3: a socket has one goroutine of its own, and that one reads:
//
//	read      peer → session    frames in, commands out; the engine answers within     stations 4 to 7
//	Write     session → outbox  replies and pushes in, messages out                    stations 7 to 9
//	Deliver   engine → outbox   what others publish, on the publisher's goroutine      stations 7 to 9
//	writers   outbox → peer     a few for all sockets; one at a time has this one      stations 10 and 11
//
// Deliver waits for nobody, so the engine never waits for a browser. If the peer takes nothing, messages heap up in
// the outbox until it overflows, and the socket is closed. Write may wait, and then the peer waits, too: read does not
// go on before its commands are answered.

// socket is one WebSocket.
type socket struct {
	g       *gateway
	ws      *websocket.Conn
	session *session
	proto   string
	out     outbox
	done    chan struct{} // closed by teardown
	once    sync.Once

	helloTimer *time.Timer // runs until the peer has logged in
	authed     atomic.Bool
	draining   atomic.Bool
	lastPing   atomic.Int64
	bucket     bucket // used by read only
	strikes    float64
	inMessage  atomic.Bool // in the middle of a message of the peer's
	progress   int         // of who writes: bytes since the deadlines were renewed
	begun      [][]byte    // of who writes: the messages of a frame that was written in part
	nextPing   time.Time   // used by sweep only

	unsent *unsentConn // the connection under ws; nil if that is none of ours

	json *jsonTalk // of byor.json.v1
	resp *respTalk // of byor.resp.v1
}

func newSocket(g *gateway, ws *websocket.Conn, session *session) *socket {
	s := &socket{
		g: g, ws: ws, session: session, proto: ws.Subprotocol(), done: make(chan struct{}),
		bucket: newBucket(g.opts.OpsRate, g.opts.OpsBurst, time.Now()),
	}
	s.out.init(g.opts.MaxQueue, func() { g.writers.add(s) })
	if c := unsentOf(ws.NetConn()); c != nil {
		s.unsent = c
		c.watch(g.opts.WriteTimeout, s.out.look)
		c.direct = c.direct && !g.opts.Compression && ws.NetConn() == net.Conn(c) // or frames are others' work
	}
	if s.proto == "" {
		s.proto = protoJSON
	}
	if s.proto == protoRESP {
		s.resp = newRESPTalk(s)
	} else {
		s.json = newJSONTalk(s)
	}
	return s
}

// run starts the goroutine that reads, and returns.
func (s *socket) run() {
	// region: the goroutine that reads
	s.ws.SetReadLimit(int64(s.g.opts.MaxMessage)) // gorilla has none by default
	s.ws.SetPongHandler(s.pong)
	// endregion
	s.ws.SetPingHandler(s.answerPing)
	if !s.g.opts.locked() {
		s.authed.Store(true)
	} else {
		s.helloTimer = time.AfterFunc(s.g.opts.HelloTimeout, func() {
			if !s.authed.Load() {
				s.close(closeHelloTimeout, "log in first, with hello", false)
			}
		})
	}
	if !s.session.belong(s) { // it has ended before the upgrade
		s.sessionEnded(nil)
	}
	// region: the goroutine that reads
	go s.read()
	// endregion
}

// loggedIn ends the waiting for a login.
func (s *socket) loggedIn() {
	s.authed.Store(true)
	if s.helloTimer != nil {
		s.helloTimer.Stop()
	}
}

func (g *gateway) open() []*socket {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]*socket, 0, len(g.sockets))
	for s := range g.sockets {
		all = append(all, s)
	}
	return all
}

func (g *gateway) forget(s *socket) {
	g.mu.Lock()
	delete(g.sockets, s)
	g.mu.Unlock()
}
